"""The files of one experiment, wherever they lie: this machine's folder, or the object store.

A path from the network never leads out of the folder: no `..`, no hidden file, no link anywhere.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tunesmith.errors import NotFoundError, shorten
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import ExperimentFiles
from tunesmith.tracking.machine import is_this_machine

PIECE = 1 << 18
"""Bytes that are read at once."""

ADAPTER = "artifacts/final_model"
LOG = "logs.txt"


class ExperimentFolder:
    """The files of an experiment, to be read."""

    def __init__(self, experiment: Experiment, settings: Settings) -> None:
        self._experiment = experiment
        self._folder = Path(experiment.directory) if experiment.directory else None
        self._copies: Artifacts | None = None
        here = is_this_machine(experiment.machine, experiment.host)
        if settings.artifacts and self._folder and not here:
            self._copies = Artifacts(settings.artifacts)

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

    def local(self, path: str) -> Path | None:
        """The file on this machine; None where it lies in the object store.

        Raises NotFoundError when it is in neither, or the path is none of this folder.
        """
        if _is_plain(path) and self._folder is not None:
            if self._copies is not None and path in self._copies.files(self._folder.name):
                return None
            inside = _inside(self._folder, path)
            if inside is not None:
                return inside
        raise NotFoundError(
            f"experiment {self._experiment.id} has no file {shorten(path)}; "
            f"GET /experiments/{self._experiment.id}/files lists them."
        )

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, piece by piece.

        Raises NotFoundError when it isn't there.
        """
        local = self.local(path)
        if local is not None:
            with local.open("rb") as stream:
                stream.seek(offset)
                while piece := stream.read(PIECE):
                    yield piece
        elif self._copies is not None and self._folder is not None:
            for piece in self._copies.read(self._folder.name, path):
                if offset < len(piece):
                    yield piece[offset:]
                offset = max(0, offset - len(piece))

    def read_log(self, offset: int, limit: int) -> tuple[bytes, int]:
        """Bytes of logs.txt from `offset` on, at most `limit`, and the log's size now.

        Nothing where there is no log yet; an offset beyond its end is its end.
        """
        try:
            local = self.local(LOG)
        except NotFoundError:
            return b"", 0
        if local is not None:
            with local.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(min(offset, size))
                return stream.read(limit), size
        whole = b"".join(self.read(LOG))
        return whole[offset : offset + limit], len(whole)

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
                    for piece in self.read(path):
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
