"""One thing that may be deleted: what it is, how large, and how it goes without harm to others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tunesmith.errors import StorageError
from tunesmith.files.writing import PARTIAL

ASIDE = ".gc-"
"""How the name of what is being deleted begins: one rename takes it from all who look for it."""


class Kind(StrEnum):
    """What something that is left over is."""

    CHECKPOINT = "checkpoint"
    HALF_WRITTEN = "half-written"
    NEVER_BEGUN = "never begun"
    UPLOAD = "upload"
    DELETED = "deleted"
    CACHE = "cache"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class Leftover:
    """Something that nobody needs any more."""

    kind: Kind
    place: str
    """Its path or address."""
    size: int
    """Bytes."""
    why: str
    remove: Callable[[], bool]
    """Deletes it; False when it was needed again meanwhile, and stays. Raises StorageError."""


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links count as themselves."""
    return sum(_size(each) for each in (path, *_within(path)))


def last_change(path: Path) -> float:
    """When something in `path` last changed, by this machine's clock."""
    return max(_changed(each) for each in (path, *_within(path)))


def seconds_since(moment: float) -> float:
    """Seconds since `moment`, by this machine's clock."""
    return time.time() - moment


def half_written(folder: Path) -> list[Path]:
    """What lies in `folder` under a name that nobody looks for: begun and never finished."""
    return [
        path
        for path in children(folder)
        if path.name.startswith(ASIDE)
        or (path.name.startswith(".") and path.name.endswith(PARTIAL))
    ]


def children(folder: Path) -> list[Path]:
    """What lies in `folder`, by name; nothing where it is a link, or isn't there."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def set_aside(paths: Iterable[Path]) -> list[Path]:
    """Rename each of `paths`, so that nobody finds it any more; returns where they are now.

    Quick, whatever their size. One that is gone meanwhile is left out. Raises StorageError.
    """
    aside = []
    for path in paths:
        hidden = path.with_name(f"{ASIDE}{path.name.removeprefix(ASIDE)}")
        with _deleting(path):
            path.rename(hidden)
            aside.append(hidden)
    return aside


def delete(paths: Iterable[Path]) -> None:
    """Delete files and folders; links go, and not what they lead to. Raises StorageError."""
    for path in paths:
        with _deleting(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def delete_now(path: Path) -> bool:
    """Delete what nobody can need again: out of sight first, then for good. Raises StorageError."""
    aside = set_aside([path])
    delete(aside)
    return bool(aside)


def _within(path: Path) -> list[Path]:
    return [] if path.is_symlink() or not path.is_dir() else list(path.rglob("*"))


def _size(path: Path) -> int:
    try:
        return 0 if path.is_dir() and not path.is_symlink() else path.lstat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _deleting(path: Path) -> Iterator[None]:
    """Turns a failed rename or deletion into a StorageError; what is gone already is no failure."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(
            "{path} can't be deleted: {error}.", path=path, error=error.strerror or error
        ) from error
