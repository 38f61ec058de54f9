"""One file → one Arrow table: endings, compression, encodings and Parquet."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import charset_normalizer
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.data import delimited, jsonl
from tunesmith.errors import DataError, nearest

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
UNREAD = (
    ".txt",
    ".xlsx",
    ".xls",
    ".ods",
    ".zip",
    ".tar",
    ".7z",
    ".arrow",
    ".feather",
    ".avro",
    ".orc",
)
"""Endings that say "this is meant as a file", though we don't read it."""

ROW = "_row"
"""Column with the 1-based number of the data row in its source."""

_Reader = Callable[[bytes, Path], pa.Table]
_READERS: dict[str, _Reader] = {
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


def read_file(path: Path) -> pa.Table:
    """The rows of one file, in order, with the column `_row`; nothing is dropped or converted.

    CSV and TSV columns are strings, exactly as written. JSON values keep their types (text that
    looks like a date stays text). Parquet columns are as the file's schema says. A column `_row` of
    the file itself, as in an earlier report, is replaced.

    Raises DataError, in one paragraph that names the file and where possible the line, when the
    file is missing, empty, cut short, of an ending that isn't read, not UTF-8 or UTF-16 with a
    byte-order mark, not well formed, or without data rows.
    """
    kind, compression = ending(path.name)
    if not path.exists():
        raise DataError(missing(path))
    if not kind:
        raise DataError(
            f"{path}: files of this ending are not read; accepted: {', '.join(FORMATS)}, "
            f"each also with {', '.join(COMPRESSIONS)}"
        )
    data = _read_bytes(path, compression)
    if not data:
        raise DataError(f"{path} is empty (0 bytes)")
    if kind == ".parquet":
        table = _read_parquet(data, path)
    else:
        table = _READERS[kind](to_utf8(data, path), path)
    if table.num_rows == 0:
        raise DataError(f"{path} has no data rows")
    return with_row_numbers(table)


def with_row_numbers(table: pa.Table) -> pa.Table:
    """`table` with the int64 column `_row`, 1 for its first row."""
    if ROW in table.column_names:
        table = table.drop_columns([ROW])
    return table.append_column(ROW, pa.array(np.arange(1, table.num_rows + 1, dtype=np.int64)))


def missing(path: Path) -> str:
    """The message for a path that isn't there, with the nearest name in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return f"{path}: there is no such file, and no folder {folder}"
    likely = nearest(path.name, (entry.name for entry in folder.iterdir()))
    hint = f"; did you mean {folder / likely}?" if likely else f" in {folder.resolve()}"
    return f"{path}: there is no such file{hint}"


def to_utf8(data: bytes, path: Path) -> bytes:
    """`data` as UTF-8 without a byte-order mark; UTF-16 and UTF-32 with one are converted.

    Raises DataError naming the line and the byte when it can't be decoded.
    """
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode()
            except UnicodeError as error:
                raise DataError(
                    f"{path} begins like {encoding.upper()} text, but isn't: {error}; "
                    "save it again as UTF-8"
                ) from error
    data = data.removeprefix(codecs.BOM_UTF8)
    if _is_utf8(data):
        if data[:4096].count(0) > len(data[:4096]) // 4:
            raise DataError(
                f"{path} looks like UTF-16 text without a byte-order mark, or like a binary file; "
                "save it again as UTF-8"
            )
        return data
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise DataError(_undecodable(data, error.start, path)) from error
    return data


def _is_utf8(data: bytes) -> bool:
    """Whether `data` is UTF-8, by Arrow's check: much faster than decoding, and needs no copy."""
    offsets = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _undecodable(data: bytes, start: int, path: Path) -> str:
    line = data.count(b"\n", 0, start) + 1
    sample = data[max(0, start - 20_000) : start + 20_000]
    guess = charset_normalizer.from_bytes(sample).best()
    looks = f"; it looks like {guess.encoding}" if guess else ""
    return (
        f"{path}:{line} has a byte that is not UTF-8 (0x{data[start]:02x}, byte {start + 1} of the "
        f"file){looks}; save the file again as UTF-8"
    )


def _read_bytes(path: Path, compression: str) -> bytes:
    try:
        if not compression:
            return path.read_bytes()
        with pa.input_stream(str(path), compression=COMPRESSIONS[compression]) as stream:
            return bytes(stream.read())
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{path} can't be read: {error.strerror or error}") from error
        # Arrow reports what a broken archive is wrong with as an OSError without a number.
        raise DataError(
            f"{path} is cut short or not a {compression} file ({error}); copy or download it again"
        ) from error


def _read_parquet(data: bytes, path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is cut short or not a Parquet file ({_first_line(error)}); "
            "copy or download it again"
        ) from error
    doubled = {name for name in table.column_names if table.column_names.count(name) > 1}
    if doubled:
        raise DataError(f"{path}: these columns stand more than once: {', '.join(sorted(doubled))}")
    for name in table.column_names:
        _check_strings(table.column(name), name, path)
    return table.replace_schema_metadata(None)


def _check_strings(column: pa.ChunkedArray, name: str, path: Path) -> None:
    """Raises DataError naming the first row of a Parquet string column whose bytes aren't UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise DataError(f"{path}: column {name} is damaged: {_first_line(error)}") from error
        for row, value in enumerate(column.cast(pa.large_binary(), safe=False).to_pylist(), 1):
            try:
                (value or b"").decode()
            except UnicodeDecodeError as undecodable:
                raise DataError(
                    f"{path}: column {name}, row {row} has a byte that is not UTF-8 "
                    f"(0x{value[undecodable.start]:02x}); write the file again with UTF-8 text"
                ) from undecodable


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
