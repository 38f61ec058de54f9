"""What reading one file gives: its rows with their numbers, and the rows that can't be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from tunesmith.errors import DataError
from tunesmith.messages import joined, say

ROW = "_row"
"""Column with the 1-based number of the data row in its source, unreadable rows counted."""

_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff\x00]")
"""Characters without width, which no one types into a column's name on purpose."""

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
    """The row as it stands in the file, at most 500 characters of it; a NUL is shown as ␀."""
    reason: str
    """What is wrong with it, in a few words."""

    @classmethod
    def of(cls, line: int, raw: str, reason: str) -> Unreadable:
        """The record of a row whose text is `raw`, cut to the length that is kept."""
        raw = raw.rstrip("\r\n").replace("\0", "\u2400")
        text = raw if len(raw) <= SHOWN_TEXT else raw[: SHOWN_TEXT - 1] + "…"
        return cls(line, text, reason)


@dataclass(frozen=True)
class FileRows:
    """The rows of one file."""

    table: pa.Table
    """The rows that could be read, in order, with the int64 column `_row`."""
    unreadable: tuple[Unreadable, ...] = ()
    """The rows that could not, in order."""
    odd: Mapping[str, Mapping[int, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Column → number of a row whose value there is of another type than most → its type.

    The whole column is text then, such values as JSON."""
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """How the file was read, where that isn't plain: option of `ReadingOptions` → value."""
    notes: tuple[str, ...] = ()
    """What its owner should know of the reading, a sentence each without a full stop."""
    format: str = ""
    """The format as which it was read, by its name."""


def tidy_name(name: str) -> str:
    """A column's name without spaces around it and without what can't be seen."""
    return _UNSEEN.sub("", name).strip()


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
    path: Path,
    first: Sequence[Unreadable],
    count: int,
    total: int,
    advice: str = "",
    *,
    entries: bool = False,
) -> DataError:
    """The error for a file that `is_hopeless`: how many rows, the first of them, what to do.

    `first` are the first unreadable rows, `count` is how many there are, of `total` rows; `entries`
    where they are those of a list, not lines.
    """
    shown = joined(
        (
            say("entry {line} {reason}", line=row.line, reason=row.reason)
            if entries
            else say("line {line} {reason}", line=row.line, reason=row.reason)
            for row in first[:SHOWN_LINES]
        ),
        "; ",
    )
    more = count - min(len(first), SHOWN_LINES)
    rest = say("; and {more:,} more", more=more) if more else ""
    share = (
        say("{n:,} of {total:,} rows", n=count, total=total) if total > 1 else say("its only row")
    )
    return DataError(
        "{path}: {share} can't be read: {shown}{rest}{advice}",
        path=path,
        share=share,
        shown=shown,
        rest=rest,
        advice=advice and say(". ") + advice,
    )
