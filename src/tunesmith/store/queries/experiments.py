"""What lists and statistics of experiments ask of the database, as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from tunesmith.store.database.tables import experiments
from tunesmith.store.entities.experiments import Filters, words_of
from tunesmith.store.queries.containing import contains
from tunesmith.store.queries.tags import EXPERIMENT_TAGS

DETAILS = ("config", "data", "environment", "plan", "metrics")
"""The JSON columns: large, and not needed to show a table of experiments."""

NO_DETAILS: dict[str, Any] = {name: {} for name in DETAILS}
"""What they are where they weren't read."""

LIGHT = [column for column in experiments.c if column.name not in DETAILS]
"""All columns but these."""

_SEARCHED = ("name", "model_name", "dataset_name", "id", "reason", "note")
"""Columns in which a word of a search may stand."""

_LARGEST = 2**62
"""More rows than any database has; numbers above 2**63 - 1 are refused by both."""


def list_query(filters: Filters, details: bool) -> Select[*tuple[Any, ...]]:
    """The rows of the experiments that pass `filters`, with or without their DETAILS."""
    query = (
        select(*(experiments.c if details else LIGHT))
        .where(*_conditions(filters))
        .order_by(*_order(filters))
    )
    if filters.limit is not None or filters.offset:
        query = query.limit(_LARGEST if filters.limit is None else min(filters.limit, _LARGEST))
        query = query.offset(min(filters.offset, _LARGEST))
    return query


def count_query(filters: Filters) -> Select[int]:
    """The number of experiments that pass `filters`."""
    return select(func.count()).select_from(experiments).where(*_conditions(filters))


def stats_query() -> Select[*tuple[Any, ...]]:
    """One row per status: how many, and best, sum and number of accuracies and of runtimes."""
    return select(
        experiments.c.status,
        func.count().label("total"),
        func.max(experiments.c.eval_accuracy).label("best"),
        func.sum(experiments.c.eval_accuracy).label("accuracy"),
        func.count(experiments.c.eval_accuracy).label("rated"),
        func.sum(experiments.c.train_runtime).label("runtime"),
        func.count(experiments.c.train_runtime).label("timed"),
    ).group_by(experiments.c.status)


def _conditions(filters: Filters) -> Iterator[ColumnElement[bool]]:
    columns = experiments.c
    if filters.name:
        yield contains(columns.name, filters.name)
    if filters.model:
        yield contains(columns.model_name, filters.model)
    if filters.dataset:
        yield contains(columns.dataset_name, filters.dataset)
    for word in words_of(filters.text):
        tagged = columns.id.in_(EXPERIMENT_TAGS.having_part(word))
        yield or_(*(contains(columns[name], word) for name in _SEARCHED), tagged)
    for tag in filters.tags:
        if tag.strip():
            yield columns.id.in_(EXPERIMENT_TAGS.having(tag))
    if filters.owner is not None:
        yield columns.owner == filters.owner
    if filters.status is not None:
        yield columns.status == filters.status
    if filters.min_accuracy is not None:
        yield columns.eval_accuracy >= filters.min_accuracy
    if filters.max_runtime is not None:
        yield columns.train_runtime <= filters.max_runtime
    if filters.start_date is not None:
        yield columns.created_at >= filters.start_date
    if filters.end_date is not None:
        yield columns.created_at <= filters.end_date


def _order(filters: Filters) -> list[ColumnElement[Any]]:
    """The sort key, then id in the same direction: so one index gives the whole order."""
    column = experiments.c[filters.sort_by]
    keys = [column, experiments.c.id]
    ordered = [key.desc() if filters.descending else key.asc() for key in keys]
    return [ordered[0].nulls_last() if column.nullable else ordered[0], ordered[1]]
