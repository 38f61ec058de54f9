"""What a format of files is, and what it reads: a file's content, packed or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from tunesmith.data.reading.compressed import read_bytes, read_head
from tunesmith.data.reading.encodings import USUAL, Decoded, decode, decode_head
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows


@dataclass(frozen=True)
class Content:
    """A regular file, and what is in it."""

    path: Path
    """Where it is; for messages too."""
    compression: str
    """The ending of the compression by which it is packed as a whole, such as `.gz`; or empty."""
    options: ReadingOptions

    @property
    def is_packed(self) -> bool:
        """Whether what it holds must be unpacked first: only then `path` isn't it."""
        return bool(self.compression)

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB at most, unpacked. Raises DataError when it can't be read."""
        return read_head(self.path, self.compression)

    @cached_property
    def text_head(self) -> str | None:
        """`head` as text; None where it is none."""
        return decode_head(self.head, self.options.encoding)

    def read(self) -> bytearray:
        """All of it, unpacked, read anew. Raises DataError as `read_bytes`."""
        return read_bytes(self.path, self.compression)

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Where it lies as a file that isn't packed, for as long as this is open.

        Raises DataError as `read`.
        """
        if not self.is_packed:
            yield self.path
            return
        with TemporaryDirectory(prefix="tunesmith-") as folder:
            path = Path(folder, self.path.stem)
            path.write_bytes(self.read())
            yield path


class Format(ABC):
    """One format of files."""

    name: ClassVar[str]
    """As `data.format` has it."""
    label: ClassVar[str]
    """What it is called in messages."""
    endings: ClassVar[tuple[str, ...]]
    """Endings of its files, lower case, the usual one first."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that it follows, besides `format`."""

    rank: ClassVar[int] = 0
    """Formats of a lower rank are asked first whether they recognize a file."""

    @abstractmethod
    def recognizes(self, content: Content) -> bool:
        """Whether a file begins as this format does, whatever it is called."""

    @abstractmethod
    def read(self, content: Content) -> FileRows:
        """The rows of a file. Raises DataError in one paragraph, ConfigError for an option."""


class TextFormat(Format):
    """A format that is text, in whatever encoding."""

    takes = frozenset({"encoding"})

    def recognizes(self, content: Content) -> bool:
        """Whether the text begins as this format does."""
        text = content.text_head
        return text is not None and self.recognizes_text(text)

    @abstractmethod
    def recognizes_text(self, head: str) -> bool:
        """Whether a text begins as this format does; its last line may be cut."""

    def read(self, content: Content) -> FileRows:
        """The rows of a file. Raises DataError in one paragraph, ConfigError for an option."""
        text: Decoded = decode(content.read(), content.path, content.options)
        rows = self.read_text(text.data, content.path, content.options)
        details = {
            **rows.details,
            **({"encoding": text.encoding} if text.encoding != USUAL else {}),
        }
        return replace(rows, details=details, notes=(*text.notes, *rows.notes))

    @abstractmethod
    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The rows of `data`, UTF-8 without a byte-order mark. Raises as `read`."""
