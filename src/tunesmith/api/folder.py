"""The files of one experiment, wherever they lie: this machine's folder, or the object store.

A path from the network never leads out of the folder: no `..`, no hidden file, no link anywhere.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from tunesmith.errors import NotFoundError, shorten
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import ExperimentFiles, find_folder
from tunesmith.tracking.machine import is_this_machine

PIECE = 1 << 18
"""Bytes that are read at once."""

ADAPTER = "artifacts/final_model"
LOG = "logs.txt"


@dataclass(frozen=True)
class StoredFile:
    """A file that can be read."""

    size: int
    """Bytes that it had when it was found."""
    read: Callable[[int, int], Iterator[bytes]]
    """Its bytes from one up to before another, piece by piece."""
    tag: str = ""
    """Changes when the file does: an ETag; empty where none is known."""


class ExperimentFolder:
    """The files of an experiment, to be read: here, or in the object store that has `copies`."""

    def __init__(
        self, experiment: Experiment, copies: Artifacts | None, results: Path | None = None
    ) -> None:
        """`results` is this machine's results folder: where one that was moved may lie."""
        self._experiment = experiment
        self._folder = Path(experiment.directory) if experiment.directory else None
        if self._folder is not None and results is not None:
            self._folder = find_folder(experiment, results)
        here = self._folder is None or is_this_machine(experiment.machine, experiment.host)
        self._copies = None if here else copies

    @property
    def is_here(self) -> bool:
        """Whether all of them are looked for on this machine alone, not in the object store."""
        return self._copies is None

    def list(self) -> dict[str, int]:
        """Path → bytes, by path. Raises StorageError when the copies can't be listed."""
        found = dict(_local_files(self._folder)) if self._folder else {}
        if self._copies is not None and self._folder is not None:
            copied = self._copies.files(self._folder.name)
            found |= {path: size for path, size in copied.items() if _is_plain(path)}
        return dict(sorted(found.items()))

    def find(self, path: str) -> StoredFile:
        """The file at `path`. Raises NotFoundError when this folder has none there."""
        if _is_plain(path) and self._folder is not None:
            if self._copies is not None:
                size = self._copies.files(self._folder.name).get(path)
                if size is not None:
                    return _copy(self._copies, self._folder.name, path, size)
            inside = _inside(self._folder, path)
            if inside is not None:
                return _local(inside)
        raise NotFoundError(
            f"experiment {self._experiment.id} has no file {shorten(path)}; "
            f"GET /experiments/{self._experiment.id}/files lists them."
        )

    def read_log(self, offset: int, limit: int) -> tuple[bytes, int]:
        """Bytes of logs.txt from `offset` on, at most `limit`, and the log's size now.

        Nothing where there is no log yet; an offset beyond its end is its end.
        """
        log = self._log()
        if log is None:
            return b"", 0
        begin = min(offset, log.size)
        return b"".join(log.read(begin, min(begin + limit, log.size))), log.size

    def _log(self) -> StoredFile | None:
        if self._folder is None:
            return None
        if self._copies is not None:
            # Looked at every second by each stream: never listed, never read whole.
            size = self._copies.size(self._folder.name, LOG)
            if size is not None:
                return _copy(self._copies, self._folder.name, LOG, size)
        inside = _inside(self._folder, LOG)
        return None if inside is None else _local(inside)

    def adapter(self) -> dict[str, int]:
        """Path → bytes of the files of the trained adapter. Raises NotFoundError without one."""
        found = {path: size for path, size in self.list().items() if path.startswith(f"{ADAPTER}/")}
        if not found:
            raise NotFoundError(
                f"experiment {self._experiment.id} has no adapter: it is {self._experiment.status}."
            )
        return found

    def zip_adapter(self) -> Iterator[bytes]:
        """The adapter as a ZIP archive, made while it is read; nothing of it is kept in memory.

        Uncompressed: weights don't shrink. Raises NotFoundError without one.
        """
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            for path in self.adapter():
                name = PurePosixPath(path).relative_to(ADAPTER).as_posix()
                entry = zipfile.ZipInfo(f"{self._experiment.name}/{name}")
                with archive.open(entry, "w", force_zip64=True) as stream:
                    file = self.find(path)
                    for piece in file.read(0, file.size):
                        stream.write(piece)
                        yield sink.take()
        yield sink.take()


class _Sink:
    """What a ZIP archive is written into: a stream that can only go on, and is emptied."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep `piece` until it is taken."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def take(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _local(path: Path) -> StoredFile:
    status = path.stat()
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    return StoredFile(status.st_size, partial(_read_local, path), tag)


def _read_local(path: Path, begin: int, end: int) -> Iterator[bytes]:
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"the file {path.name} was removed in this moment.") from None
    with stream:
        stream.seek(begin)
        while begin < end and (piece := stream.read(min(PIECE, end - begin))):
            begin += len(piece)
            yield piece


def _copy(copies: Artifacts, name: str, path: str, size: int) -> StoredFile:
    def read(begin: int, end: int) -> Iterator[bytes]:
        return copies.read(name, path, begin, end) if begin < end else iter(())

    return StoredFile(size, read)


def _local_files(folder: Path) -> Iterator[tuple[str, int]]:
    if not ExperimentFiles(folder).record.is_file():
        return  # never begun here, or none of ours
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).as_posix()
        if _is_plain(inner) and (inside := _inside(folder, inner)) is not None:
            yield inner, inside.stat().st_size


def _is_plain(path: str) -> bool:
    """Whether `path` leads straight down to what is no hidden file."""
    parts = path.split("/")
    return "\0" not in path and "\\" not in path and all(p and p[0] != "." for p in parts)


def _inside(folder: Path, path: str) -> Path | None:
    """The regular file at `path` in `folder`; None where there is none, or a link leads to it."""
    try:
        root = folder.resolve(strict=True)
        found = (root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return found if found == root / path and found.is_file() else None
