"""Which checkpoints of an ended experiment nobody needs: here, and in its copy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from tunesmith.errors import NotFoundError
from tunesmith.experiments.cleanup.leftovers import (
    Kind,
    Leftover,
    children,
    delete,
    half_written,
    set_aside,
    size_of,
)
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import DAMAGED, LAST_OF_CHECKPOINT
from tunesmith.messages import say
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

_STATE = "trainer_state.json"
"""The file in which transformers' Trainer names the best checkpoint so far."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")

ReadState = Callable[[str], bytes]
"""Gives the `trainer_state.json` of the checkpoint of this name."""


def spare_checkpoints(
    found: Mapping[str, bool], keep: int, read_state: ReadState
) -> Collection[str]:
    """Of the checkpoints `found` (name → whole), those without which it can be resumed as well.

    What resuming needs: the newest whole one, and the best one that it names, which is loaded at
    the end. So the `keep` newest whole ones stay, with the best of each; with 0 none does. Where
    one doesn't say which was its best, all stay. Names that are no checkpoint's are left alone.
    """
    ours = [name for name in found if _CHECKPOINT.fullmatch(name)]
    whole = sorted((name for name in ours if found[name]), key=_step)
    kept = set(whole[-keep:] if keep else ())
    for name in list(kept):
        try:
            kept |= _best_named_by(json.loads(read_state(name)))
        except (OSError, ValueError, TypeError, AttributeError, NotFoundError):
            return ()
    return [name for name in sorted(ours, key=_step) if name not in kept]


def spare_files_here(
    experiment: Experiment, of: ExperimentFolder, keep: int, why: str, store: Store
) -> Iterator[Leftover]:
    """What may go of an ended experiment's folder: checkpoints, and what was only half written."""
    folder = of.checkpoints
    inside = children(folder)
    spare = spare_checkpoints(
        {path.name: (path / LAST_OF_CHECKPOINT).is_file() for path in inside},
        keep,
        lambda name: (folder / name / _STATE).read_bytes(),
    )
    for name in spare:
        yield _here(Kind.CHECKPOINT, folder / name, why, experiment, store)
    for path in inside:
        if path.name.endswith(DAMAGED):
            yield _here(Kind.CHECKPOINT, path, say("it is damaged"), experiment, store)
    for place in (folder, of.path, of.predictions.parent):
        for path in half_written(place):
            yield _here(Kind.HALF_WRITTEN, path, say("nobody finishes it"), experiment, store)


def spare_copies(
    experiment: Experiment,
    name: str,
    files: Mapping[str, int],
    keep: int,
    why: str,
    store: Store,
    copies: Copies,
) -> Iterator[Leftover]:
    """What may go of the copy `name` of an ended experiment's folder, which has these `files`."""
    inside: dict[str, list[str]] = {}
    for path in files:
        parts = PurePosixPath(path).parts
        if len(parts) > 2 and parts[0] == "checkpoints":
            inside.setdefault(parts[1], []).append(path)
    found = {
        each: f"checkpoints/{each}/{LAST_OF_CHECKPOINT}" in paths for each, paths in inside.items()
    }

    def read_state(each: str) -> bytes:
        return b"".join(copies.read(name, f"checkpoints/{each}/{_STATE}"))

    for each in spare_checkpoints(found, keep, read_state):
        yield Leftover(
            Kind.CHECKPOINT,
            f"{copies.address}/{name}/checkpoints/{each}",
            sum(files[path] for path in inside[each]),
            why,
            partial(_remove_copies, experiment, name, inside[each], store, copies),
        )


def _here(kind: Kind, path: Path, why: str, experiment: Experiment, store: Store) -> Leftover:
    def remove() -> bool:
        with store.held_as(experiment) as same:
            aside = set_aside([path]) if same else []
        delete(aside)
        return bool(aside)

    return Leftover(kind, str(path), size_of(path), why, remove)


def _remove_copies(
    experiment: Experiment, name: str, paths: list[str], store: Store, copies: Copies
) -> bool:
    """Delete one checkpoint's copies, a few small requests, while nobody can begin anew."""
    with store.held_as(experiment) as same:
        if same:
            copies.remove(name, paths)
    return same


def _step(name: str) -> int:
    return int(name.rpartition("-")[2])


def _best_named_by(state: Mapping[str, object]) -> set[str]:
    """The best checkpoint's name, by each of the two fields that tell it."""
    named = state.get("best_model_checkpoint")
    step = state.get("best_global_step")
    names = {PurePosixPath(str(named)).name} if named else set()
    return names | ({f"checkpoint-{step}"} if step else set())
