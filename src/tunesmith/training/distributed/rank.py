"""The entrance of each process of a training but the first.

`python -m tunesmith.training.distributed.rank FOLDER RANK PARENT`

The first process, PARENT, starts it; once that is gone, this one goes too.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from tunesmith.loading import load

LOOK_EVERY = 0.5
"""Seconds between two looks whether the parent is still there."""


def main(folder: Path, rank: int, parent: int) -> int:
    """Train along until the first process has finished; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first process hears them too, and decides
    watcher = threading.Thread(target=_watch, args=(folder, parent), daemon=True)
    watcher.start()
    # Only now what takes seconds to load: from here on the process notices that it is orphaned.
    follower = load("tunesmith.training.distributed.follower")
    code = 1
    try:
        code = int(follower.follow(folder, rank))
    finally:
        if code:  # perhaps because the first process is gone: then there is something to clear up
            watcher.join(4 * LOOK_EVERY)
    return code


def _watch(folder: Path, parent: int) -> None:
    """End this process when the first one is gone."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    shutil.rmtree(folder, ignore_errors=True)  # who made it can't remove it any more
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
