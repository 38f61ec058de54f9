"""One file → its rows: endings, compression and encodings."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import charset_normalizer
import numpy as np
import pyarrow as pa

from tunesmith.data.reading import delimited, jsonl, parquet
from tunesmith.data.reading.compressed import COMPRESSIONS, read_bytes
from tunesmith.data.reading.rows import ROW, FileRows, Unreadable, number_rows
from tunesmith.errors import DataError, nearest

__all__ = [
    "ARCHIVES",
    "COMPRESSIONS",
    "FORMATS",
    "ROW",
    "UNREAD",
    "FileRows",
    "Unreadable",
    "ending",
    "missing",
    "read_file",
    "stem",
    "to_utf8",
]

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_TABLES = (".arrow", ".feather", ".avro", ".orc", ".db", ".sqlite")
UNREAD = (".txt", *ARCHIVES, *_SHEETS, *_TABLES)
"""Endings that say "this is meant as a file", though we don't read it."""

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or an Excel sheet",
    b"\x1f\x8b": "gzip: add .gz to its name",
    b"BZh": "bzip2: add .bz2 to its name",
    b"\x28\xb5\x2f\xfd": "Zstandard: add .zst to its name",
    b"PAR1": "Parquet: name it .parquet",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
}
"""The first bytes of files that are sometimes given a name of text."""

_Reader = Callable[[bytearray, Path], FileRows]
READERS: dict[str, _Reader] = {
    ".csv": lambda data, path: delimited.read(data, path, ","),
    ".tsv": lambda data, path: delimited.read(data, path, "\t"),
    ".json": jsonl.read_document,
    ".jsonl": jsonl.read_lines,
    ".ndjson": jsonl.read_lines,
}


def ending(name: str) -> tuple[str, str]:
    """The format and compression endings of a file name, lower case: `("", "")` where unknown."""
    path = Path(name.lower())
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    kind = Path(path.stem).suffix if compression else path.suffix
    return (kind, compression) if kind in FORMATS else ("", "")


def stem(name: str) -> str:
    """A file name without its format and compression endings."""
    kind, compression = ending(name)
    return name[: len(name) - len(kind) - len(compression)]


def exists(path: Path) -> bool:
    """Whether the path leads to something; a name that no disk can hold leads nowhere."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False


def read_file(path: Path) -> FileRows:
    """The rows of one file, in order, with the column `_row`, and those that can't be read.

    CSV and TSV columns are strings, exactly as written. JSON values keep their types (text that
    looks like a date stays text). Parquet columns are as the file's schema says. A column `_row` of
    the file itself, as in an earlier report, is replaced.

    Raises DataError, in one paragraph that names the file and where possible the line, when the
    file is missing, empty, cut short, of an ending that isn't read, not UTF-8 or UTF-16 with a
    byte-order mark, not well formed as a whole, or without data rows; or when it expands to more
    than 256 MiB and more than 100 times its size.
    """
    kind, compression = ending(path.name)
    if not exists(path):
        raise DataError(missing(path))
    if not kind:
        raise DataError(_unread(path))
    if kind == ".parquet" and not compression and path.is_file() and path.stat().st_size:
        rows = FileRows(number_rows(parquet.read(path, path)))
    else:
        data = read_bytes(path, compression)
        if not data:
            raise DataError(f"{path} is empty (0 bytes)")
        if kind == ".parquet":
            rows = FileRows(number_rows(parquet.read(data, path)))
        else:
            rows = READERS[kind](to_utf8(data, path), path)
    if rows.table.num_rows == 0:
        raise DataError(f"{path} has no data rows")
    return rows


def _unread(path: Path) -> str:
    """The message for a file of an ending that isn't read, with what to do."""
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    message = f"{path}: files of this ending are not read"
    if suffixes & set(ARCHIVES):
        return f"{message}; unpack the archive, and give the file or folder in it"
    if suffixes & set(_SHEETS):
        return f"{message}; save the sheet as CSV (UTF-8), and give that file"
    if suffixes & set(_TABLES):
        return f"{message}; write the table as Parquet, and give that file"
    return f"{message}; accepted: {', '.join(FORMATS)}, each also with {', '.join(COMPRESSIONS)}"


def missing(path: Path) -> str:
    """The message for a path that isn't there, with the nearest name in its folder."""
    folder = path.parent
    if not (exists(folder) and folder.is_dir()):
        return f"{path}: there is no such file, and no folder {folder}"
    likely = nearest(path.name, (entry.name for entry in folder.iterdir()))
    hint = f"; did you mean {folder / likely}?" if likely else f" in {folder.resolve()}"
    return f"{path}: there is no such file{hint}"


def to_utf8(data: bytearray, path: Path) -> bytearray:
    """`data` as UTF-8 without a byte-order mark; UTF-16 and UTF-32 with one are converted.

    A UTF-8 mark is taken out of `data` itself.

    Raises DataError naming the line and the byte when it can't be decoded.
    """
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"{path} is not text but {what}")
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            try:
                return bytearray(data.decode(encoding).encode())
            except UnicodeError as error:
                raise DataError(
                    f"{path} begins like {encoding.upper()} text, but isn't: {error}; "
                    "save it again as UTF-8"
                ) from error
    if data.startswith(codecs.BOM_UTF8):
        del data[: len(codecs.BOM_UTF8)]
    if not _is_utf8(data):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise DataError(_undecodable(data, error.start, path)) from error
    if data[:4096].count(0) > len(data[:4096]) // 4:
        raise DataError(
            f"{path} looks like UTF-16 text without a byte-order mark, or like a binary file; "
            "save it again as UTF-8"
        )
    return data


def _is_utf8(data: bytearray) -> bool:
    """Whether `data` is UTF-8, by Arrow's check: much faster than decoding, and needs no copy."""
    offsets = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _undecodable(data: bytearray, start: int, path: Path) -> str:
    line = data.count(b"\n", 0, start) + 1
    sample = bytes(data[max(0, start - 20_000) : start + 20_000])
    guess = charset_normalizer.from_bytes(sample).best()
    looks = f"; it looks like {guess.encoding}" if guess else ""
    return (
        f"{path}:{line} has a byte that is not UTF-8 (0x{data[start]:02x}, byte {start + 1} of the "
        f"file){looks}; save the file again as UTF-8"
    )
