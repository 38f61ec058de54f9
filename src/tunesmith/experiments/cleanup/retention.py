"""What may be deleted without anybody missing it: found first, then removed where it still holds.

Rules, stated first:

- A live experiment is left alone altogether. One that failed or was cancelled can still be resumed
  as well as before, unless `checkpoint_days` says that it has waited for long enough.
- Logs, records, metrics, adapters and dataset versions are never left over.
- A folder that only isn't recorded may be all that a lost database left: it goes when `unrecorded`
  says so, and never while the store holds nothing.
- Whatever nobody has recorded yet may be about to be: what is younger than a day stays.
- Between looking and deleting an experiment may begin: each removal asks again, and holds the
  record while it takes the files out of sight.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tunesmith.errors import DataError, StateError
from tunesmith.experiments.cleanup.leftovers import (
    ASIDE,
    Kind,
    Leftover,
    children,
    delete,
    delete_now,
    half_written,
    last_change,
    seconds_since,
    set_aside,
    size_of,
)
from tunesmith.experiments.cleanup.spare_checkpoints import spare_copies, spare_files_here
from tunesmith.experiments.lifecycle.states import S
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store

HOUR, DAY = 3600.0, 86400.0

SETTLED = HOUR
"""Seconds after its end during which a process may still clear up behind an experiment."""

STALE = DAY
"""Seconds after which nobody is about to finish or record what he has begun."""

_FOLDER = re.compile(r".+_\d{8}_\d{6}")
"""The name of an experiment's folder."""

_DELETED = ".deleted-"


@dataclass(frozen=True)
class Policy:
    """What is kept beyond what is needed."""

    keep_checkpoints: int = 1
    """Newest whole checkpoints of an experiment that can be resumed, at least 1."""
    checkpoint_days: float | None = None
    """Days after its end when an experiment that didn't succeed loses its last one too."""
    cache_days: float = 30.0
    """Days for which what can be made again is kept unused."""
    unrecorded: bool = False
    """Whether experiments' folders go that the store doesn't know."""


def find_leftovers(store: Store, settings: Settings, policy: Policy) -> list[Leftover]:
    """All that `policy` doesn't keep, on this machine and in the object store; nothing is changed.

    Raises StateError when unrecorded folders may go and the store holds no experiment at all, and
    StorageError when the store or the object store can't be read.
    """
    experiments = store.list(details=False)
    if policy.unrecorded and not experiments:
        raise StateError(
            "{name} holds no experiment: is it the right one? Folders are put into "
            "it by `tunesmith experiments import {results_dir}`; none is deleted.",
            name=store.name,
            results_dir=settings.results_dir,
        )
    copies = Copies.of(settings)
    found = [
        *_of_ended(experiments, store, settings, policy, copies),
        *_in_results(experiments, store, settings, policy),
        *_in_cache(experiments, settings, policy),
    ]
    if copies is not None:
        found += _unknown_copies(experiments, store, copies, policy)
    return found


def _of_ended(
    experiments: Iterable[Experiment],
    store: Store,
    settings: Settings,
    policy: Policy,
    copies: Copies | None,
) -> Iterator[Leftover]:
    """What experiments that have ended don't need, in their folders and in the copies of these."""
    copied = copies.folders() if copies is not None else {}
    for experiment in experiments:
        if not experiment.directory or not _has_settled(experiment):
            continue
        keep, why = _checkpoints_kept(experiment, policy)
        folder = ExperimentFolder.of(experiment, settings, copies)
        if folder.is_ours(experiment.id, settings.results_dir):
            yield from spare_files_here(experiment, folder, keep, why, store)
        name = folder.path.name
        if copies is not None and name in copied:
            files = copied[name].files
            yield from spare_copies(experiment, name, files, keep, why, store, copies)


def _has_settled(experiment: Experiment) -> bool:
    return experiment.status.is_finished and _seconds_since_end(experiment) > SETTLED


def _seconds_since_end(experiment: Experiment) -> float:
    return (utc_now() - (experiment.finished_at or experiment.created_at)).total_seconds()


def _checkpoints_kept(experiment: Experiment, policy: Policy) -> tuple[int, str]:
    """How many checkpoints of an ended experiment stay, and why the others don't."""
    if experiment.status is S.SUCCEEDED:
        return 0, say("the experiment has succeeded")
    days = _seconds_since_end(experiment) / DAY
    if policy.checkpoint_days is not None and days > policy.checkpoint_days:
        return 0, say(
            "the experiment {status} {days:.0f} days ago", status=experiment.status, days=days
        )
    return max(policy.keep_checkpoints, 1), say("newer ones are whole")


