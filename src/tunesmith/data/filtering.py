"""Rows by the values of their columns, and what to say when a column or a value isn't there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.content import canonical_strings
from tunesmith.errors import DataError, did_you_mean, shorten
from tunesmith.messages import joined
from tunesmith.values import canonical

SHOWN_VALUES = 10


def keep_where(table: pa.Table, where: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The rows in which each column of `where` has one of its values, as canonical strings.

    Raises DataError when a column isn't there, or no row is left.
    """
    for column, values in where.items():
        require_column(table, column)
        wanted = pa.array([canonical(value) for value in values], pa.large_string())
        kept = table.filter(pc.is_in(canonical_strings(table.column(column)), value_set=wanted))
        if table.num_rows and not kept.num_rows:
            raise DataError(
                "no row has {values} in column {column}; it holds {names}",
                values=joined(wanted.to_pylist(), " or "),
                column=column,
                names=frequent_values(table.column(column)),
            )
        table = kept
    return table


def require_column(table: pa.Table, column: str) -> None:
    """Raise DataError, naming the columns there are and the nearest, when `column` is missing."""
    if column in table.column_names:
        return
    known = [name for name in table.column_names if not name.startswith("_")]
    raise DataError(
        "the data has no column {column}; it has: {names}{hint}",
        column=repr(column),
        names=list(known),
        hint=did_you_mean(column, known),
    )


def frequent_values(column: pa.ChunkedArray) -> str:
    """The most frequent values of a column with their counts, for messages."""
    counts = Counter(canonical_strings(column).to_pylist()).most_common()
    text = ", ".join(f"{shorten(value, 30)} ({n:,})" for value, n in counts[:SHOWN_VALUES])
    return text + (", …" if len(counts) > SHOWN_VALUES else "")
