"""Archives: .zip and .tar, packed or not, with one table in them or a file for each split."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any, cast

from tunesmith.data.reading.compressed import (
    CHUNK_BYTES,
    check_unfolded,
    compression_of,
    most_bytes,
    read_head,
    unpacking,
)
from tunesmith.data.reading.formats.spreadsheets import is_workbook
from tunesmith.errors import ConfigError, DataError
from tunesmith.messages import Message

ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")

MOST_FILES = 1000
"""Files of an archive, at most."""

_NO_DATA = {"__MACOSX"}
"""Folders that systems add."""


def is_archive(path: Path) -> bool:
    """Whether the file at `path` begins as archives do, and is no workbook, which is one too."""
    if not path.is_file():
        return False
    compression = compression_of(path)
    head = read_head(path, compression)
    if head.startswith(b"PK\x03\x04"):
        return not compression and not is_workbook(head)
    return head[257:262] == b"ustar"


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with the files of an archive, for as long as this is open.

    What is raised meanwhile names the archive instead.

    Links, devices, hidden files and what systems add are left out; a folder in which everything
    lies counts as the archive itself.

    Raises DataError when it is damaged, protected by a password, holds too many files or one whose
    name leads out of it, or unfolds to more than a file of its size may.
    """
    with TemporaryDirectory(prefix="tunesmith-") as name:
        folder = Path(name, "archive")
        folder.mkdir()
        try:
            _unpack(path, folder)
        except (
            *(OSError, EOFError, RuntimeError, ValueError, NotImplementedError, LZMAError),
            *(zipfile.BadZipFile, tarfile.TarError),
        ) as error:
            raise DataError(
                "{path} can't be unpacked ({error}); unpack it yourself, and give the file or "
                "folder in it",
                path=path,
                error=error,
            ) from error
        entries = list(folder.iterdir())
        while len(entries) == 1 and entries[0].is_dir():
            folder = entries[0]
            entries = list(folder.iterdir())
        try:
            yield folder
        except DataError as error:
            raise DataError(_renamed(str(error), folder, path)) from None
        except ConfigError as error:
            raise ConfigError(
                replace(problem, message=_renamed(problem.message, folder, path))
                for problem in error.problems
            ) from None


def _renamed(text: str, folder: Path, path: Path) -> str:
    def called(value: str) -> str:
        return value.replace(str(folder.resolve()), str(path)).replace(str(folder), str(path))

    return text.changed(called) if isinstance(text, Message) else called(text)


def _unpack(path: Path, folder: Path) -> None:
    most, size, out = most_bytes(), path.stat().st_size, 0
    for number, (name, source) in enumerate(_files(path), 1):
        if number > MOST_FILES:
            raise DataError("{path} holds more than {n:,} files", path=path, n=MOST_FILES)
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
            raise DataError(
                "{path} holds a file whose name leads out of it ({name})", path=path, name=name
            )
        if any(part.startswith(".") or part in _NO_DATA for part in parts):
            continue
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                out += len(chunk)
                check_unfolded(path, size, out, most)
                file.write(chunk)


def _files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of an archive: name and content."""
    compression = compression_of(path)
    if not compression and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                is_link = (part.external_attr >> 28) == 0o12
                if not part.is_dir() and not is_link:
                    with archive.open(part) as opened:
                        yield part.filename, opened
        return
    with (
        unpacking(path, compression) as stream,
        tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream, path)), mode="r|") as tar,
    ):
        for member in tar:
            if member.isreg() and not member.issparse():
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file


class _Bounded:
    """A stream of which no more is read than its file may unfold to: headers count too."""

    def __init__(self, stream: Any, path: Path) -> None:
        self.stream, self.path = stream, path
        self.size, self.most, self.out = path.stat().st_size, most_bytes(), 0

    def read(self, size: int) -> bytes:
        """The next bytes. Raises DataError beyond the bounds."""
        chunk = bytes(self.stream.read(size))
        self.out += len(chunk)
        check_unfolded(self.path, self.size, self.out, self.most)
        return chunk
