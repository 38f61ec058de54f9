"""Checkpoints on disk: which are whole, and still as they were written.

A checkpoint becomes visible whole, by a rename; what may change it afterwards is a failing disk, a
copy that broke off, or somebody. So each holds the SHA-256 of all its files, and one that no longer
fits them is passed over: a training that went on from it would learn from noise.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import transformers
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from tunesmith.errors import StorageError
from tunesmith.files.layout import DAMAGED, LAST_OF_CHECKPOINT, WEIGHTS
from tunesmith.files.writing import hashes
from tunesmith.messages import say

HASHES_FILE = "hashes.json"
"""Name of a checkpoint's file → SHA-256, of all but itself."""


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first, whole or not."""
    found = folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return sorted((p for p in found if p.name.rpartition("-")[2].isdecimal()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which it was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def seal(checkpoint: Path) -> None:
    """Write the hashes of its files into it, the last of all. Raises OSError."""
    (checkpoint / HASHES_FILE).write_text(json.dumps(hashes(checkpoint)), encoding="utf-8")


def damage(checkpoint: Path) -> str | None:
    """What is wrong with it, in a few words; None where it is as it was written.

    Of one of a version that wrote no hashes, only what it needs is looked for.
    """
    if not checkpoint.is_dir():
        return say("it is gone")
    try:
        written = json.loads((checkpoint / HASHES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        needed = (LAST_OF_CHECKPOINT, WEIGHTS)
        missing = [name for name in needed if not (checkpoint / name).is_file()]
        return say("its {name} is gone", name=missing[0]) if missing else None
    except (OSError, ValueError):
        written = None
    if not isinstance(written, dict):
        return say("its {name} can't be read", name=HASHES_FILE)
    try:
        there = hashes(checkpoint)
    except OSError as error:
        return say("it can't be read: {error}", error=error.strerror or error)
    for name, expected in written.items():
        if name not in there:
            return say("its {name} is gone", name=name)
        if there[name] != expected:
            return say("its {name} is not what was written", name=name)
    return None


def newest(folder: Path) -> tuple[Path | None, dict[str, str]]:
    """The newest whole checkpoint to go on from, and what is wrong with those after it, by name.

    One whose best checkpoint, which is loaded at the end, is damaged or gone can't be gone on from
    either.
    """
    passed_over: dict[str, str] = {}
    for checkpoint in reversed(checkpoints(folder)):
        wrong = damage(checkpoint)
        best = None if wrong else _best_of(checkpoint)
        if best is not None and best != checkpoint and (of_best := damage(best)):
            wrong = say(
                "{name}, the best until then, can't be loaded: {reason}",
                name=best.name,
                reason=of_best,
            )
        if wrong is None:
            return checkpoint, passed_over
        passed_over[checkpoint.name] = wrong
    return None, passed_over


def hide(damaged: Path) -> None:
    """Rename one that was passed over: rotation would count it, and delete good ones instead.

    Raises StorageError when it can't be renamed.
    """
    hidden = damaged.with_name(f".{damaged.name}{DAMAGED}")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        damaged.rename(hidden)
    except OSError as error:
        raise StorageError(
            "the damaged checkpoint {name} can't be renamed: {error}.",
            name=damaged,
            error=error.strerror or error,
        ) from error


def _best_of(checkpoint: Path) -> Path | None:
    """The best checkpoint that it names, in the folder where both lie now."""
    state = checkpoint / transformers.trainer.TRAINER_STATE_NAME
    try:
        named = json.loads(state.read_text(encoding="utf-8")).get("best_model_checkpoint")
    except (OSError, ValueError, AttributeError):
        return None
    return checkpoint.parent / Path(str(named)).name if named else None
