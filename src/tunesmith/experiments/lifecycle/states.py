"""Which status may follow which. Nothing else changes a status.

`QUEUED → RUNNING` by a worker is `ExperimentQueue.take`, one atomic update in the store.
"""

from __future__ import annotations

import platform
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import ValidationError

from tunesmith.errors import StateError, StorageError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.machine import this_machine
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store

if TYPE_CHECKING:
    from tunesmith.config.schema import JobConfig

S = ExperimentStatus
TRANSITIONS: dict[ExperimentStatus, frozenset[ExperimentStatus]] = {
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.QUEUED}),
    S.FAILED: frozenset({S.RUNNING, S.QUEUED}),
    S.CANCELLED: frozenset({S.RUNNING, S.QUEUED}),
    S.SUCCEEDED: frozenset(),
}
"""Status → what may follow it. Ended experiments that didn't succeed may be resumed."""


def new_lease() -> str:
    """A random token that tells the one process that may write to an experiment from all others."""
    return secrets.token_hex(16)


def this_process() -> dict[str, Any]:
    """What tells this process apart from all others, for an experiment's record."""
    process = psutil.Process()
    return {
        "pid": process.pid,
        "host": platform.node(),
        "machine": this_machine(),
        "process_started": seconds_after_boot(process),
    }


def seconds_after_boot(process: psutil.Process) -> float:
    """When `process` began, after the machine did: both by its clock, whose changes fall out."""
    return process.create_time() - psutil.boot_time()


def job_of(experiment: Experiment) -> JobConfig:
    """The `job` section of what was asked; the defaults where this version can't read it.

    A record of another version must not stop those who watch over all experiments: the process
    that is to train it says what is wrong with its configuration.
    """
    kind: type[JobConfig] = load("tunesmith.config.schema").JobConfig
    try:
        return kind.model_validate(experiment.config.get("job", {}))
    except ValidationError:
        return kind()


def why_not_again(experiment: Experiment, when_succeeded: str) -> str | None:
    """Why `experiment` can't go on; None where it failed or was cancelled, and so can."""
    return {
        S.SUCCEEDED: when_succeeded,
        S.RUNNING: say("it is running"),
        S.QUEUED: say("it waits in the queue"),
    }.get(experiment.status)


def start(store: Store, experiment: Experiment, lease: str, **process: Any) -> Experiment:
    """Begin to train it here, under `lease`; not for queued ones. Raises StateError."""
    _require_transition(experiment, S.RUNNING)
    return store.change_status(
        experiment.id,
        S.RUNNING,
        {experiment.status},
        lease=lease,
        heartbeat=experiment.heartbeat + 1,
        queue=None,
        worker=None,
        reason=None,
        started_at=experiment.started_at or utc_now(),
        finished_at=None,
        cancel_requested_at=None,
        **process,
    )


def end(
    store: Store,
    experiment: Experiment,
    to: ExperimentStatus,
    *,
    lease: str | None,
    **changes: Any,
) -> Experiment:
    """End `experiment` with the status `to`: one atomic update, then its record on disk.

    Raises StateError when the transition is illegal or the status isn't what it was, and
    LeaseLostError when another process runs it now.
    """
    _require_transition(experiment, to)
    changed = store.change_status(
        experiment.id,
        to,
        {experiment.status},
        under=lease,
        **{"lease": None, "time_left": None, "finished_at": utc_now(), **changes},
    )
    write_record(changed)
    return changed


def queue_again(
    store: Store,
    experiment: Experiment,
    *,
    last: bool,
    lease: str | None = None,
    **changes: Any,
) -> Experiment:
    """Put `experiment` into the queue once more: at its old place, or as the `last`.

    Raises StateError when the transition is illegal or the status isn't what it was, and
    LeaseLostError when another process runs it now.
    """
    _require_transition(experiment, S.QUEUED)
    changed = store.queue.requeue(
        experiment.id, {experiment.status}, last=last, lease=lease, **changes
    )
    write_record(changed)
    return changed


def write_record(experiment: Experiment) -> None:
    """Write the record into the experiment's folder, where this machine has it.

    A disk that is full changes nothing about what has happened, and what the store says of it.
    """
    folder = Path(experiment.directory or "")
    if experiment.directory and folder.is_dir():
        with suppress(StorageError):
            ExperimentFolder(folder).write_record(experiment)


def _require_transition(experiment: Experiment, to: ExperimentStatus) -> None:
    if to not in TRANSITIONS[experiment.status]:
        raise StateError(
            "experiment {id} is {status} and can't become {to}.",
            id=experiment.id,
            status=experiment.status,
            to=to,
        )
