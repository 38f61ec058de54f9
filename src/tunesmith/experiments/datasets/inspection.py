"""Data and configurations as they are looked at before anything is trained: for a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.config.schema import DataConfig
from tunesmith.config.yaml import Draft
from tunesmith.data.checking.rejected import rejected_rows
from tunesmith.data.dataset import Examination, bind
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import read_data
from tunesmith.errors import ConfigError
from tunesmith.experiments.datasets.importing import (
    Inquiry,
    check_data,
    inquire,
    open_versions,
)
from tunesmith.messages import Message
from tunesmith.schemas.data import ColumnState, DataInspection
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Columns, Task

EXAMPLES = 3
"""Values of a column that are shown."""

FIRST = 20
"""Rows that are shown."""

SAMPLE = 100
"""Rows from which the columns' roles are guessed."""


def inspect_data(name: str, settings: Settings, assignments: Sequence[str] = ()) -> DataInspection:
    """Look at the data called `name`, which `assignments` such as `data.delimiter=;` say how to
    read. Raises ConfigError, DataError and NotFoundError."""
    asked = inquire(name, None, assignments, settings, with_model=False)
    source = asked.source
    split = "train" if "train" in source.tables else next(iter(source.tables))
    table = source.tables[split]
    names = [name for name in table.column_names if name != ROW]
    sample = table.slice(0, SAMPLE).to_pylist()
    laid = {name: _laid_out(name, table.slice(0, SAMPLE), asked.request) for name in TASKS}
    if asked.request.layout and not any(laid.values()):
        bind({"": table.slice(0, SAMPLE)}, asked.task, asked.request)  # which says what is wrong
    return DataInspection(
        rows={name: each.num_rows for name, each in source.tables.items()},
        unreadable=sum(len(lines) for lines in source.unreadable.values()),
        reading=source.reading(),
        columns=[_column(table, name, sample) for name in names],
        task=asked.task.name,
        roles={name: dict(found[0]) for name, found in laid.items() if found},
        layouts={name: found[1] for name, found in laid.items() if found},
        first=[{name: row[name] for name in names} for row in sample[:FIRST]],
    )


def check_configuration(draft: Draft, settings: Settings) -> tuple[Examination, pa.Table]:
    """Hold the rows of a configuration's data against its rules: the examination and the rejected.

    Nothing is fetched from the hub. Rules whose action is `fail` are only reported. Raises
    ConfigError with every problem of the fields, DataError when the data can't be used.
    """
    config = draft.config()
    task: Task = TASKS[config.task_name](config.task)
    source = read_data(config.data, token=settings.token, versions=open_versions(settings))
    found = check_data(Inquiry(config.data, task, source, None))
    rejected = rejected_rows(source.tables, found.checked.report)
    return found, rejected


def _column(table: pa.Table, name: str, sample: list[Mapping[str, Any]]) -> ColumnState:
    different = []
    for row in sample:
        if row[name] is not None and row[name] not in different:
            different.append(row[name])
        if len(different) == EXAMPLES:
            break
    kind = str(table.schema.field(name).type)
    return ColumnState(name=name, type=kind, examples=different)


def _laid_out(
    name: str, first: pa.Table, request: DataConfig
) -> tuple[Columns, list[Message]] | None:
    """Role → column under the task's defaults, and what is said of the layout and of what isn't
    used; None where columns can't be guessed."""
    kind = TASKS[name]
    task = kind(kind.Options())
    try:
        laid = bind({"": first}, task, request)
    except ConfigError:
        return None
    return task.columns, laid.usage(task, first.column_names, {}).lines()
