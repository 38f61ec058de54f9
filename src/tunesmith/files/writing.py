"""Atomic writing: files and folders visible whole or not at all; and why one can't be written."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tunesmith.errors import StorageError, UserError
from tunesmith.files.permissions import settle
from tunesmith.messages import say
from tunesmith.messages.documents import with_messages

PARTIAL = ".partial"
"""How the hidden name of what is not whole yet ends."""

WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
"""What saving raises when the disk is full: Python, torch.save and safetensors each their own."""


# -- text and JSON ----------------------------------------------------------------------------


def write_text(path: Path, text: str | Iterable[str], *, private: bool = False) -> None:
    """Write `text`, or its parts as they are made; `private` files are their owner's alone.

    Raises StorageError when the disk is full or the folder can't be written.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            mode = 0o600 if private else 0o666
            made = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(made, "w", encoding="utf-8") as stream:
                stream.writelines([text] if isinstance(text, str) else text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON. Raises StorageError, as `write_text` does."""
    write_text(path, as_json(value))


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Write one JSON value a line; lines are made as they are written.

    Raises StorageError, as `write_text` does.
    """
    write_text(path, map(as_line, values))


def as_json(value: Any) -> str:
    """`value` as a JSON document; NaN and infinities are null."""
    document = with_messages(value) if isinstance(value, Mapping) else value
    return json.dumps(finite(document), ensure_ascii=False, indent=2, default=str) + "\n"


def as_line(value: Any) -> str:
    """`value` as a line of JSON; NaN and infinities are null."""
    return json.dumps(finite(value), ensure_ascii=False, default=str) + "\n"


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as null: JSON has none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns an OSError into a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            "{path} can't be written: {error}", path=path, error=error.strerror or error
        ) from error


# -- any file, any folder ---------------------------------------------------------------------


def beside(path: Path) -> Path:
    """Where to write `path` until it is whole: hidden in its folder, and nobody else's place.

    What a crash leaves there ends in PARTIAL.
    """
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write the file `path`: it gets its name at the end, and is gone where that fails."""
    partial = beside(path)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def made_whole(place: Path, stays: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """Where to make the file or folder `place`, under its own name in a hidden folder.

    It becomes `place` at the end, in place of what is there, unless that `stays`: another process
    was faster. Its folder is made. Raises OSError.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{place.name[:40]}.", suffix=PARTIAL, dir=place.parent, ignore_cleanup_errors=True
    ) as room:
        staging = Path(room) / place.name
        yield staging
        if not stays(place):
            make_visible(staging, place)


@contextmanager
def placed(place: Path, *, force: bool) -> Iterator[Path]:
    """Where to make the file or folder `place` for a user, as with `made_whole`.

    Raises UserError when something is there already, unless `force`, and StorageError when it
    can't be written.
    """
    if place.exists() and not force:
        raise UserError(
            "{place} is there already; --force replaces it, -o names another place.", place=place
        )
    try:
        with ExitStack() as stack:
            try:
                staging = stack.enter_context(made_whole(place))
            except OSError as error:
                raise StorageError(
                    "{place} can't be written: {error}. -o names another place.",
                    place=place,
                    error=error.strerror or error,
                ) from error
            yield staging
    except (OSError, SafetensorError) as error:
        raise StorageError(
            "{path} can't be written: {error}",
            path=place,
            error=why_not_written(place.parent, error),
        ) from error


def make_visible(written: Path, final: Path) -> None:
    """Flush the file or folder `written` to disk, then rename it to `final`, in place of that.

    Raises OSError when the disk is full or the folder can't be written.
    """
    settle(written)
    _flush(written)
    aside = beside(final)
    if final.is_dir():  # a folder isn't replaced by a rename
        final.rename(aside)
    written.replace(final)
    shutil.rmtree(aside, ignore_errors=True)


def _flush(written: Path) -> None:
    """What was written is on the disk after this, should the machine lose power."""
    for path in sorted(written.rglob("*")) if written.is_dir() else [written]:
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def why_not_written(folder: Path, error: BaseException) -> str:
    """Why a file couldn't be written to `folder`, in a sentence."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < 2**20 or "No space left" in str(error):
        return say(
            "the disk of {folder} is full ({free:.1f} MB free).", folder=folder, free=free / 1e6
        )
    return say(
        "{error} ({folder}, {free:,.0f} MB free).",
        error=str(error).strip().splitlines()[0],
        folder=folder,
        free=free / 1e6,
    )


def mark_as_used(kept: Path) -> None:
    """Note that something in the cache was used now, as its time of change: unused ones may go."""
    with suppress(OSError):  # a cache that was made beforehand may be read-only
        os.utime(kept)


# -- what was written -------------------------------------------------------------------------


def hashes(place: Path) -> dict[str, str]:
    """Name inside the folder `place` (or of the file itself) → SHA-256."""
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    root = place if place.is_dir() else place.parent
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
