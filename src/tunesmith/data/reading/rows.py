"""What reading one file gives: its rows with their numbers, and the rows that can't be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.errors import DataError

ROW = "_row"
"""Column with the 1-based number of the data row in its source, unreadable rows counted."""

SHOWN_TEXT = 500
SHOWN_LINES = 5
FIRST_ROWS = 10
"""A file whose first rows are all unreadable, so many, is taken for wrong as a whole."""


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be read, while the rest of its file could."""

    line: int
    """The 1-based line of the file on which the row begins."""
    text: str
    """The row as it stands in the file, at most 500 characters of it."""
    reason: str
    """What is wrong with it, in a few words."""

    @classmethod
    def of(cls, line: int, raw: str, reason: str) -> Unreadable:
        """The record of a row whose text is `raw`, cut to the length that is kept."""
        raw = raw.rstrip("\r\n")
        text = raw if len(raw) <= SHOWN_TEXT else raw[: SHOWN_TEXT - 1] + "…"
        return cls(line, text, reason)


@dataclass(frozen=True)
class FileRows:
    """The rows of one file."""

    table: pa.Table
    """The rows that could be read, in order, with the int64 column `_row`."""
    unreadable: tuple[Unreadable, ...] = ()
    """The rows that could not, in order."""


def number_rows(table: pa.Table, skipped: Sequence[int] = ()) -> pa.Table:
    """`table` with the int64 column `_row`, from 1, leaving out the numbers in `skipped`.

    A column `_row` of the table itself is replaced.
    """
    if ROW in table.column_names:
        table = table.drop_columns([ROW])
    numbers = np.arange(1, table.num_rows + len(skipped) + 1, dtype=np.int64)
    if skipped:
        numbers = np.delete(numbers, np.asarray(skipped, dtype=np.int64) - 1)
    return table.append_column(ROW, pa.array(numbers))


def is_hopeless(numbers: Sequence[int], total: int) -> bool:
    """Whether the unreadable rows, by their ascending numbers, say that the whole file is wrong.

    That is so when they are more than half of all rows, or the first ten rows are among them.
    """
    first = len(numbers) >= FIRST_ROWS and numbers[FIRST_ROWS - 1] == FIRST_ROWS
    return len(numbers) * 2 > total or first


def hopeless(
    path: Path, first: Sequence[Unreadable], count: int, total: int, advice: str = ""
) -> DataError:
    """The error for a file that `is_hopeless`: how many rows, the first of them, what to do.

    `first` are the first unreadable rows, `count` is how many there are, of `total` rows.
    """
    shown = "; ".join(f"line {row.line} {row.reason}" for row in first[:SHOWN_LINES])
    more = count - min(len(first), SHOWN_LINES)
    rest = f"; and {more:,} more" if more else ""
    share = f"{count:,} of {total:,} rows" if total > 1 else "its only row"
    return DataError(f"{path}: {share} can't be read: {shown}{rest}{advice and f'. {advice}'}")
