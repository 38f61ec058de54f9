"""The first line of a CSV: names of columns, or a row; columns without a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.reading.delimited.dialect import DELIMITERS, Dialect, first_rows
from tunesmith.data.reading.delimited.scan import rows_of
from tunesmith.data.reading.rows import tidy_name
from tunesmith.data.reading.width import check_columns
from tunesmith.errors import DataError, shorten
from tunesmith.messages import say
from tunesmith.values import is_number

HEAD_CHARACTERS = 1 << 16
"""Characters by which columns that a header lacks are found."""

UNNAMED = "column_{n}"
"""What the n-th column is called where nothing names it."""

_BREAKS = re.compile(rb"[\r\n]*")
_SENTENCE = re.compile(r"\s|[,.;:!?\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]")


@dataclass(frozen=True)
class Header:
    """The columns that a table's rows have."""

    names: list[str]
    """Their names as they stand there; empty where one has none."""
    first: list[str] | None
    """The values of the line that names them, as they stand there; None where no line does."""
    body: int
    """The byte at which the rows begin."""


def read_header(data: bytearray, path: Path, dialect: Dialect, is_named: bool | None) -> Header:
    """The columns of `data`. `is_named`: whether the first line names them, None for probably.

    Raises DataError when there is no line, for too many columns, names that stand there twice, and
    a header that another delimiter seems to cut.
    """
    row = next(rows_of(data, path, dialect), None)
    if row is None:
        raise DataError("{path} has no data rows: it holds nothing but blank lines", path=path)
    check_columns(len(row.values), path)
    start = _start(data)
    if is_named is False:
        names = [UNNAMED.format(n=number) for number in range(1, len(row.values) + 1)]
        return Header(names, None, start)
    if len(row.values) == 1:
        _check_delimiter(row.values[0], data, path, dialect.delimiter)
    names = [name if tidy_name(name) else "" for name in row.values]
    doubled = sorted(name for name, times in Counter(names).items() if times > 1 and name)
    if doubled:
        raise DataError(
            "{path}:1 the header has the same name for several columns: {names}; "
            "give each column a name of its own",
            path=path,
            names=doubled,
        )
    return Header(_completed(names, data, dialect), row.values, start + len(row.text.encode()))


def _start(data: bytearray) -> int:
    found = _BREAKS.match(data)
    return found.end() if found else 0


def _completed(names: list[str], data: bytearray, dialect: Dialect) -> list[str]:
    """`names` with empty ones for columns that all of the first rows have beside them.

    A column before the others is one of row names, as R writes them; others end every row with a
    needless delimiter. Names that are missing at the end are no columns where no row has them.
    """
    head = bytes(data[:HEAD_CHARACTERS]).decode(errors="ignore")
    _, *rows = first_rows(head, dialect) or [[]]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return names
    width = widths.pop()
    if (
        width == len(names) + 1
        and all(row[-1].strip() for row in rows)
        and _counts(r[0] for r in rows)
    ):
        return ["", *names]
    if width > len(names) and all(not any(c.strip() for c in row[len(names) :]) for row in rows):
        return names + [""] * (width - len(names))
    if 0 < width < len(names) and not any(names[width:]):
        return names[:width]
    return names


def _counts(values: Iterable[str]) -> bool:
    seen = list(values)
    return all(value.isdecimal() for value in seen) and len(set(seen)) == len(seen)


def name_columns(table: pa.Table, header: Header) -> tuple[pa.Table, list[str]]:
    """`table` with its columns' names, and what was done with those that have none.

    Empty columns and one that numbers the rows, as pandas and R write it, are left out.
    """
    notes: list[str] = []
    kept: dict[str, pa.ChunkedArray] = {}
    empty: list[str] = []
    for number, name in enumerate(header.names, 1):
        column = table.column(number - 1)
        if name:
            kept[name] = column
        elif not pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py():
            empty.append(str(number))
        elif _is_index(column):
            notes.append(
                say(
                    "column {n} has no name and numbers the rows (an index that pandas wrote?): "
                    "it is left out",
                    n=number,
                )
            )
        else:
            name = _free_name(number, header.names)
            kept[name] = column
            notes.append(say("column {n} has no name: it is called {name}", n=number, name=name))
    if empty:
        notes.append(say("columns without a name or a value are left out: {names}", names=empty))
    return pa.table(kept), notes


def _free_name(number: int, names: Sequence[str]) -> str:
    name = UNNAMED.format(n=number)
    while name in names:
        name += "_"
    return name


def _is_index(column: pa.ChunkedArray) -> bool:
    """Whether each value is a whole number that no other row has."""
    numbers = pc.all(pc.match_substring_regex(column, r"^\d{1,18}$")).as_py()
    return bool(numbers) and pc.count_distinct(column).as_py() == len(column)


def check_names(header: Header, table: pa.Table, path: Path) -> None:
    """Raises DataError when the first line is a row.

    Numbers in it aren't names of columns, nor are values that stand in their columns again and
    again beside a text as long as others. 0, 1, 2 … are what pandas calls columns without names.
    """
    names = header.first
    if names is None or names == [str(number) for number in range(len(names))]:
        return
    head = table.slice(0, 1000)
    columns = {n: head.column(place).to_pylist() for place, n in enumerate(header.names) if n}
    numbers = [name for name in names if is_number(name)]
    is_row = len(numbers) == len(names) or any(name in columns.get(name, ()) for name in numbers)
    if is_row or _repeats(columns):
        raise DataError(
            "{path}:1 the first line looks like a row, not like the names of columns: {names}; "
            "add a line with the names, or set data.header: false (columns are called column_1, "
            "column_2 … then), or data.header: true if these are the names",
            path=path,
            names=[shorten(name, 30) for name in names],
        )


def _repeats(columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether names are values: one of its column again and again, the others texts as long."""
    if len(columns) < 2:
        return False
    names = tuple(columns)
    rows = [row for row in zip(*columns.values(), strict=True) if row != names]  # no second header
    repeated = {
        name
        for name, values in zip(names, zip(*rows, strict=True), strict=False)
        if values.count(name) > 1
    }
    return bool(repeated) and all(
        name in repeated
        or (
            _SENTENCE.search(name) is not None
            and 3 * len(name) >= sum(map(len, values)) / max(1, len(values))
        )
        for name, values in columns.items()
    )


def _check_delimiter(header: str, data: bytearray, path: Path, delimiter: str) -> None:
    """Raises DataError when a header of one column holds what seems to be the real delimiter."""
    others = [other for other in DELIMITERS if other != delimiter and other in header]
    if not others:
        return
    likely = max(others, key=header.count)
    lines = [line for line in bytes(data[:HEAD_CHARACTERS]).split(b"\n")[1:-1] if line.strip()]
    if not all(likely.encode() in line for line in lines):
        return
    names = [part.strip() for part in header.split(likely)]
    raise DataError(
        "{path}:1 the header is a single column, {header}: the columns seem to be separated by a "
        "{delimiters}, not by a {delimiters2} ({names}); set data.delimiter",
        path=path,
        header=shorten(header),
        delimiters=DELIMITERS[likely],
        delimiters2=DELIMITERS.get(delimiter, delimiter),
        names=names,
    )
