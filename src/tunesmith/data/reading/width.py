"""How wide a table may be: columns cost time and memory in each row, also where they are empty."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.errors import DataError

MOST_COLUMNS = 2000
"""Columns of a file, at most: far more than any data for training has."""

MOST_EMPTY = 5_000_000
"""Cells of a small file, at most, where nearly all are empty because its objects share no keys."""

LEAST_FILLED = 0.02
"""Share of cells that must hold something where there are more of them."""

SCANNED_BYTES = 64 << 20
"""Bytes in which keys are counted: a larger file is bounded by the time that reading may take."""

_KEY = re.compile(rb'[{,]\s*+"((?:[^"\\]|\\.)*+)"\s*+:', re.DOTALL)
"""A key of an object, found in linear time: nothing that was read once is given back."""


def check_columns(columns: int, path: Path | str) -> None:
    """Raises DataError for a table of more columns than anybody trains with."""
    if columns > MOST_COLUMNS:
        raise DataError(
            "{path} has more than {most:,} columns; keep those with the texts and the labels",
            path=path,
            most=MOST_COLUMNS,
        )


def check_keys(data: bytearray, rows: int, path: Path) -> None:
    """The same for `rows` objects of JSON, where every key is a column, also of nested objects.

    Raises DataError as well where objects share so few keys that nearly every cell would be empty:
    100 KB of objects with a key each of their own are a table of a hundred million cells.
    """
    seen: set[bytes] = set()
    keys = 0
    for found in _KEY.finditer(data, 0, min(len(data), SCANNED_BYTES)):
        keys += 1
        seen.add(found[1])
        check_columns(len(seen), path)
    cells = len(seen) * rows
    if cells > max(MOST_EMPTY, keys / LEAST_FILLED):
        raise DataError(
            "{path} has {rows:,} objects with {n:,} different keys, and hardly any "
            "key is in two of them; give all objects the same keys",
            path=path,
            rows=rows,
            n=len(seen),
        )
