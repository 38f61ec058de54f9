"""The place of what is made for a user: free, writable, and filled whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from tunesmith.errors import StorageError, UserError
from tunesmith.tracking.permissions import settle
from tunesmith.training.writing import why_not_written


@contextmanager
def placed(place: Path, *, force: bool) -> Iterator[Path]:
    """A path beside `place` to write a file or folder to; it becomes `place` if nothing fails.

    Raises UserError when something is there already, unless `force`, and StorageError when it
    can't be written.
    """
    if place.exists() and not force:
        raise UserError(f"{place} is there already; --force replaces it, -o names another place.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise StorageError(
            f"{place} can't be written: {error.strerror or error}. -o names another place."
        ) from error
    staging = room / place.name
    try:
        yield staging
        settle(staging)
        _flush(staging)
        if place.is_dir():
            place.rename(room / "before")
        staging.replace(place)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{place} can't be written: {why_not_written(place.parent, error)}"
        ) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def hashes(place: Path) -> dict[str, str]:
    """Name inside the folder `place` (or of the file itself) → SHA-256."""
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    root = place if place.is_dir() else place.parent
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(staging: Path) -> None:
    for path in sorted(staging.rglob("*")) if staging.is_dir() else [staging]:
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
