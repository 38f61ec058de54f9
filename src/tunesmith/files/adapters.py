"""Saved adapters as files: in their experiment's folder, or fetched into the cache; no torch."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tunesmith.errors import StorageError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import ADAPTER, WEIGHTS
from tunesmith.files.writing import made_whole, mark_as_used

NEEDED = ("adapter_config.json", WEIGHTS, "tunesmith.json")
"""The files without which an adapter can't answer."""


def saved_adapter(folder: ExperimentFolder, kept: Path) -> Path | None:
    """The folder of this machine with the adapter of an experiment; None where there is none.

    What only the object store has is fetched into the folder `kept`, of the cache. Raises
    StorageError when it can't be.
    """
    if _is_whole(folder.adapter):
        return folder.adapter
    if _is_whole(kept):
        mark_as_used(kept)
        return kept
    if folder.copies is None:
        return None
    copies, name = folder.copies, folder.path.name
    # Files only, directly inside: that is all that a training leaves there.
    paths = map(PurePosixPath, copies.files(name))
    names = {path.name for path in paths if path.parent.as_posix() == ADAPTER}
    if not names >= set(NEEDED):
        return None
    try:
        with made_whole(kept, stays=_is_whole) as staging:
            staging.mkdir()
            for each in names:
                with (staging / each).open("wb") as stream:
                    stream.writelines(copies.read(name, f"{ADAPTER}/{each}"))
    except OSError as error:
        raise StorageError(
            "the adapter can't be fetched into the cache folder {folder}: {error}",
            folder=kept.parent.parent,
            error=error.strerror or error,
        ) from error
    return kept


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in NEEDED)
