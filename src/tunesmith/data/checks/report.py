"""The report of a check: every problem a row, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tunesmith.errors import DataError

Action = Literal["drop", "fix", "warn", "fail", "ignore"]

SHOWN_ROWS = 5
SHOWN_VALUES = 3
DONE = {"drop": "dropped", "fix": "mended", "warn": "kept", "fail": "refused"}
"""What an action does with a row, in words."""

SCHEMA = pl.Schema(
    {
        "split": pl.String,
        "row": pl.Int64,
        "column": pl.String,
        "rule": pl.String,
        "action": pl.String,
        "value": pl.String,
        "advice": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that broke one rule in one column."""

    split: str
    row: int | None
    """1-based number of the row in its source, or the line of one that could not be read; None
    where a rule is about all rows together."""
    column: str
    rule: str
    """Name of the rule, which is that of its field in `data.validation_rules`."""
    action: str
    """What was done: drop, fix, warn (nothing) or fail."""
    value: str
    """The value, shortened; of secrets and personal data only enough to find them."""
    advice: str
    """What would make the row pass."""


@dataclass(frozen=True)
class CheckReport:
    """What the rules found in the rows of one dataset."""

    rows_in: int
    rows_out: int
    table: pl.DataFrame = field(default_factory=SCHEMA.to_frame)
    """The findings: one row each, columns as in Finding; in the order of split, row and rule."""
    label_counts: Mapping[str, int] = field(default_factory=dict)
    """Label → rows that are left."""
    max_imbalance_ratio: float = 3.0
    """Up to where labels count as balanced."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, in words."""

    @property
    def findings(self) -> Iterator[Finding]:
        """The findings one by one."""
        return (Finding(**values) for values in self.table.iter_rows(named=True))

    @property
    def counts(self) -> dict[str, int]:
        """Rule → number of findings, the most frequent first."""
        counted = (
            self.table["rule"].value_counts().sort(["count", "rule"], descending=[True, False])
        )
        return dict(counted.iter_rows())

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """Rule → what was done about it, how many rows broke it, and the first of them."""
        grouped = self.table.group_by("rule", "action", maintain_order=True).agg(
            pl.len(), pl.col("row").drop_nulls().head(SHOWN_ROWS)
        )
        found: dict[str, dict[str, Any]] = {}
        for rule, action, count, first in grouped.sort("len", descending=True).iter_rows():
            known = found.setdefault(rule, {"action": action, "findings": 0, "first_rows": []})
            known["findings"] += count
            known["first_rows"] = (known["first_rows"] + first)[:SHOWN_ROWS]
        return found

    @property
    def imbalance_ratio(self) -> float | None:
        """Rows of the commonest label by those of the rarest; None with fewer than two labels."""
        counts = self.label_counts.values()
        return max(counts) / min(counts) if len(counts) > 1 else None

    @property
    def is_balanced(self) -> bool | None:
        """Whether the imbalance ratio is within bounds; None with fewer than two labels."""
        ratio = self.imbalance_ratio
        return None if ratio is None else ratio <= self.max_imbalance_ratio

    @property
    def failures(self) -> dict[str, int]:
        """Rules with action `fail` that were broken → number of findings."""
        failed = self.table.filter(pl.col("action") == "fail")
        return dict(failed["rule"].value_counts(sort=True).iter_rows())

    def raise_failures(self) -> None:
        """Raise DataError with every rule whose action is `fail` and that rows broke, if any."""
        failed = self.table.filter(pl.col("action") == "fail")
        if failed.is_empty():
            return
        lines = []
        for group, found in failed.group_by("rule", "column", maintain_order=True):
            rule, column = map(str, group)
            first = found.row(0, named=True)
            advice = first["advice"]
            if first["row"] is None:
                lines.append(
                    f"{rule}: {first['value']}: {advice}. To go on all the same set "
                    f"data.validation_rules.{rule}: warn"
                )
                continue
            count = "1 row breaks" if found.height == 1 else f"{found.height:,} rows break"
            values = found["value"].value_counts(sort=True).head(SHOWN_VALUES)
            held = ", ".join(f"{value} ({times:,})" for value, times in values.iter_rows())
            more = ", …" if found["value"].n_unique() > SHOWN_VALUES else ""
            where = f" in column {column}" if column else ""
            lines.append(
                f"{count} {rule}{where}: {held}{more} ({_places(found)}): {advice}. To leave such "
                f"rows out set data.validation_rules.{rule}: drop"
            )
        raise DataError("\n".join(lines))

    def summary(self) -> str:
        """Lines for people: what happened to how many rows, and the first rows of each rule."""
        dropped = self.rows_in - self.rows_out
        lines = [f"{self.rows_in:,} rows checked, {dropped:,} dropped, {self.rows_out:,} left"]
        keys = ("rule", "column", "action")
        for group, found in self.table.group_by(keys, maintain_order=True):
            rule, column, action = map(str, group)
            first = found.row(0, named=True)
            if first["row"] is None:
                lines.append(f"  {rule} ({column}): {first['value']}: {first['advice']}")
                continue
            lines.append(f"  {rule} ({column}): {found.height:,} {DONE[action]}, {_places(found)}")
        lines += [f"  not looked at: {note}" for note in self.notes]
        return "\n".join(lines)

    def totals(self) -> dict[str, Any]:
        """The report without its findings, in types that JSON knows."""
        return {
            "total_samples": self.rows_out,
            "label_counts": dict(self.label_counts),
            "imbalance_ratio": None
            if self.imbalance_ratio is None
            else round(self.imbalance_ratio, 2),
            "is_balanced": self.is_balanced,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "counts": self.counts,
            "rules": self.rules,
            "not_looked_at": list(self.notes),
        }

    def to_json(self) -> dict[str, Any]:
        """The whole report in types that JSON knows."""
        return {**self.totals(), "findings": self.table.to_dicts()}


class Findings:
    """Collects findings, column by column, so that a million of them stay small."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []

    def add(
        self,
        split: str,
        rows: npt.NDArray[np.int64] | Sequence[int | None],
        column: str,
        rule: str,
        action: str,
        values: Sequence[str],
        advice: str | Sequence[str],
    ) -> None:
        """Note one finding per row; `values` and `advice` are as long as `rows`, or one for all."""
        if not len(rows):
            return
        self._frames.append(
            pl.DataFrame(
                {
                    "split": pl.repeat(split, len(rows), eager=True, dtype=pl.String),
                    "row": pl.Series(rows, dtype=pl.Int64),
                    "column": pl.repeat(column, len(rows), eager=True, dtype=pl.String),
                    "rule": pl.repeat(rule, len(rows), eager=True, dtype=pl.String),
                    "action": pl.repeat(action, len(rows), eager=True, dtype=pl.String),
                    "value": pl.Series(values, dtype=pl.String),
                    "advice": pl.repeat(advice, len(rows), eager=True, dtype=pl.String)
                    if isinstance(advice, str)
                    else pl.Series(advice, dtype=pl.String),
                },
                schema=SCHEMA,
            )
        )

    def table(self) -> pl.DataFrame:
        """All findings by split, row and rule; those about all rows together come first."""
        frames = self._frames or [SCHEMA.to_frame()]
        return pl.concat(frames).sort("split", "row", "rule", maintain_order=True)


def _places(found: pl.DataFrame) -> str:
    """The first rows of some findings, for people: `rows 3, 9, …`, or `row 3`."""
    rows = found["row"].head(SHOWN_ROWS).to_list()
    more = ", …" if found.height > SHOWN_ROWS else ""
    return f"{'row' if found.height == 1 else 'rows'} {', '.join(map(str, rows))}{more}"
