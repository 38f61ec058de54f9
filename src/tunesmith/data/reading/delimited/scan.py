"""The second reading of a CSV, by Python's reader: which row stands on which line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from tunesmith.data.reading.delimited.dialect import Dialect, long_fields
from tunesmith.data.reading.rows import Unreadable
from tunesmith.errors import DataError
from tunesmith.messages import say, say_plural

SCAN_BYTES = 1 << 20

_LINE_END = re.compile(rb"[\r\n]")


class OpenQuoteError(DataError):
    """Raised for a quote that is never closed."""

    def __init__(self, path: Path, line: int, text: str) -> None:
        super().__init__(
            "{path}:{line} a quote is out of place in the row that begins here: it is never "
            "closed; close every quoted value, and write a quote inside one as two",
            path=path,
            line=line,
        )
        self.row = Unreadable.of(line, text, say("has a quote that is never closed"))


@dataclass(frozen=True)
class CsvRow:
    """A row with its place in the file."""

    line: int
    """The first of its lines, from 1."""
    values: list[str]
    text: str
    """As it stands in the file."""
    is_misquoted: bool


def rows_of(data: bytearray, path: Path, dialect: Dialect) -> Iterator[CsvRow]:
    """Every row by Python's own reader, the header too; blank lines left out.

    Raises OpenQuoteError naming the line where a quote is opened that is never closed.
    """
    taken: list[str] = []
    reader = dialect.reader(_lines(data, taken))
    line = 1
    with long_fields():
        while True:
            is_misquoted = False
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise OpenQuoteError(path, line, taken[0]) from error
                is_misquoted = True
                values = next(dialect.reader(taken, strict=False))  # as Arrow takes it
            if values:
                yield CsvRow(line, values, "".join(taken), is_misquoted)
            line += len(taken)
            taken.clear()


def blank_line(data: bytearray, number: int) -> bytearray:
    """`data` without what stands on a line, by its number from 1; the other lines keep theirs."""
    taken: list[str] = []
    start = sum(len(line.encode()) for line in islice(_lines(data, taken), number - 1))
    end = _LINE_END.search(data, start)
    return data[:start] + (data[end.start() :] if end else b"")


def _lines(data: bytearray, taken: list[str]) -> Iterator[str]:
    """The lines of `data` with their ends; each is added to `taken` as it is given out."""
    start = 0
    while start < len(data):
        stop = data.find(b"\n", min(start + SCAN_BYTES, len(data))) + 1 or len(data)
        for line in data[start:stop].splitlines(keepends=True):
            text = line.decode()
            taken.append(text)
            yield text
        start = stop


@dataclass
class Scan:
    """The second reading, which gives unreadable rows their numbers, lines and texts."""

    unreadable: list[Unreadable] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """The unreadable rows' numbers, counting all rows from 1."""
    kept: int = 0
    """Rows of the right width: those in Arrow's table."""
    width_faults: int = 0
    dropped: list[int] = field(default_factory=list)
    """Positions in Arrow's table of rows that are unreadable all the same."""


def scan_rows(
    rows: Iterator[CsvRow],
    width: int,
    found: Mapping[int, str],
    stop_after: int | None,
    lost: Sequence[Unreadable] = (),
) -> Scan:
    """Go over the rows after the header; `found` gives the reason for positions in Arrow's table,
    and `lost` are rows that are blank in the data by now.

    Ends early once `stop_after` unreadable rows are known. Raises OpenQuoteError.
    """
    scan = Scan()
    number = 0
    left = sorted(lost, key=lambda each: each.line)
    for row in chain(rows, [None]):
        while left and (row is None or left[0].line < row.line):
            number += 1
            scan.unreadable.append(left.pop(0))
            scan.numbers.append(number)
        if row is None:
            break
        number += 1
        if len(row.values) != width:
            scan.width_faults += 1
            reason: str | None = say(
                "has {values}, the header {columns}",
                values=say_plural("{n} value", "{n} values", n=len(row.values)),
                columns=say_plural("{n} column", "{n} columns", n=width),
            )
        else:
            reason = found.get(scan.kept)
            if row.is_misquoted:
                reason = say("has a quote that is out of place")
            if reason is not None:
                scan.dropped.append(scan.kept)
            scan.kept += 1
        if reason is not None:
            scan.unreadable.append(Unreadable.of(row.line, row.text, reason))
            scan.numbers.append(number)
            if len(scan.unreadable) == stop_after:
                break
    return scan
