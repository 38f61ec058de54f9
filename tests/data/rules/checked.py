"""Tables held against rules, as several tests of rules need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking.report import CheckReport
from tunesmith.data.checking.tables import Checked, check_tables
from tunesmith.tasks import TASKS


def numbered(**columns: Sequence[object]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({**columns, "_row": list(range(101, 101 + count))})


def classify(table: pa.Table, *more: pa.Table, labels: Any = None, **rules: Any) -> Checked:
    """Check reviews: columns `text` and `label` where there is one."""
    kind = TASKS["text-classification"]
    columns = {"text": "text", "label": "label"}
    for each in (table, *more):
        if "label" not in each.column_names:
            columns = {"text": "text", "label": "same"}
    tables = {
        split: each
        if columns["label"] in each.column_names
        else each.append_column("same", pa.array([f"{n % 2}" for n in range(each.num_rows)]))
        for split, each in zip(("train", "validation"), (table, *more), strict=False)
    }
    return check_tables(
        tables,
        bound(kind(kind.Options.model_validate({"labels": labels})), columns),
        ValidationRules(**rules),
    )


def chat(table: pa.Table, **rules: Any) -> Checked:
    kind = TASKS["sft"]
    return check_tables(
        {"train": table},
        bound(kind(kind.Options()), {"messages": "messages"}),
        ValidationRules(**rules),
    )


def broken(report: CheckReport, *rules: str) -> list[tuple[int | None, str, str]]:
    """Row, rule and action of each finding, of some rules or of all."""
    return [(f.row, f.rule, f.action) for f in report.findings if not rules or f.rule in rules]
