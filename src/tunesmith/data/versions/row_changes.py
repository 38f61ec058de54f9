"""Which rows of two tables are the same, moved, relabelled, edited, only in one of them.

All work on whole tables is Polars'. Only the texts of rows that changed are compared, rapidfuzz
does it, and there is a limit to how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import fuzz, process

from tunesmith.data.versions.row_keys import SCHEMA, Side, hashes
from tunesmith.messages import say

SIMILAR_IN_PLACE = 60.0
SIMILAR_ELSEWHERE = 70.0
"""Least similarity of texts, in percent (rapidfuzz.fuzz.ratio), that makes two rows one edited row.

Where nothing else says so but the text, more is asked.
"""

MAX_GAP_PAIRS = 64
"""In a gap between unchanged rows all rows are compared with all, up to so many pairs."""
MAX_PAIRS = 2_000_000
"""Texts compared at most, in place; and elsewhere."""
COMPARED_IN_PLACE, COMPARED_ELSEWHERE = 1000, 300
"""Characters of a text that are compared."""

_GAP = ["split", "gap"]


_PLACES = {name: SCHEMA[name] for name in ("split", "place", "row")}
NO_PAIRS = pl.DataFrame(schema=_PLACES | {f"{name}_new": kind for name, kind in _PLACES.items()})


@dataclass
class RowChanges:
    """What became of the rows, by their place in either version."""

    unchanged: int
    reordered: bool
    removed: pl.DataFrame
    """Rows of the old version, as in `Side.rows`."""
    added: pl.DataFrame
    """Rows of the new version, as in `Side.rows`."""
    moved: pl.DataFrame = field(default_factory=lambda: NO_PAIRS)
    relabelled: pl.DataFrame = field(default_factory=lambda: NO_PAIRS)
    edited: pl.DataFrame = field(default_factory=lambda: NO_PAIRS)
    """Pairs: `split`, `place`, `row` of the old row, and with `_new` behind of the new one."""
    notes: list[str] = field(default_factory=list)


def find_changes(
    old: Side, new: Side, text_columns: Sequence[str], label_column: str | None
) -> RowChanges:
    """Tell what became of every row; both sides know the same columns.

    Texts are those of `text_columns` (of all columns where that is empty). Where there are no
    columns, no row is known again.
    """
    if not old.columns:
        return RowChanges(0, False, old.rows, new.rows)
    removed, added, ambiguous = _difference(old.rows, new.rows)
    unchanged_old = old.rows.join(removed, on=["split", "place"], how="anti", maintain_order="left")
    unchanged_new = new.rows.join(added, on=["split", "place"], how="anti", maintain_order="left")
    reordered = not _certain(unchanged_old, ambiguous).equals(_certain(unchanged_new, ambiguous))
    changes = RowChanges(len(unchanged_old), reordered, removed, added)
    changes.moved = _take_pairs(changes, _same(changes, ["key"]))
    if label_column in old.columns and len(old.columns) > 1:
        rest = [name for name in old.columns if name != label_column]
        changes.removed = _with_hash(old, changes.removed, rest)
        changes.added = _with_hash(new, changes.added, rest)
        here = _take_pairs(changes, _same(changes, ["split", "rest"]))
        there = _take_pairs(changes, _same(changes, ["rest"]))
        changes.relabelled = pl.concat([here, there])
    if len(changes.removed) and len(changes.added):
        texts = list(text_columns) or old.columns
        changes.removed = _with_gaps(old, changes.removed, unchanged_old, texts, reordered)
        changes.added = _with_gaps(new, changes.added, unchanged_new, texts, reordered)
        in_place = _edited_in_place(changes)
        changes.edited = pl.concat([in_place, _edited_elsewhere(changes)])
    return changes


# -- equal rows -------------------------------------------------------------------------------


def _difference(
    old: pl.DataFrame, new: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Rows that only one has, each as often as it has it more often; and their keys.

    Of equal rows the last are taken for those that came or went.
    """
    signs = [
        side.select("split", "key", pl.lit(sign, pl.Int32).alias("surplus"))
        for side, sign in ((old, 1), (new, -1))
    ]
    surplus = (
        pl.concat(signs)
        .group_by("split", "key")
        .agg(pl.col("surplus").sum())
        .filter(pl.col("surplus") != 0)
    )
    removed = _last_of(old, surplus.filter(pl.col("surplus") > 0))
    added = _last_of(new, surplus.filter(pl.col("surplus") < 0).with_columns(-pl.col("surplus")))
    return removed, added, surplus


def _last_of(rows: pl.DataFrame, surplus: pl.DataFrame) -> pl.DataFrame:
    matching = rows.join(surplus, on=["split", "key"], how="inner", maintain_order="left")
    from_the_end = pl.col("place").cum_count(reverse=True).over("split", "key")
    return matching.filter(from_the_end <= pl.col("surplus")).select(rows.columns)


def _certain(rows: pl.DataFrame, ambiguous: pl.DataFrame) -> pl.DataFrame:
    """The order of the rows of which neither version has more: of those there is no doubt."""
    certain = rows.join(ambiguous, on=["split", "key"], how="anti", maintain_order="left")
    return certain.select("split", "key")


def _same(changes: RowChanges, by: list[str]) -> pl.DataFrame:
    """Pairs of a removed and an added row that are equal in `by`, the first with the first."""
    sides = [
        side.with_columns(pl.col("place").cum_count().over(by).alias("occurrence"))
        for side in (changes.removed, changes.added)
    ]
    return sides[0].join(
        sides[1], on=[*by, "occurrence"], how="inner", suffix="_new", coalesce=False
    )


