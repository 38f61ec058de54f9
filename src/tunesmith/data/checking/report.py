"""The report of a check: every problem a row, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunesmith.data.layouts.usage import Usage
from tunesmith.errors import DataError
from tunesmith.messages import Message, joined, say, say_plural

MOST_MESSAGES = 10_000
"""Different texts of findings that are kept as messages; of others the English stays."""

SHOWN_ROWS = 5
SHOWN_VALUES = 3
DONE = {
    "fail": say("refused"),
    "drop": say("dropped"),
    "fix": say("mended"),
    "warn": say("kept"),
}
"""What an action does with a row, in words."""

SCHEMA = pl.Schema(
    dict.fromkeys(["split", "row", "column", "rule", "action", "value", "advice"], pl.String())
    | {"row": pl.Int64()}
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
    messages: Mapping[str, Message] = field(default_factory=dict)
    """Texts of the table that are messages, as many as are kept."""
    usage: Usage = field(default_factory=Usage)
    """What of the data is used as what, and what is not."""
    reading: Sequence[Message] = ()
    """How the files were read, a line each."""

    @property
    def findings(self) -> Iterator[Finding]:
        """The findings one by one."""
        return (Finding(**self.said(values)) for values in self.table.iter_rows(named=True))

    def said(self, finding: dict[str, Any]) -> dict[str, Any]:
        """`finding` with its value and advice as the messages that they were."""
        known = {name: self.messages.get(finding[name]) for name in ("value", "advice")}
        return {**finding, **{name: text for name, text in known.items() if text is not None}}

    @property
    def counts(self) -> dict[str, int]:
        """Rule → number of findings, the most frequent first."""
        counted = (
            self.table["rule"].value_counts().sort(["count", "rule"], descending=[True, False])
        )
        return dict(counted.iter_rows())

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """Rule → what was done about it, how many rows broke it, the first of them, an example."""
        grouped = self.table.group_by("rule", "action", maintain_order=True).agg(
            pl.len(),
            pl.col("row").drop_nulls().head(SHOWN_ROWS).alias("first"),
            pl.col("value", "advice").first(),
        )
        found: dict[str, dict[str, Any]] = {}
        is_done = (pl.col("action") == "fix").alias("is_done")
        ordered = grouped.sort(is_done, "len", descending=[False, True], maintain_order=True)
        for one in ordered.iter_rows(named=True):
            said = self.said({name: one[name] for name in ("value", "advice")})
            new = {"action": one["action"], "findings": 0, "first_rows": [], **said}
            known = found.setdefault(one["rule"], new)
            known["findings"] += one["len"]
            known["first_rows"] = (known["first_rows"] + one["first"])[:SHOWN_ROWS]
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
        groups = failed.group_by("rule", "column", "split", maintain_order=True)
        lines = [self._failure(str(one[0]), str(one[1]), found) for one, found in groups]
        if lines:
            raise DataError(joined(lines))

    def _failure(self, rule: str, column: str, found: pl.DataFrame) -> Message:
        """How rows of `found` broke a rule in a column, and what to do."""
        first = self.said(found.row(0, named=True))
        if first["row"] is None:
            return say(
                "{rule}: {what}: {advice}. To go on all the same set "
                "data.validation_rules.{same}: warn",
                rule=rule,
                what=first["value"],
                advice=first["advice"],
                same=rule,
            )
        values = found["value"].value_counts(sort=True)
        shown = values.head(SHOWN_VALUES).iter_rows()
        return say(
            "{count} {rule}{where}: {held}{more} ({places}): {advice}. To leave such "
            "rows out set data.validation_rules.{rule}: drop",
            count=say_plural("{n:,} row breaks", "{n:,} rows break", n=found.height),
            rule=rule,
            where=say(" in column {column}", column=column) if column else "",
            held=", ".join(f"{value} ({times:,})" for value, times in shown),
            more=", …" if values.height > SHOWN_VALUES else "",
            places=self.places(found),
            advice=first["advice"],
        )

    def groups(self) -> list[pl.DataFrame]:
        """The findings of each rule, column, action and split; what stops training first, then what
        was dropped, mended and kept, each time the most frequent first."""
        keys = ("rule", "column", "action", "split")
        groups = [found for _, found in self.table.group_by(keys, maintain_order=True)]
        order = [*DONE]
        return sorted(groups, key=lambda found: (order.index(found["action"][0]), -found.height))

    def places(self, found: pl.DataFrame) -> Message:
        """The first rows of some findings of one split: `rows 3, 9, …`, or `row 3 of test`."""
        rows = found["row"].head(SHOWN_ROWS).to_list()
        more = ", …" if found.height > SHOWN_ROWS else ""
        several = self.table["split"].n_unique() > 1
        of = say(" of {split}", split=found["split"][0]) if several else ""
        if found.height == 1:
            return say("row {rows}{of}", rows=rows, of=of)
        return say("rows {rows}{more}{of}", rows=rows, more=more, of=of)

    def summary(self) -> str:
        """Lines for people: what happened to how many rows, and each rule with an example."""
        lines = [
            say(
                "{n:,} rows checked, {dropped:,} dropped, {left:,} left",
                n=self.rows_in,
                dropped=self.rows_in - self.rows_out,
                left=self.rows_out,
            )
        ]
        for found in self.groups():
            first = self.said(found.row(0, named=True))
            if first["row"] is None:
                lines.append(
                    say(
                        "  {rule} ({column}): {value}: {advice}",
                        rule=first["rule"],
                        column=first["column"],
                        value=first["value"],
                        advice=first["advice"],
                    )
                )
                continue
            lines += [
                say(
                    "  {rule} ({column}): {n:,} {done}, {places}",
                    rule=first["rule"],
                    column=first["column"],
                    n=found.height,
                    done=DONE[first["action"]],
                    places=self.places(found),
                ),
                say("    {value}: {advice}", value=first["value"], advice=first["advice"]),
            ]
        lines += [say("  {line}", line=line) for line in (*self.reading, *self.usage.lines())]
        lines += [say("  not looked at: {note}", note=note) for note in self.notes]
        return joined(lines)

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
            "reading": list(self.reading),
            "usage": self.usage.to_json(),
        }

    def to_json(self) -> dict[str, Any]:
        """The whole report in types that JSON knows."""
        return {**self.totals(), "findings": list(map(self.said, self.table.to_dicts()))}


class NoRowsError(DataError):
    """Raised when no row of a split is left; carries the report."""

    def __init__(self, of: str, report: CheckReport) -> None:
        super().__init__(
            "no row{of} is left after data.validation_rules:\n{summary}\nLoosen the "
            "rules, or name the right columns",
            of=of,
            summary=report.summary(),
        )
        self.of, self.report = of, report

    def __reduce__(self) -> tuple[type[NoRowsError], tuple[str, CheckReport]]:
        return type(self), (self.of, self.report)


class Findings:
    """Collects findings, column by column, so that a million of them stay small."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self.messages: dict[str, Message] = {}
        """Texts among them that are messages, the first MOST_MESSAGES."""

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
        for text in chain(values, [advice] if isinstance(advice, str) else advice):
            self.plain(text)
        same = {"split": split, "column": column, "rule": rule, "action": action}
        same |= {"advice": str.__str__(advice)} if isinstance(advice, str) else {}
        frame = pl.DataFrame(
            {"row": pl.Series(rows, dtype=pl.Int64), "value": pl.Series(values, dtype=pl.String)}
        ).with_columns(pl.lit(text, pl.String).alias(name) for name, text in same.items())
        if not isinstance(advice, str):
            frame = frame.with_columns(pl.Series("advice", advice, dtype=pl.String))
        self._frames.append(frame.select(SCHEMA.names()))

    def plain(self, text: str) -> str:
        """`text` alone; what it was made of is kept here, where it is a message."""
        if not isinstance(text, Message):
            return text
        if len(self.messages) < MOST_MESSAGES:
            self.messages[text] = text
        return str.__str__(text)

    def table(self) -> pl.DataFrame:
        """All findings by split, row and rule; those about all rows together come first."""
        frames = self._frames or [SCHEMA.to_frame()]
        return pl.concat(frames).sort("split", "row", "rule", maintain_order=True)
