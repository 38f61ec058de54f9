"""What changed from one version of a dataset to another: rows, columns, labels, with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz.distance import Prefix

from tunesmith.data.content import canonical_strings, is_list
from tunesmith.data.versions.row_changes import RowChanges, find_changes
from tunesmith.data.versions.row_keys import Side, own_columns

SHOWN_TEXT = 300
"""Characters of a value in an example."""
SHOWN_BEFORE = 50
"""Characters before the first difference, where that comes late."""

CHANGES = ("added", "removed", "relabelled", "edited", "moved")


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that changed: what it was, and what it became."""

    old_split: str | None = None
    old_row: int | None = None
    """Its `_row` in the old version; None for a row that was added."""
    new_split: str | None = None
    new_row: int | None = None
    """Its `_row` in the new version; None for a row that was removed."""
    old: Mapping[str, str] | None = None
    new: Mapping[str, str] | None = None
    """Column → its value as a canonical string, shortened to where the two differ."""


@dataclass(frozen=True, slots=True)
class LabelShift:
    """How often a label is used in either version."""

    label: str
    """As a canonical string; "" for rows without a label."""
    old: int
    new: int
    old_share: float
    new_share: float
    """Share of all the version's labels, 0 to 1."""


@dataclass(frozen=True)
class VersionDiff:
    """What changed from an old version to a new one.

    `old_rows` is unchanged + removed + relabelled + edited + moved, `new_rows` the same with added
    in place of removed. Equal rows count as often as they are there.
    """

    old_rows: int
    new_rows: int
    unchanged: int
    """In the same split."""
    added: int
    removed: int
    relabelled: int
    """The same in everything but the label."""
    edited: int
    """Plainly the same row with another text, or the same text with other values."""
    moved: int
    """The same row in another split."""
    reordered: bool
    """Whether unchanged rows stand in another order."""
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    labels: tuple[LabelShift, ...]
    """The most frequent of the new version first; empty where no label column is known."""
    examples: Mapping[str, tuple[RowChange, ...]]
    """added, removed, relabelled, edited, moved → the first such rows."""
    notes: tuple[str, ...] = ()
    """What was not looked for, and why."""

    @property
    def is_empty(self) -> bool:
        """Whether the versions have the same content."""
        changed = any(getattr(self, kind) for kind in CHANGES)
        return not (changed or self.reordered or self.columns_added or self.columns_removed)

    def to_json(self) -> dict[str, Any]:
        """All of it in types that JSON knows."""
        return asdict(self)


def diff(
    old: Mapping[str, pa.Table],
    new: Mapping[str, pa.Table],
    *,
    text_columns: list[str] | None,
    label_column: str | None,
    examples: int = 5,
) -> VersionDiff:
    """Compare two versions, each split → rows with the column `_row`.

    Rows are compared by the canonical strings of the columns that both versions have; columns of
    ours (`_…`) don't count. A removed and an added row are one edited row when their texts are
    similar: at least 0.6 in the same gap between unchanged rows, at least 0.7 elsewhere
    (normalised indel similarity; https://rapidfuzz.github.io/RapidFuzz/). Texts are
    those of `text_columns`; None: all columns. Without `label_column` no row counts as relabelled.
    """
    old_columns, new_columns = own_columns(old), own_columns(new)
    columns = [name for name in new_columns if name in old_columns]
    splits = list(dict.fromkeys([*new, *old]))
    before, after = Side(old, splits, columns), Side(new, splits, columns)
    texts = [name for name in text_columns or () if name in columns]
    changes = find_changes(before, after, texts, label_column)
    shown = [name for name in columns if name in {*texts, label_column}] if texts else columns
    return VersionDiff(
        old_rows=len(before.rows),
        new_rows=len(after.rows),
        unchanged=changes.unchanged,
        **{kind: len(getattr(changes, kind)) for kind in CHANGES},
        reordered=changes.reordered,
        columns_added=tuple(name for name in new_columns if name not in old_columns),
        columns_removed=tuple(name for name in old_columns if name not in new_columns),
        labels=_label_shifts(old, new, label_column) if label_column else (),
        examples={
            kind: _examples(kind, changes, before, after, shown, examples) for kind in CHANGES
        },
        notes=tuple(changes.notes),
    )


def _examples(
    kind: str, changes: RowChanges, old: Side, new: Side, columns: list[str], count: int
) -> tuple[RowChange, ...]:
    rows: pl.DataFrame = getattr(changes, kind).head(count)
    places = rows.select("split", "place", "row")
    if kind == "added":
        return tuple(
            RowChange(new_split=split, new_row=row, new=_shortened(values, None))
            for split, row, values in _shown(new, places, columns or own_columns(new.tables))
        )
    before = _shown(old, places, columns or own_columns(old.tables))
    if kind == "removed":
        return tuple(
            RowChange(old_split=split, old_row=row, old=_shortened(values, None))
            for split, row, values in before
        )
    places = rows.select("split_new", "place_new", "row_new").rename(
        lambda name: name.removesuffix("_new")
    )
    return tuple(
        RowChange(
            old_split, old_row, new_split, new_row, _shortened(was, became), _shortened(became, was)
        )
        for (old_split, old_row, was), (new_split, new_row, became) in zip(
            before, _shown(new, places, columns), strict=True
        )
    )


def _shown(
    side: Side, rows: pl.DataFrame, columns: list[str]
) -> list[tuple[str, int, dict[str, str]]]:
    """Split, row number and values of each row."""
    values = side.values(rows, columns).to_dicts()
    return [
        (side.split_name(split), row, value)
        for split, row, value in zip(rows["split"], rows["row"], values, strict=True)
    ]


def _shortened(values: Mapping[str, str], others: Mapping[str, str] | None) -> dict[str, str]:
    """Each value, cut; where it differs from the other's only further on, so that this is seen."""
    shown = {}
    for name, text in values.items():
        common = Prefix.similarity(text, others[name]) if others else 0
        start = common - SHOWN_BEFORE if common < len(text) and common > SHOWN_TEXT // 2 else 0
        end = start + SHOWN_TEXT
        shown[name] = f"{'…' * bool(start)}{text[start:end]}{'…' * (end < len(text))}"
    return shown


def _label_shifts(
    old: Mapping[str, pa.Table], new: Mapping[str, pa.Table], column: str
) -> tuple[LabelShift, ...]:
    before, after = _label_counts(old, column), _label_counts(new, column)
    totals = before.total() or 1, after.total() or 1
    shifts = [
        LabelShift(
            label, before[label], after[label], before[label] / totals[0], after[label] / totals[1]
        )
        for label in {**after, **before}
    ]
    return tuple(sorted(shifts, key=lambda shift: (-shift.new, -shift.old, shift.label)))


def _label_counts(tables: Mapping[str, pa.Table], column: str) -> Counter[str]:
    """Label → how often it is used; each label of a list counts."""
    counts: Counter[str] = Counter()
    for table in tables.values():
        if column not in table.column_names:
            continue
        labels = table.column(column)
        if is_list(labels.type):
            labels = pc.list_flatten(labels)
        for entry in pc.value_counts(canonical_strings(labels)).to_pylist():
            counts[entry["values"]] += entry["counts"]
    return counts
