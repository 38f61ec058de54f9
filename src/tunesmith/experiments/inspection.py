"""Data and configurations as they are looked at before anything is trained: for a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import Draft
from tunesmith.data.checks.rejected import rejected_rows
from tunesmith.data.dataset import Examination
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import Source, read_source
from tunesmith.errors import ConfigError
from tunesmith.experiments.datasets import Inquiry, check_data, likely_task, open_versions
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Columns, Task

EXAMPLES = 3
"""Values of a column that are shown."""

SAMPLE = 100
"""Rows from which the columns' roles are guessed."""


@dataclass(frozen=True)
class Column:
    """A column of the data."""

    name: str
    type: str
    """As Arrow calls it, such as string or int64."""
    examples: tuple[Any, ...]
    """Its first different values."""


@dataclass(frozen=True)
class Inspection:
    """What a table is, as far as a look tells."""

    rows: Mapping[str, int]
    """Split → rows."""
    unreadable: int
    """Lines that are no row."""
    columns: tuple[Column, ...]
    task: str
    """The task that fits best."""
    roles: Mapping[str, Mapping[str, str]]
    """Task → role → column, where they can be guessed."""
    first: tuple[Mapping[str, Any], ...]
    """The first rows."""


def inspect_data(name: str, settings: Settings, *, rows: int = 20) -> Inspection:
    """Look at the data called `name`. Raises DataError and NotFoundError."""
    source = read_source(name, token=settings.token, versions=open_versions(settings))
    return _inspect(source, rows)


def check_configuration(draft: Draft, settings: Settings) -> tuple[Examination, pa.Table]:
    """Hold the rows of a configuration's data against its rules: the examination and the rejected.

    Nothing is fetched from the hub. Rules whose action is `fail` are only reported. Raises
    ConfigError with every problem of the fields, DataError when the data can't be used.
    """
    config = draft.config()
    task: Task = TASKS[config.task_name](config.task)
    source = _source_of(config, settings)
    found = check_data(Inquiry(config.data, task, source, None))
    rejected = rejected_rows(source.tables, found.checked.report)
    return found, rejected


def _source_of(config: ExperimentConfig, settings: Settings) -> Source:
    return read_source(
        config.data.dataset_name,
        config.data.dataset_config,
        revision=config.data.revision,
        token=settings.token,
        versions=open_versions(settings),
    )


def _inspect(source: Source, rows: int) -> Inspection:
    split = "train" if "train" in source.tables else next(iter(source.tables))
    table = source.tables[split]
    names = [name for name in table.column_names if name != ROW]
    sample = table.slice(0, SAMPLE).to_pylist()
    return Inspection(
        rows={name: each.num_rows for name, each in source.tables.items()},
        unreadable=sum(len(lines) for lines in source.unreadable.values()),
        columns=tuple(_column(table, name, sample) for name in names),
        task=likely_task(source),
        roles={name: guess for name in TASKS if (guess := _roles(name, names, sample))},
        first=tuple({name: row[name] for name in names} for row in sample[:rows]),
    )


def _column(table: pa.Table, name: str, sample: list[Mapping[str, Any]]) -> Column:
    different = []
    for row in sample:
        if row[name] is not None and row[name] not in different:
            different.append(row[name])
        if len(different) == EXAMPLES:
            break
    return Column(name, str(table.schema.field(name).type), tuple(different))


def _roles(task: str, names: list[str], sample: list[Mapping[str, Any]]) -> Columns:
    """Role → column under the task's defaults; empty where they can't be told."""
    kind = TASKS[task]
    try:
        return kind(kind.Options()).columns(names, sample)
    except ConfigError:
        return {}
