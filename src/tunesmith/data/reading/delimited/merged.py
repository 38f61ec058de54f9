"""Rows of a CSV that have the right width and are wrong all the same.

They repeat the header, hold a NUL byte, or are several rows that an open quote made one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.messages import say

CANDIDATES = 10_000
"""How many rows are looked at at once."""

MOST_COLUMNS = 100
"""The pattern for a wider table's lines would be beyond what the search can take."""

COMMON_SHARE = 0.01
"""A value is known in its column when it has this share of the rows, and two rows at least."""


def suspects(table: pa.Table, delimiter: str, header: Sequence[str] | None) -> dict[int, str]:
    """Position of each such row in `table` (string columns) → what is wrong with it.

    `header` are the values of the line that names the columns, where one does.
    """
    found: dict[int, str] = dict.fromkeys(
        _merged(table, delimiter), say("is several rows: a quote was left open in it")
    )
    found |= dict.fromkeys(_with_nul(table), say("has a NUL byte, as files have that were damaged"))
    found |= dict.fromkeys(_headers(table, header or ()), say("repeats the header"))
    return found


def _positions(mask: pa.ChunkedArray) -> list[int]:
    positions: list[int] = np.flatnonzero(mask.to_numpy()).tolist()
    return positions


def _headers(table: pa.Table, names: Sequence[str]) -> list[int]:
    """Rows that hold the columns' names, as after joining two files with `cat`.

    In a table of one column, a row with its name may well be meant.
    """
    if table.num_columns < 2 or len(names) != table.num_columns:
        return []
    first = table.column(0)
    # The second file may have begun with a byte-order mark.
    mask = pc.or_(pc.equal(first, names[0]), pc.equal(first, "\ufeff" + names[0]))
    for name, column in zip(names[1:], table.columns[1:], strict=True):
        if not pc.any(mask).as_py():
            return []
        mask = pc.and_(mask, pc.equal(column, name))
    return _positions(mask)


def _with_nul(table: pa.Table) -> list[int]:
    masks = [
        pc.match_substring(column, "\0") for column in table.columns if _may_hold(column, "\0")
    ]
    return sorted({position for mask in masks for position in _positions(mask)})


def _may_hold(column: pa.ChunkedArray, character: str) -> bool:
    """False where the bytes of all texts hold none, which is known many times sooner."""
    if column.type not in (pa.string(), pa.large_string()):
        return True
    held = (chunk.buffers()[2] for chunk in column.chunks)
    return any(data and (np.frombuffer(data, np.uint8) == ord(character)).any() for data in held)


def _merged(table: pa.Table, delimiter: str) -> list[int]:
    """Rows in which one value holds the end of one row and the beginning of another.

    A quote that isn't closed runs to the next quote, so two such rows become one, of the right
    width: `"good film,1` and `bad film",0` give the text `good film,1 / bad film`. Nearly the same
    may be meant; so a row counts only if each of its lines, cut at every delimiter, has one value a
    column, and there is a column in which all these values are known from many other rows.
    """
    width = table.num_columns
    if not 2 <= width <= MOST_COLUMNS:
        return []
    cut = re.escape(delimiter)
    merged: set[int] = set()
    known: dict[int, frozenset[str]] = {}
    for index in range(width):
        column = table.column(index)
        if not _may_hold(column, "\n"):
            continue
        # With the values before and after it, each line has as many values as the header.
        first, between, last = (
            rf"(?:[^{cut}\n]*{cut}){{{delimiters}}}[^{cut}\n]*"
            for delimiters in (width - 1 - index, width - 1, index)
        )
        pattern = rf"^{first}\n(?:{between}\n)*{last}$"
        positions = _positions(pc.match_substring_regex(column, pattern))
        for start in range(0, len(positions), CANDIDATES):
            part = positions[start : start + CANDIDATES]
            for position, row in zip(part, table.take(part).to_pylist(), strict=True):
                lines = _lines_of(list(row.values()), index, delimiter)
                if _is_known(lines, table, known):
                    merged.add(position)
    return sorted(merged)


def _lines_of(row: list[str], index: int, delimiter: str) -> list[list[str]]:
    """The values of each line of the row, were the quotes around value `index` not there."""
    pieces = [piece.rstrip("\r").split(delimiter) for piece in row[index].split("\n")]
    pieces[0] = row[:index] + pieces[0]
    pieces[-1] = pieces[-1] + row[index + 1 :]
    return pieces


def _is_known(lines: list[list[str]], table: pa.Table, known: dict[int, frozenset[str]]) -> bool:
    for number in range(table.num_columns):
        if number not in known:
            known[number] = _common_values(table.column(number))
        if all(line[number] in known[number] for line in lines):
            return True
    return False


def _common_values(column: pa.ChunkedArray) -> frozenset[str]:
    least = max(2, int(COMMON_SHARE * len(column)))
    counts: Any = pc.value_counts(column)
    common = counts.filter(pc.greater_equal(counts.field("counts"), least))
    return frozenset(value for value in common.field("values").to_pylist() if value)
