"""One experiment in a process of its own: `python -m tunesmith.jobs.workers.process ID PARENT`.

The worker, process PARENT, took the experiment; its lease comes in the environment. What the
process prints, and what crashes it, stands in `process.txt` in the experiment's folder.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from tunesmith.errors import Interrupted, LeaseLostError, StorageError, TunesmithError
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.jobs.logs import log_training
from tunesmith.jobs.workers.endings import TRY_AGAIN
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.store import Store

LEASE = "TUNESMITH_LEASE"
"""Environment variable with the token under which the worker took the experiment."""

KILLED_FIRST = "500"
"""The kernel ends this process before the worker, which tells what happened (-1000 to 1000)."""


def main(experiment_id: str, lease: str, parent: int) -> int:
    """Train the experiment; returns the exit code, 0 also when it was cancelled or given back."""
    if os.getppid() != parent:
        print(say("the worker was gone before the training began"), file=sys.stderr)
        return TRY_AGAIN
    try:
        settings = Settings.read().for_others()
        log_training(settings, experiment_id)
        with Store(settings.store_url) as store:
            execute(experiment_id, store, settings, lease=lease, parent=parent)
    except Interrupted:
        return 0
    except (LeaseLostError, StorageError) as error:
        # A lease that another process holds by now is none of the worker's business any more; one
        # that only this process could not renew is given back.
        print(error, file=sys.stderr)
        return TRY_AGAIN
    except TunesmithError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _prefer_to_be_killed() -> None:
    with suppress(OSError):  # no Linux, or a service manager decided it
        Path("/proc/self/oom_score_adj").write_text(KILLED_FIRST, encoding="ascii")


if __name__ == "__main__":
    _prefer_to_be_killed()
    sys.exit(main(sys.argv[1], os.environ[LEASE], int(sys.argv[2])))
