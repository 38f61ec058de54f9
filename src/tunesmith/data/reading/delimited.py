"""CSV and TSV: every column as text, exactly as written; every fault with its line.

Arrow reads the table and leaves out rows of a wrong width. It doesn't say on which line they stand,
so Python's reader goes over the file a second time where there is something to locate; both take
quotes and line ends in the same way.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from tunesmith.data.reading.csv_scan import Scan, rows_of
from tunesmith.data.reading.merged import suspects
from tunesmith.data.reading.rows import (
    SHOWN_LINES,
    FileRows,
    Unreadable,
    hopeless,
    is_hopeless,
    number_rows,
)
from tunesmith.data.reading.width import check_columns
from tunesmith.errors import DataError, shorten

BLOCK_BYTES = 16 << 20
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


def read(data: bytearray, path: Path, delimiter: str) -> FileRows:
    """The rows of `data` (UTF-8, first line the header) as string columns; `path` is for messages.

    Blank lines are no rows. A quoted value may hold line breaks; two quotes in it stand for one.
    Unreadable are rows with more or fewer values than the header, with a misplaced quote (where an
    odd number of quotes gave reason to look for it) or a NUL byte, that repeat the header, or that
    an open quote made of several.

    Raises DataError when the header is missing, lacks or doubles names or is cut by another
    delimiter, when most rows or the first ten are unreadable, or when a quote is never closed.
    """
    names = _header(data, path, delimiter)
    try:
        table, ragged = _parse(data, names, delimiter, BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise DataError(f"{path} can't be read as a table: {error}") from error
        # One row is longer than a block.
        table, ragged = _parse(data, names, delimiter, min(len(data) + 1, 2**31 - 1))
    total = table.num_rows + ragged.count
    found = suspects(table, delimiter) if table.num_rows else {}
    _check_names(names, table, path)
    if not (ragged.count or found or data.count(b'"') % 2 or _ends_in_break(table)):
        return FileRows(number_rows(table))
    scan = Scan(data, path, delimiter, len(names))
    scan.run(found, stop_after=SHOWN_LINES if ragged.count * 2 > total else None)
    if ragged.count * 2 > total or is_hopeless(scan.numbers, total):
        count = max(ragged.count, len(scan.unreadable))
        raise hopeless(path, scan.unreadable, count, total, _advice(delimiter))
    if (scan.kept, scan.width_faults) != (table.num_rows, ragged.count):
        raise DataError(
            f"{path}: quotes are out of place, so that it isn't clear where rows end; close every "
            f"quoted value, and write a quote inside one as two{_first_of(scan.unreadable)}"
        )
    return FileRows(
        number_rows(_without(table, scan.dropped), scan.numbers), tuple(scan.unreadable)
    )


class _Ragged:
    """Counts the rows that Arrow found to have the wrong number of values, and leaves them out."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        self.count += 1
        return "skip"


def _parse(
    data: bytearray, names: list[str], delimiter: str, block_bytes: int
) -> tuple[pa.Table, _Ragged]:
    ragged = _Ragged()
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(block_size=block_bytes),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, check_utf8=False
        ),
    )
    return table, ragged


def _without(table: pa.Table, positions: list[int]) -> pa.Table:
    """`table` without the rows at the ascending `positions`; the others are not copied."""
    if not positions:
        return table
    starts = [0, *(position + 1 for position in positions)]
    stops = [*positions, table.num_rows]
    pieces = (
        table.slice(start, stop - start)
        for start, stop in zip(starts, stops, strict=True)
        if stop > start
    )
    return pa.concat_tables([table.slice(0, 0), *pieces])


def _ends_in_break(table: pa.Table) -> bool:
    """Whether the last row holds a line break: a quote that is never closed ends in that row."""
    last = table.slice(max(0, table.num_rows - 1)).to_pylist()
    return any("\n" in value or "\r" in value for row in last for value in row.values())


def _advice(delimiter: str) -> str:
    return (
        f"A value that holds a {DELIMITERS[delimiter]}, a quote or a line break must stand in "
        "double quotes, and no line may end with a needless delimiter"
    )


def _first_of(unreadable: list[Unreadable]) -> str:
    return f" (the first faulty row begins on line {unreadable[0].line})" if unreadable else ""


def _header(data: bytearray, path: Path, delimiter: str) -> list[str]:
    names = next((row.values for row in rows_of(data, path, delimiter)), None)
    if names is None:
        raise DataError(f"{path} has no data rows: it holds nothing but blank lines")
    check_columns(len(names), path)
    if len(names) == 1:
        _check_delimiter(names[0], path, delimiter)
    unnamed = [str(number) for number, name in enumerate(names, 1) if not name.strip()]
    if unnamed:
        message = f"{path}:1 the header has no name for column {', '.join(unnamed)}"
        if unnamed == ["1"] and len(names) > 1:
            message += " (an index that pandas wrote? save with index=False)"
        elif unnamed == [str(len(names))]:
            message += f" (does every line end with a needless {DELIMITERS[delimiter]}?)"
        raise DataError(f"{message}; every column needs a name")
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    if doubled:
        raise DataError(
            f"{path}:1 the header has the same name for several columns: {', '.join(doubled)}; "
            "give each column a name of its own"
        )
    return names


def _check_names(names: list[str], table: pa.Table, path: Path) -> None:
    """Raises DataError when the first line is a row: numbers in it aren't names of columns.

    0, 1, 2 … are what pandas calls columns that have no names.
    """
    if names == [str(number) for number in range(len(names))]:
        return
    numbers = [name for name in names if _is_number(name)]
    if len(numbers) == len(names) or any(name in _head(table, name) for name in numbers):
        raise DataError(
            f"{path}:1 the first line looks like a row, not like the names of columns: "
            f"{', '.join(shorten(name, 30) for name in names)}; add a line with the names"
        )


def _head(table: pa.Table, name: str) -> list[str]:
    """The first 1,000 values of a column."""
    values: list[str] = table.column(name).slice(0, 1000).to_pylist()
    return values


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


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
