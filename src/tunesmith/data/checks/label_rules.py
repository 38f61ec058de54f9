"""Rules about labels: missing, unknown, rare, out of balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.data.texts import as_series
from tunesmith.errors import nearest
from tunesmith.tasks.values import canonical

Mask = npt.NDArray[np.bool_]

HINTED_LABELS = 200
"""Labels up to which the nearest one is looked for."""
RARE_ROWS = 10
RARE_SHARE = 0.1
"""A label is suspiciously rare with fewer than RARE_ROWS rows that are also fewer than this part of
what an even share of the rows would be."""


def row_labels(column: pa.ChunkedArray) -> pl.Series:
    """The labels of each row as canonical strings: a list, empty where the row has none."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pl.Series(
            [[canonical(label) for label in row or ()] for row in column.to_pylist()],
            dtype=pl.List(pl.String),
        )
    texts = as_series(column)
    single = pl.DataFrame({"label": texts}).select(
        pl.when(pl.col("label").str.strip_chars() == "")
        .then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.concat_list("label"))
    )
    return single.to_series()


def as_text(labels: pl.Series) -> pl.Series:
    """The labels of each row as one text, by name; rows with the same labels have the same."""
    if (labels.list.len() == 1).all():
        return labels.list.first()  # many times faster than sorting a million short lists
    return labels.list.sort().list.join("\x1f")


def missing(column: pa.ChunkedArray) -> Mask:
    """Which rows have no label; where a row has a list of labels, an empty one is no fault."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return np.array([row is None or None in row for row in column.to_pylist()], dtype=bool)
    return np.asarray((as_series(column).str.strip_chars() == "").to_numpy(), dtype=bool)


def unknown(labels: pl.Series, wanted: Sequence[str] | None) -> Mask:
    """Which rows have a label that isn't one of `wanted` (None: any will do)."""
    if wanted is None:
        return np.zeros(len(labels), dtype=bool)
    known = pl.Series([canonical(label) for label in wanted], dtype=pl.String)
    stranger = ~pl.element().is_in(known.implode()).all()
    return np.asarray(labels.list.eval(stranger).list.first().fill_null(False).to_numpy(), bool)


def count(labels: Sequence[pl.Series]) -> dict[str, int]:
    """Label → rows that have it, by name."""
    every = pl.concat(labels).explode(empty_as_null=False, keep_nulls=False)
    return dict(sorted(every.value_counts().iter_rows()))


def rare(counts: Mapping[str, int]) -> dict[str, str]:
    """Label with suspiciously few rows → what it may have been meant to be, and how many it has."""
    if len(counts) < 2:
        return {}
    bound = min(RARE_ROWS, RARE_SHARE * sum(counts.values()) / len(counts))
    found = {label: rows for label, rows in counts.items() if rows < bound}
    common = [label for label in counts if label not in found]
    advice = {}
    for label, rows in found.items():
        likely = nearest(label, common) if len(common) <= HINTED_LABELS else None
        hint = f"; is {likely} meant?" if likely else ""
        advice[label] = f"{rows} row{'s' if rows > 1 else ''} of this label in all{hint}"
    return advice


def holding(labels: pl.Series, wanted: Sequence[str]) -> Mask:
    """Which rows have one of `wanted`."""
    names = pl.Series(list(wanted), dtype=pl.String).implode()
    inside = labels.list.eval(pl.element().is_in(names).any()).list.first()
    return np.asarray(inside.fill_null(False).to_numpy(), dtype=bool)
