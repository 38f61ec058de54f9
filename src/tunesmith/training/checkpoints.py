"""Checkpoints on disk: which are whole, and still as they were written.

A checkpoint becomes visible whole, by a rename; what may change it afterwards is a failing disk, a
copy that broke off, or somebody. So each holds the SHA-256 of all its files, and one that no longer
fits them is passed over: a training that went on from it would learn from noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import transformers
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from tunesmith.tracking.files import LAST_OF_CHECKPOINT
from tunesmith.training.placing import hashes

HASHES_FILE = "hashes.json"
"""Name of a checkpoint's file → SHA-256, of all but itself."""


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    found = folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return sorted((p for p in found if (p / LAST_OF_CHECKPOINT).is_file()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which it was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def seal(checkpoint: Path) -> None:
    """Write the hashes of its files into it, the last of all. Raises OSError."""
    (checkpoint / HASHES_FILE).write_text(json.dumps(hashes(checkpoint)), encoding="utf-8")


def damage(checkpoint: Path) -> str | None:
    """What is wrong with it, in a few words; None where it is as it was written.

    One of a version that wrote no hashes is taken as it is.
    """
    try:
        written = json.loads((checkpoint / HASHES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return f"its {HASHES_FILE} can't be read"
    try:
        there = hashes(checkpoint)
    except OSError as error:
        return f"it can't be read: {error.strerror or error}"
    for name, expected in written.items():
        if name not in there:
            return f"its {name} is gone"
        if there[name] != expected:
            return f"its {name} is not what was written"
    return None


def newest(folder: Path) -> tuple[Path | None, dict[str, str]]:
    """The newest whole checkpoint to go on from, and what is wrong with those after it, by name.

    One whose best checkpoint, which is loaded at the end, is damaged can't be gone on from either.
    """
    passed_over: dict[str, str] = {}
    for checkpoint in reversed(checkpoints(folder)):
        wrong = damage(checkpoint)
        best = None if wrong else _best_of(checkpoint)
        if best is not None and best != checkpoint and (of_best := damage(best)):
            wrong = f"{best.name}, the best until then, is damaged: {of_best}"
        if wrong is None:
            return checkpoint, passed_over
        passed_over[checkpoint.name] = wrong
    return None, passed_over


def _best_of(checkpoint: Path) -> Path | None:
    """The best checkpoint that it names, where that is there."""
    state = checkpoint / transformers.trainer.TRAINER_STATE_NAME
    try:
        named = json.loads(state.read_text(encoding="utf-8")).get("best_model_checkpoint")
    except (OSError, ValueError, AttributeError):
        return None
    best = checkpoint.parent / Path(str(named)).name if named else None
    return best if best is not None and best.is_dir() else None
