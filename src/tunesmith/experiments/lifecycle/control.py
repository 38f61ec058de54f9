"""What people do with a recorded experiment: cancel, resume, retry, rerun, edit, delete."""

from __future__ import annotations

import logging
import shutil
from typing import Any

from tunesmith.config.yaml import read_draft
from tunesmith.errors import LeaseLostError, StateError, StorageError
from tunesmith.experiments.lifecycle.edits import ExperimentEdit
from tunesmith.experiments.lifecycle.states import S, end, queue_again, why_not_again
from tunesmith.experiments.lifecycle.submission import enqueue, queue_of
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder, about
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store

log = logging.getLogger("tunesmith")


def cancel(
    experiment_id: str, store: Store, *, by: str = "", reason: str | None = None
) -> Experiment:
    """Cancel a waiting experiment at once; ask a running one to save a checkpoint and stop.

    `reason` is by default that it was cancelled, and who did so. Asking twice is harmless. Raises
    NotFoundError, and StateError when it has ended.
    """
    reason = reason or (say("Cancelled by {by}.", by=by) if by else say("Cancelled."))
    while True:
        experiment = store.get(experiment_id)
        if experiment.cancel_requested_at is not None and experiment.status is S.RUNNING:
            return experiment
        try:
            if experiment.status is not S.RUNNING:
                return end(store, experiment, S.CANCELLED, lease=None, reason=reason)
            store.queue.write(
                experiment_id,
                str(experiment.lease),
                cancel_requested_at=utc_now(),
                reason=reason,
            )
        except (StateError, LeaseLostError):
            if experiment.status.is_finished:
                raise StateError(
                    say(
                        "experiment {id} can't be cancelled: it has {status}.",
                        id=experiment_id,
                        status=experiment.status,
                    )
                    if experiment.status is not S.CANCELLED
                    else say("experiment {id} is cancelled already.", id=experiment_id)
                ) from None
            # It was taken, ended or put back meanwhile: look again.


def resume(experiment_id: str, store: Store) -> Experiment:
    """Queue a failed or cancelled experiment again, to go on from its newest whole checkpoint.

    Raises NotFoundError, StateError when it waits, runs or has succeeded, and ConfigError when this
    version takes its configuration no longer.
    """
    return _again(experiment_id, store, "resumed")


def retry(experiment_id: str, store: Store) -> Experiment:
    """Queue one that failed or was cancelled again, from the start. Raises what `resume` raises."""
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
    """Queue a new one with its configuration; `confined` as in `enqueue`. Raises ConfigError."""
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
            "experiment {id} is {status}: cancel it before deleting it.",
            id=experiment_id,
            status=experiment.status,
        )
    store.registry.require_free(experiment_id)  # before its copy goes; the store asks once more
    place = ExperimentFolder.of(experiment, settings)
    folder, ours = place.path, place.is_ours(experiment_id, settings.results_dir)
    hidden = folder.with_name(f".deleted-{folder.name}")
    copied = False
    try:
        if ours:
            folder.rename(hidden)
        try:
            if place.copies is not None:
                copied = place.copies.delete(folder.name, experiment_id)
            store.delete(experiment_id)
        except BaseException:
            if ours:
                hidden.rename(folder)
            raise
        if ours:
            shutil.rmtree(hidden)
    except OSError as error:
        raise StorageError(
            "{folder} can't be deleted: {error}", folder=folder, error=error.strerror or error
        ) from error
    return ours or copied


def delete_left_over(store: Store, settings: Settings) -> list[str]:
    """Delete what this machine has of experiments that were deleted on another one.

    Only what was deleted on purpose, and is not recorded again: losing the database loses nothing.
    Without `settings.artifacts` machines share their files, and nothing is left over. Returns the
    names of the folders. Raises StorageError.
    """
    copies = Copies.of(settings)
    swept = []
    for name, experiment_id in copies.deleted() if copies is not None else ():
        folder = settings.results_dir / name
        ours = ExperimentFolder(folder).is_ours(experiment_id, settings.results_dir)
        if not ours or store.known(experiment_id) is not None:
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(
                "{folder} can't be deleted: {error}", folder=folder, error=error.strerror or error
            ) from error
        swept.append(name)
    return swept


def _write_about(experiment: Experiment, settings: Settings) -> None:
    """Keep what people say of `experiment` with its files: here, and where copies of them are."""
    try:
        ExperimentFolder.of(experiment, settings).write_about(experiment)
    except StorageError as error:
        log.warning("%s What was said of the experiment stands in the store alone.", error)


def _again(experiment_id: str, store: Store, verb: str, **changes: Any) -> Experiment:
    experiment = store.get(experiment_id)
    rerun_it = say("it has already succeeded; rerun it to train a new experiment like it")
    if hint := why_not_again(experiment, rerun_it):
        raise StateError(
            "experiment {id} can't be {verb}: {hint}.", id=experiment_id, verb=verb, hint=hint
        )
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
