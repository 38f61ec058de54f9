"""The second reading of a CSV, by Python's reader: which row stands on which line."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data.reading.rows import Unreadable
from tunesmith.errors import DataError

SCAN_BYTES = 1 << 20


@dataclass(frozen=True)
class CsvRow:
    """A row with its place in the file."""

    line: int
    """The first of its lines, from 1."""
    values: list[str]
    text: str
    """As it stands in the file."""
    is_misquoted: bool


def rows_of(data: bytearray, path: Path, delimiter: str) -> Iterator[CsvRow]:
    """Every row by Python's own reader, the header too; blank lines left out.

    Raises DataError naming the line where a quote is opened that is never closed.
    """
    taken: list[str] = []
    reader = csv.reader(_lines(data, taken), delimiter=delimiter, strict=True)
    line = 1
    with _long_fields():
        while True:
            is_misquoted = False
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise DataError(
                        f"{path}:{line} a quote is out of place in the row that begins here: it "
                        "is never closed; close every quoted value, and write a quote inside one "
                        "as two"
                    ) from error
                is_misquoted = True
                values = next(csv.reader(taken, delimiter=delimiter))  # as Arrow takes it
            if values:
                yield CsvRow(line, values, "".join(taken), is_misquoted)
            line += len(taken)
            taken.clear()


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


@contextmanager
def _long_fields() -> Iterator[None]:
    """Python's reader refuses values over 131,072 characters unless told otherwise."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


class Scan:
    """The second reading, which gives unreadable rows their numbers, lines and texts."""

    def __init__(self, data: bytearray, path: Path, delimiter: str, width: int) -> None:
        self._rows = rows_of(data, path, delimiter)
        self._width = width
        self.unreadable: list[Unreadable] = []
        self.numbers: list[int] = []
        """The unreadable rows' numbers, counting all rows from 1."""
        self.kept = 0
        """Rows of the right width: those in Arrow's table."""
        self.width_faults = 0
        self.dropped: list[int] = []
        """Positions in Arrow's table of rows that are unreadable all the same."""

    def run(self, found: Mapping[int, str], stop_after: int | None) -> None:
        """Go over the rows; `found` gives the reason for positions in Arrow's table.

        Ends early once `stop_after` unreadable rows are known. Raises DataError for an open quote.
        """
        next(self._rows)  # the header
        for number, row in enumerate(self._rows, 1):
            reason = None
            if len(row.values) != self._width:
                self.width_faults += 1
                reason = _width_reason(len(row.values), self._width)
            else:
                reason = found.get(self.kept)
                if row.is_misquoted:
                    reason = "has a quote that is out of place"
                if reason is not None:
                    self.dropped.append(self.kept)
                self.kept += 1
            if reason is not None:
                self.unreadable.append(Unreadable.of(row.line, row.text, reason))
                self.numbers.append(number)
                if len(self.unreadable) == stop_after:
                    return


def _width_reason(found: int, width: int) -> str:
    columns = "column" if width == 1 else "columns"
    return f"has {found} value{'s' * (found != 1)}, the header {width} {columns}"
