"""Points of metrics over steps: many at a time in, all or a faithful few out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Double, Integer, Select, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from tunesmith.tracking.entities import Metric
from tunesmith.tracking.tables import metrics

_FEWEST = 3
"""Fewest points that the sampler chooses."""

_FIELDS = tuple(field.name for field in fields(Metric))


def write(connection: Connection, points: Iterable[Metric]) -> None:
    """Record points, each in place of the one with its experiment, name and step."""
    # One statement can't replace a row twice on PostgreSQL: of equal keys the last stays.
    last = {(point.experiment_id, point.name, point.step): point for point in points}
    rows = [{name: getattr(last[key], name) for name in _FIELDS} for key in sorted(last)]
    if not rows:
        return
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(metrics)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=list(metrics.primary_key.columns),
            set_={
                column.name: insert.excluded[column.name]
                for column in metrics.columns
                if not column.primary_key
            },
        ),
        rows,
    )


def read(
    connection: Connection, experiment_id: str, name: str | None, since_step: int | None
) -> list[Metric]:
    """An experiment's points by name and then step, of all metrics or one, all or later ones."""
    query = _picked(_whole(), experiment_id, name, since_step)
    return [Metric(*row) for row in connection.execute(query)]


def names(connection: Connection, experiment_id: str) -> list[str]:
    """The names of an experiment's metrics, in order.

    Each is found by one step down the index; DISTINCT would read all points.
    """
    mine = metrics.c.experiment_id == experiment_id
    found = select(func.min(metrics.c.name).label("name")).where(mine).cte(recursive=True)
    following = (
        select(func.min(metrics.c.name))
        .where(mine, metrics.c.name > found.c.name)
        .scalar_subquery()
    )
    found = found.union_all(select(following).where(found.c.name.is_not(None)))
    query = select(found.c.name).where(found.c.name.is_not(None))
    return sorted(connection.scalars(query))


def sample(
    connection: Connection, experiment_id: str, name: str, since_step: int | None, most: int
) -> list[Metric]:
    """At most `most` points of one metric, by step, that look like all of them.

    Raises ValueError when `most` is less than 1.
    """
    if most < 1:
        raise ValueError(f"at least 1 point must be asked for, not {most}")
    raw = (literal_column(column, kind) for column, kind in (("step", Integer), ("value", Double)))
    query = _picked(select(*raw).select_from(metrics), experiment_id, name, since_step)
    found = connection.execute(query.order_by(metrics.c.step)).all()
    if len(found) <= most:
        return read(connection, experiment_id, name, since_step)
    chosen = choose(np.array([value for _, value in found], dtype=np.float64), most)
    steps = [found[index][0] for index in chosen]
    query = _picked(_whole(), experiment_id, name, None).where(metrics.c.step.in_(steps))
    return [Metric(*row) for row in connection.execute(query)]


def choose(values: NDArray[np.float64], most: int) -> list[int]:
    """Indices of at most `most` of `values`, growing, with which a plot looks as with all.

    By MinMaxLTTB (van der Donckt et al. 2023, https://arxiv.org/abs/2305.00332), in parts of equal
    counts. The last, the first, the highest and the lowest come before all others; where values
    are not finite, one of them is kept in each part.
    """
    from tsdownsample import NaNMinMaxLTTBDownsampler

    # An infinite value would make every triangle that it is a corner of infinite.
    finite = np.where(np.isinf(values), np.nan, values)
    first = [len(values) - 1, 0]
    if not np.isnan(finite).all():
        first += [int(np.nanargmax(finite)), int(np.nanargmin(finite))]
    chosen = dict.fromkeys(first)
    if most >= len(first) + _FEWEST:
        sampler = NaNMinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]
        chosen |= dict.fromkeys(sampler.downsample(finite, n_out=most - len(first) + 2).tolist())
    return sorted(list(chosen)[:most])


def _whole() -> Select[*tuple[Any, ...]]:
    """Points, by name and then step."""
    query = select(*(metrics.c[field] for field in _FIELDS))
    return query.order_by(metrics.c.name, metrics.c.step)


def _picked(
    query: Select[Any], experiment_id: str, name: str | None, since_step: int | None
) -> Select[Any]:
    query = query.where(metrics.c.experiment_id == experiment_id)
    if name is not None:
        query = query.where(metrics.c.name == name)
    if since_step is not None:
        query = query.where(metrics.c.step > since_step)
    return query
