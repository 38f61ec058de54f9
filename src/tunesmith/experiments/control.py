"""What people do with a recorded experiment: cancel, resume, retry, rerun, edit, delete."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

from tunesmith.config.yaml import read_draft
from tunesmith.errors import DataError, LeaseLostError, NotFoundError, StateError, StorageError
from tunesmith.experiments.edits import ExperimentEdit
from tunesmith.experiments.states import S, end, local_folder, queue_again
from tunesmith.experiments.submission import enqueue, queue_of
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment, utc_now
from tunesmith.tracking.files import ABOUT, ExperimentFiles, about, write_text
from tunesmith.tracking.store import Store

log = logging.getLogger("tunesmith")

_one_writer = threading.Lock()


def cancel(
    experiment_id: str, store: Store, *, by: str = "", reason: str | None = None
) -> Experiment:
    """Cancel a waiting experiment at once; ask a running one to save a checkpoint and stop.

    `reason` is by default that it was cancelled, and who did so. Asking twice is harmless. Raises
    NotFoundError, and StateError when it has ended.
    """
    reason = reason or (f"Cancelled by {by}." if by else "Cancelled.")
    while True:
        experiment = store.get(experiment_id)
        if experiment.cancel_requested_at is not None and experiment.status is S.RUNNING:
            return experiment
        try:
            if experiment.status is not S.RUNNING:
                return end(store, experiment, S.CANCELLED, lease=None, reason=reason)
            store.jobs.write(
                experiment_id,
                str(experiment.lease),
                cancel_requested_at=utc_now(),
                reason=reason,
            )
        except (StateError, LeaseLostError):
            if experiment.status.is_finished:
                raise StateError(
                    f"experiment {experiment_id} can't be cancelled: it has {experiment.status}."
                    if experiment.status is not S.CANCELLED
                    else f"experiment {experiment_id} is cancelled already."
                ) from None
            # It was taken, ended or put back meanwhile: look again.


def resume(experiment_id: str, store: Store) -> Experiment:
    """Queue a failed or cancelled experiment again, to go on from its newest whole checkpoint.

    Raises NotFoundError, StateError when it waits, runs or has succeeded, and ConfigError when this
    version takes its configuration no longer.
    """
    return _again(experiment_id, store, "resumed")


def retry(experiment_id: str, store: Store) -> Experiment:
    """Queue a failed or cancelled experiment again, from the start: data, model, first step.

    Raises what `resume` raises.
    """
    return _again(
        experiment_id, store, "retried", dataset_hash=None, data={}, progress=0.0, metrics={}
    )


def rerun(
    experiment_id: str,
    store: Store,
    settings: Settings,
    *,
    owner: str = "",
    confined: bool = False,
) -> Experiment:
    """Queue a new experiment with the configuration of this one; `confined` as in `enqueue`.

    Raises NotFoundError, and ConfigError when this version takes the configuration no longer.
    """
    config = store.get(experiment_id).config
    return enqueue(read_draft(config), store, settings, owner=owner, confined=confined)


def edit(
    experiment_id: str, store: Store, settings: Settings, wanted: ExperimentEdit
) -> Experiment:
    """Change what people call and say of an experiment, whatever its status.

    Its folder keeps its name, and holds what was said; a disk that is full changes nothing about
    what the store says. Returns the experiment as it is then. Raises NotFoundError.
    """
    edited = store.edit(experiment_id, name=wanted.name, note=wanted.note, tags=wanted.tags)
    while True:
        _write_about(edited, settings)
        now = store.get(experiment_id)
        if about(now) == about(edited):
            return now
        edited = now  # another edit came between: whoever writes last writes what the store says


def delete(experiment_id: str, store: Store, settings: Settings) -> bool:
    """Delete an ended experiment, its metrics and its files; returns whether the files went too.

    Its copy in the object store goes first, so that none is left without a record; what other
    machines have is left to `delete_left_over`. A folder that was imported from elsewhere stays.
    Raises NotFoundError, StateError while it waits or runs or a registered version rests on it, and
    StorageError when files can't be deleted.
    """
    experiment = store.get(experiment_id)
    if experiment.status.is_live:
        raise StateError(
            f"experiment {experiment_id} is {experiment.status}: cancel it before deleting it."
        )
    store.registry.require_free(experiment_id)  # before its copy goes; the store asks once more
    folder = local_folder(experiment, settings)
    ours = is_ours(folder, experiment_id, settings)
    hidden = folder.with_name(f".deleted-{folder.name}")
    copied = False
    try:
        if ours:
            folder.rename(hidden)
        try:
            if settings.artifacts and experiment.directory:
                copied = Artifacts(settings.artifacts).delete(folder.name, experiment_id)
            store.delete(experiment_id)
        except BaseException:
            if ours:
                hidden.rename(folder)
            raise
        if ours:
            shutil.rmtree(hidden)
    except OSError as error:
        raise StorageError(f"{folder} can't be deleted: {error.strerror or error}") from error
    return ours or copied


def delete_left_over(store: Store, settings: Settings) -> list[str]:
    """Delete what this machine has of experiments that were deleted on another one.

    Only what was deleted on purpose, and is not recorded again: losing the database loses nothing.
    Without `settings.artifacts` machines share their files, and nothing is left over. Returns the
    names of the folders. Raises StorageError.
    """
    if not settings.artifacts:
        return []
    swept = []
    for name, experiment_id in Artifacts(settings.artifacts).deleted():
        folder = settings.results_dir / name
        if not is_ours(folder, experiment_id, settings) or is_recorded(experiment_id, store):
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(f"{folder} can't be deleted: {error.strerror or error}") from error
        swept.append(name)
    return swept


def _write_about(experiment: Experiment, settings: Settings) -> None:
    """Keep what people say of `experiment` with its files: here, and where copies of them are."""
    if not experiment.directory:
        return
    folder = local_folder(experiment, settings)
    try:
        if folder.is_dir():
            with _one_writer:
                write_text(folder / ABOUT, about(experiment))
        if settings.artifacts:
            copies = Artifacts(settings.artifacts)
            copies.put(folder.name, ABOUT, about(experiment).encode())
    except StorageError as error:
        log.warning("%s What was said of the experiment stands in the store alone.", error)


def _again(experiment_id: str, store: Store, verb: str, **changes: Any) -> Experiment:
    experiment = store.get(experiment_id)
    if experiment.status not in (S.FAILED, S.CANCELLED):
        hint = {
            S.SUCCEEDED: "it has already succeeded; rerun it to train a new experiment like it",
            S.RUNNING: "it is running",
            S.QUEUED: "it waits in the queue",
        }[experiment.status]
        raise StateError(f"experiment {experiment_id} can't be {verb}: {hint}.")
    queue = experiment.queue or queue_of(read_draft(experiment.config).config())
    return queue_again(
        store,
        experiment,
        last=True,
        queue=queue,
        restarts=0,
        reason=None,
        cancel_requested_at=None,
        **changes,
    )


def is_recorded(experiment_id: str, store: Store) -> bool:
    """Whether the store knows the experiment. Raises StorageError."""
    try:
        store.get(experiment_id)
    except NotFoundError:
        return False
    return True


def is_ours(folder: Path, experiment_id: str, settings: Settings) -> bool:
    """Whether `folder` is this experiment's, straight inside the results folder, and no link."""
    try:
        inside = folder.resolve().parent == settings.results_dir.resolve()
        return (
            inside
            and not folder.is_symlink()
            and ExperimentFiles(folder).read_record().id == experiment_id
        )
    except (DataError, OSError):
        return False
