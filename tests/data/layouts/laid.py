"""Rows laid out for a task, as tests look at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.laying import LaidOut, lay_out
from tunesmith.data.layouts.usage import Usage
from tunesmith.tasks import TASKS


def task(name: str = "sft", **options: Any) -> Any:
    kind = TASKS[name]
    return kind(kind.Options(**options))


def table(*rows: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**row, "_row": n} for n, row in enumerate(rows, 1)])


def laid(*rows: Mapping[str, Any], layout: str | None = None, **options: Any) -> LaidOut:
    return lay_out({"train": table(*rows)}, task(**options), layout)


def turns(*rows: Mapping[str, Any], **options: Any) -> list[list[tuple[str, str]]]:
    """The conversations of `rows`, each turn as role and content."""
    found = laid(*rows, **options)
    one = task(**options)
    columns = found.tables["train"].column_names
    one.bind(one.find_columns(columns, found.tables["train"].to_pylist()))
    return [
        [(turn["role"], turn["content"]) for turn in one.messages(row)]
        for row in found.tables["train"].to_pylist()
    ]


def usage(*rows: Mapping[str, Any], **options: Any) -> Usage:
    found, one = laid(*rows, **options), task(**options)
    train = found.tables["train"]
    one.bind(one.find_columns(train.column_names, train.to_pylist()))
    return found.usage(one, table(*rows).column_names, {})
