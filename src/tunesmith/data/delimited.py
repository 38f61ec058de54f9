"""CSV and TSV: every column as text, exactly as written; every fault with its line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from tunesmith.errors import DataError, shorten

BLOCK_BYTES = 16 << 20
SHOWN_LINES = 5
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


def read(data: bytes, path: Path, delimiter: str) -> pa.Table:
    """The rows of `data` (UTF-8, first line the header) as string columns; `path` is for messages.

    Blank lines are no rows. A quoted value may hold line breaks; two quotes in it stand for one.

    Raises DataError when the header lacks or doubles names or is cut by another delimiter, when a
    row has more or fewer values than the header, or when a quote is never closed.
    """
    names = _header(data, path, delimiter)
    if data.count(b'"') % 2:
        # Arrow ends an unclosed quote at the end of the file without a word, eating all rows on the
        # way. An odd number of quotes may be harmless (5" pipe); only a scan can tell.
        _scan(data, path, delimiter, len(names))
    try:
        return _parse(data, names, delimiter, BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):  # one row is longer than a block
            return _parse(data, names, delimiter, min(len(data) + 1, 2**31 - 1))
        _scan(data, path, delimiter, len(names))
        raise DataError(f"{path} can't be read as a table: {error}") from error


def _parse(data: bytes, names: list[str], delimiter: str, block_bytes: int) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(block_size=block_bytes),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, check_utf8=False
        ),
    )


def _rows(data: bytes, path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The first line's number and the values of each row, by Python's own reader.

    Raises DataError naming the line where a row with a misplaced quote begins.
    """
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for values in reader:
            if values:
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{line} a quote is out of place in the row that begins here ({error}); close "
            "every quoted value, and write a quote inside one as two"
        ) from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Python's reader refuses values over 131,072 characters unless told otherwise."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _header(data: bytes, path: Path, delimiter: str) -> list[str]:
    with _long_fields():
        names = next((values for _, values in _rows(data, path, delimiter)), None)
    if names is None:
        raise DataError(f"{path} has no data rows: it holds nothing but blank lines")
    if len(names) == 1:
        _check_delimiter(names[0], path, delimiter)
    unnamed = [str(number) for number, name in enumerate(names, 1) if not name.strip()]
    if unnamed:
        message = f"{path}:1 the header has no name for column {', '.join(unnamed)}"
        if unnamed == ["1"] and len(names) > 1:
            message += " (an index that pandas wrote? save with index=False)"
        raise DataError(f"{message}; every column needs a name")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(
            f"{path}:1 the header has the same name for several columns: {', '.join(doubled)}; "
            "give each column a name of its own"
        )
    return names


def _check_delimiter(header: str, path: Path, delimiter: str) -> None:
    """Raises DataError when a header of one column holds what seems to be the real delimiter."""
    others = [other for other in DELIMITERS if other != delimiter and other in header]
    if not others:
        return
    likely = max(others, key=header.count)
    names = ", ".join(part.strip() for part in header.split(likely))
    message = (
        f"{path}:1 the header is a single column, {shorten(header)}: the columns seem to be "
        f"separated by a {DELIMITERS[likely]}, not by a {DELIMITERS[delimiter]} ({names})"
    )
    endings = {",": "name the file .csv", "\t": "name the file .tsv"}
    remedy = endings.get(likely, f"save it again with a {DELIMITERS[delimiter]} between columns")
    raise DataError(f"{message}; {remedy}")


def _scan(data: bytes, path: Path, delimiter: str, width: int) -> None:
    """Find what Arrow won't locate. Raises DataError naming the lines; returns if all is well."""
    ragged: list[tuple[int, int]] = []
    count = 0
    with _long_fields():
        for line, values in _rows(data, path, delimiter):
            if len(values) != width:
                count += 1
                if count <= SHOWN_LINES:
                    ragged.append((line, len(values)))
    if not count:
        return
    places = ", ".join(f"line {line} has {found}" for line, found in ragged)
    more = f" and {count - len(ragged):,} more" if count > len(ragged) else ""
    rows = "1 row doesn't" if count == 1 else f"{count:,} rows don't"
    raise DataError(
        f"{path}: {rows} have the header's {width} {'column' if width == 1 else 'columns'}: "
        f"{places}{more}. A value that holds a {DELIMITERS[delimiter]}, a quote or a line break "
        "must stand in double quotes"
    )