def _in_results(
    experiments: Iterable[Experiment], store: Store, settings: Settings, policy: Policy
) -> Iterator[Leftover]:
    """What lies in the results folder and belongs to no recorded experiment."""
    results = settings.results_dir
    if not results.is_dir():
        return
    known = {Path(one.directory).name for one in experiments if one.directory}
    for path in sorted(results.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.startswith((_DELETED, ASIDE)):
            if _is_stale(path) and not _is_known(path, store):
                yield _plain(Kind.DELETED, path, say("it was being deleted"))
        elif _FOLDER.fullmatch(path.name) and path.name not in known and _is_stale(path):
            yield from _unknown_folder(path, store, policy)
    for path in children(results / "uploads"):
        if _is_stale(path):
            yield _plain(Kind.UPLOAD, path, say("its request is over"))
    for folder in (results, *children(results / "data_reports")):
        for path in half_written(folder):
            if path.is_file() and _is_stale(path):
                yield _plain(Kind.HALF_WRITTEN, path, say("nobody finishes it"))


def _unknown_folder(path: Path, store: Store, policy: Policy) -> Iterator[Leftover]:
    files = ExperimentFolder(path)
    empty = not any(each.exists() for each in (files.record, files.log, files.predictions.parent))
    if not empty and (not policy.unrecorded or _is_known(path, store)):
        return
    kind = Kind.NEVER_BEGUN if empty else Kind.UNRECORDED
    why = (
        say("it was made, and no experiment was recorded")
        if empty
        else say("the store doesn't know it")
    )
    yield Leftover(kind, str(path), size_of(path), why, partial(_remove_unknown, path, store))


def _remove_unknown(path: Path, store: Store) -> bool:
    """Delete a folder unless somebody recorded it meanwhile, as an import does."""
    if _is_known(path, store) or not _is_stale(path):
        return False
    aside = set_aside([path])
    if any(_is_known(each, store) for each in aside):
        aside[0].rename(path)
        return False
    delete(aside)
    return bool(aside)


def _in_cache(
    experiments: Iterable[Experiment], settings: Settings, policy: Policy
) -> Iterator[Leftover]:
    """What was not used for long: fetched adapters, converted models, encoded rows, base answers.

    All are marked as used.

    A training reads its base model again at its end, so no model goes while one needs a converted
    one, however long it takes.
    """
    converted = any(
        one.status.is_live and one.model_name.lower().endswith(".gguf") for one in experiments
    )
    for folder in ("adapters", "models", "encoded", "general"):
        for path in children(settings.cache_dir / folder):
            if path.name.startswith("."):
                if _is_stale(path):
                    yield _plain(Kind.HALF_WRITTEN, path, say("nobody finishes it"))
            elif not (folder == "models" and converted):
                days = seconds_since(path.lstat().st_mtime) / DAY
                if days > policy.cache_days:
                    yield _plain(Kind.CACHE, path, say("not used for {days:.0f} days", days=days))


def _unknown_copies(
    experiments: Iterable[Experiment], store: Store, copies: Copies, policy: Policy
) -> Iterator[Leftover]:
    """Copies of folders that belong to no recorded experiment."""
    known = {Path(one.directory).name for one in experiments if one.directory}
    deleted = {name for name, _ in copies.deleted()}
    for name, copied in sorted(copies.folders().items()):
        old = (utc_now() - copied.changed_at).total_seconds() > STALE
        if name in known or not old or not (policy.unrecorded or name in deleted):
            continue
        kind = Kind.DELETED if name in deleted else Kind.UNRECORDED
        why = say("it was deleted") if name in deleted else say("the store doesn't know it")
        yield Leftover(
            kind, f"{copies.address}/{name}", sum(copied.files.values()), why,
            partial(_remove_unknown_copy, name, list(copied.files), store, copies),
        )  # fmt: skip


def _remove_unknown_copy(name: str, paths: list[str], store: Store, copies: Copies) -> bool:
    if any(Path(one.directory or "").name == name for one in store.list(details=False)):
        return False
    copies.remove(name, paths)
    return True


def _plain(kind: Kind, path: Path, why: str) -> Leftover:
    return Leftover(kind, str(path), size_of(path), why, partial(delete_now, path))


def _is_stale(path: Path) -> bool:
    return seconds_since(last_change(path)) > STALE


def _is_known(folder: Path, store: Store) -> bool:
    """Whether the experiment in `folder` is recorded."""
    try:
        return store.known(ExperimentFolder(folder).read_record().id) is not None
    except DataError:
        return False