def _take_pairs(changes: RowChanges, pairs: pl.DataFrame) -> pl.DataFrame:
    """Take the rows of these pairs out of those removed and added; the pairs in the old order."""
    pairs = pairs.select(NO_PAIRS.columns).sort("split", "place")
    on = ["split", "place"]
    changes.removed = changes.removed.join(pairs, on=on, how="anti", maintain_order="left")
    taken = pairs.select(pl.col("split_new").alias("split"), pl.col("place_new").alias("place"))
    changes.added = changes.added.join(taken, on=on, how="anti", maintain_order="left")
    return pairs


def _with_hash(side: Side, rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return rows.with_columns(hashes(side.values(rows, columns)).alias("rest"))


# -- similar rows -----------------------------------------------------------------------------


def _with_gaps(
    side: Side,
    rows: pl.DataFrame,
    unchanged: pl.DataFrame,
    text_columns: list[str],
    reordered: bool,
) -> pl.DataFrame:
    """`rows` with their `text`, and the `gap` between unchanged rows in which they stand.

    A gap is called by how many unchanged rows stand before it; where rows changed their order, by
    the one before it.
    """
    name = pl.col("key") if reordered else pl.col("place").cum_count().over("split").cast(pl.UInt64)
    before = unchanged.select("split", "place", name.alias("gap")).sort("place")
    texts = side.values(rows, text_columns).select(pl.concat_str(pl.all(), separator="\n"))
    rows = rows.with_columns(texts.to_series().alias("text")).sort("place")
    found = rows.join_asof(before, on="place", by="split", check_sortedness=False)
    found = found.with_columns(pl.col("gap").fill_null(0)).sort("split", "place")
    return found.with_columns(pl.col("place").cum_count().over(_GAP).alias("nth"))


def _edited_in_place(changes: RowChanges) -> pl.DataFrame:
    """Similar rows of the same gap: the likeliest pairs of a small one, of a large one in order."""
    sizes = (
        changes.removed.group_by(_GAP)
        .len("gone")
        .join(changes.added.group_by(_GAP).len("come"), on=_GAP)
    )
    small = sizes.filter(pl.col("gone") * pl.col("come") <= MAX_GAP_PAIRS).select(_GAP)
    large = sizes.join(small, on=_GAP, how="anti").filter(pl.col("gone") == pl.col("come"))
    crossed = changes.removed.join(small, on=_GAP).join(
        changes.added, on=_GAP, suffix="_new", coalesce=False
    )
    ordered = changes.removed.join(large.select(_GAP), on=_GAP).join(
        changes.added, on=[*_GAP, "nth"], suffix="_new", coalesce=False
    )
    pairs = pl.concat([crossed, ordered.select(crossed.columns)]).sort("split", "place")
    if len(pairs) > MAX_PAIRS:
        changes.notes.append(
            say(
                "only the first {n:,} of {total:,} pairs of rows were compared for edits",
                n=MAX_PAIRS,
                total=len(pairs),
            )
        )
        pairs = pairs.head(MAX_PAIRS)
    scores = process.cpdist(
        pairs["text"].str.head(COMPARED_IN_PLACE).to_list(),
        pairs["text_new"].str.head(COMPARED_IN_PLACE).to_list(),
        scorer=fuzz.ratio,
        score_cutoff=SIMILAR_IN_PLACE,
        dtype=np.float32,
        workers=-1,
    )
    pairs = pairs.with_columns(pl.Series("score", scores, pl.Float32))
    return _take_pairs(changes, _likeliest(pairs.filter(pl.col("score") >= SIMILAR_IN_PLACE)))


def _edited_elsewhere(changes: RowChanges) -> pl.DataFrame:
    """Similar rows, wherever they stand."""
    removed, added = changes.removed, changes.added
    count = len(removed) * len(added)
    if not count:
        return NO_PAIRS
    if count > MAX_PAIRS:
        changes.notes.append(
            say(
                "{n:,} removed and {n2:,} added rows are too many to look for rows that "
                "were both moved and edited: such rows are counted as removed and added",
                n=len(removed),
                n2=len(added),
            )
        )
        return NO_PAIRS
    scores: npt.NDArray[np.float32] = process.cdist(
        removed["text"].str.head(COMPARED_ELSEWHERE).to_list(),
        added["text"].str.head(COMPARED_ELSEWHERE).to_list(),
        scorer=fuzz.ratio,
        score_cutoff=SIMILAR_ELSEWHERE,
        dtype=np.float32,
        workers=-1,
    )
    gone, come = np.nonzero(scores >= SIMILAR_ELSEWHERE)
    pairs = pl.concat(
        [removed[gone], added[come].rename(lambda name: f"{name}_new")], how="horizontal"
    ).with_columns(pl.Series("score", scores[gone, come], pl.Float32))
    return _take_pairs(changes, _likeliest(pairs))


def _likeliest(pairs: pl.DataFrame) -> pl.DataFrame:
    """Of pairs with a `score` the best, then the best of the rows that are left, and so on."""
    distance = (pl.col("nth").cast(pl.Int64) - pl.col("nth_new").cast(pl.Int64)).abs()
    pairs = pairs.with_columns(distance.alias("distance")).sort(
        ["score", "distance", "split", "place"], descending=[True, False, False, False]
    )
    old_rows = pairs.select(pl.struct("split", "place").rank("dense")).to_series().to_list()
    new_rows = pairs.select(pl.struct("split_new", "place_new").rank("dense")).to_series().to_list()
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    chosen = []
    for number, (one, other) in enumerate(zip(old_rows, new_rows, strict=True)):
        if one not in taken_old and other not in taken_new:
            taken_old.add(one)
            taken_new.add(other)
            chosen.append(number)
    return pairs[chosen]
