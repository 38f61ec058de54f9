"""Rules about labels: missing, unknown, rare, out of balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.data.content import is_list
from tunesmith.data.texts import as_series
from tunesmith.errors import LONGEST_NAME
from tunesmith.loading import load
from tunesmith.messages import say, say_plural
from tunesmith.tasks.parts.label_texts import likely_key
from tunesmith.values import canonical

Mask = npt.NDArray[np.bool_]

SHORTEST_WORD = 4
"""Characters of a label, at least, that may be a misspelling."""
TIMES_COMMONER = 4
"""How many times as many rows the label has that a misspelled one is taken for, at least."""
MOST_COMPARED, MOST_PAIRS = 2_000, 400_000
"""Common labels, and pairs with rare ones, that are compared at most: within a second."""
RARE_ROWS = 10
RARE_SHARE = 0.1
"""A label is suspiciously rare with fewer than RARE_ROWS rows that are also fewer than this part of
what an even share of the rows would be."""


def row_labels(column: pa.ChunkedArray) -> pl.Series:
    """The labels of each row as canonical strings: a list, empty where the row has none."""
    if is_list(column.type):
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
    if is_list(column.type):
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
    if not labels:
        return {}
    every = pl.concat(labels).explode(empty_as_null=False, keep_nulls=False)
    return dict(sorted(every.value_counts().iter_rows()))


def marks_of_none(labels: Mapping[str, set[str]]) -> list[str]:
    """-1 and -100 among the labels of the splits, where no other label is below 0."""
    every = set().union(*labels.values())
    found = sorted(every & {"-1", "-100"})
    others = every - {*found}
    return found if others and not any(label.startswith("-") for label in others) else []


def rare(counts: Mapping[str, int]) -> dict[str, str]:
    """Label with suspiciously few rows → what it may have been meant to be, and how many it has."""
    if len(counts) < 2:
        return {}
    bound = min(RARE_ROWS, RARE_SHARE * sum(counts.values()) / len(counts))
    meant = misspelled(counts)
    few = {label for label, rows in counts.items() if rows < bound} | {*meant}
    advice: dict[str, str] = {}
    for label in sorted(few):
        hint = say("; is {name} meant?", name=meant[label]) if label in meant else ""
        advice[label] = say_plural(
            "{n} row of this label in all{hint}", "{n} rows of this label in all{hint}",
            n=counts[label], hint=hint,
        )  # fmt: skip
    return advice


def misspelled(counts: Mapping[str, int]) -> dict[str, str]:
    """Rare label → a much commoner one that is written nearly alike.

    Numbers and their names (`star 1`, `star 2`) are no misspellings of each other, and neither are
    short labels. Only the rarest labels are looked at where there are thousands.
    """
    common = sorted((label for label, rows in counts.items() if rows >= TIMES_COMMONER),
                    key=lambda label: -counts[label])[:MOST_COMPARED]  # fmt: skip
    process, distance = load("rapidfuzz.process"), load("rapidfuzz.distance")
    found: dict[str, str] = {}
    rare = sorted(
        (label for label, rows in counts.items() if rows < RARE_ROWS),
        key=lambda label: counts[label],
    )
    for label in rare[: MOST_PAIRS // max(len(common), 1)]:
        if not SHORTEST_WORD <= len(label) <= LONGEST_NAME:
            continue
        most = 1 if len(label) < 2 * SHORTEST_WORD else 2
        near = process.extract(label, common, scorer=distance.OSA.distance, score_cutoff=most)
        for other, _, _ in near:
            if counts[other] >= TIMES_COMMONER * counts[label] and _is_misspelling(label, other):
                found[label] = other
                break
    return found


def _is_misspelling(label: str, other: str) -> bool:
    digits, others = ("".join(filter(str.isdigit, name)) for name in (label, other))
    return digits == others and likely_key(label) != likely_key(other)
