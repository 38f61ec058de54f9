"""Points of metrics over steps: many at a time in, all or a faithful few out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Integer,
    Select,
    column,
    delete,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError

from tunesmith.errors import NotFoundError
from tunesmith.store.database.column_types import Text
from tunesmith.store.database.connection import Part, insert_into, replacing
from tunesmith.store.database.tables import metrics
from tunesmith.store.entities.experiments import Metric
from tunesmith.store.queries.rows import require_lease

_FEWEST = 3
"""Fewest points that the sampler chooses."""

PART = 10_000
"""Points that are written in one transaction: others wait a part of a second at most."""

_COPIED_FROM = 100
"""Fewest points for which making ready to copy pays."""

_INCOMING = "incoming_metrics"

_FIELDS = tuple(field.name for field in fields(Metric))
_ROW = attrgetter(*_FIELDS)
_KEY = attrgetter("experiment_id", "name", "step")


class Points(Part):
    """The points of all metrics, a part of the store; many come in parts, each a transaction."""

    def add_metrics(self, points: Iterable[Metric], lease: str | None = None) -> None:
        """Record points of any number of metrics.

        A point replaces the one with its experiment, name and step, so that a resumed experiment
        may repeat steps. With a `lease`, only while every experiment among them runs under it. Up
        to PART points are one transaction; of more, each part is one, and others write in between.

        Raises NotFoundError when an experiment is not recorded, LeaseLostError; what was recorded
        of the parts before stays.
        """
        points = list(points)
        if not points:
            return
        ids = sorted({point.experiment_id for point in points})
        try:
            for part in parts(points):
                with self._database.writing() as connection:
                    if lease is not None:
                        for experiment_id in ids:
                            require_lease(connection, experiment_id, lease)
                    write(connection, part)
        except IntegrityError as error:
            raise NotFoundError(
                "No experiment is recorded for metrics of {names}.", names=list(ids)
            ) from error

    def delete_metrics(self, experiment_id: str, lease: str) -> None:
        """Delete an experiment's points, under `lease`: it begins anew. Raises LeaseLostError."""
        mine = metrics.c.experiment_id == experiment_id
        with self._database.writing() as connection:
            require_lease(connection, experiment_id, lease)
            connection.execute(delete(metrics).where(mine))

    def metrics(
        self, experiment_id: str, name: str | None = None, since_step: int | None = None
    ) -> list[Metric]:
        """The metrics of one experiment, by name and then step; none for an unknown experiment.

        `name` picks one metric; `since_step` leaves out that step and all before it.
        """
        rows = self._rows(_picked(_whole(), experiment_id, name, since_step))
        return [Metric(**row) for row in rows]

    def metrics_sampled(
        self, experiment_id: str, name: str, since_step: int | None = None, points: int = 1000
    ) -> list[Metric]:
        """At most `points` points of one metric, by step, chosen so that they look like all.

        All of them where there are no more; else the first, the last and the extremes stay. Empty
        for an unknown experiment or metric. `since_step` leaves out that step and all before it.
        Raises ValueError for less than 1 point.
        """
        if points < 1:
            raise ValueError(f"at least 1 point must be asked for, not {points}")
        raw = (literal_column(each, kind) for each, kind in (("step", Integer), ("value", Double)))
        query = _picked(select(*raw).select_from(metrics), experiment_id, name, since_step)
        whole = _picked(_whole(), experiment_id, name, since_step)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(metrics.c.step)).all()
            if len(found) > points:
                chosen = choose([value for _, value in found], points)
                whole = whole.where(metrics.c.step.in_([found[index][0] for index in chosen]))
            return [Metric(*row) for row in connection.execute(whole)]

    def metric_names(self, experiment_id: str) -> list[str]:
        """The names of an experiment's metrics, in order; none for an unknown experiment.

        Each is found by one step down the index; DISTINCT would read all points.
        """
        mine = metrics.c.experiment_id == experiment_id
        found = select(func.min(metrics.c.name).label("name")).where(mine).cte(recursive=True)
        later = select(func.min(metrics.c.name)).where(mine, metrics.c.name > found.c.name)
        following = select(later.scalar_subquery()).where(found.c.name.is_not(None))
        found = found.union_all(following)
        rows = self._rows(select(found.c.name).where(found.c.name.is_not(None)))
        return sorted(row["name"] for row in rows)


def parts(points: Sequence[Metric]) -> Iterator[Sequence[Metric]]:
    """`points` in parts of PART, each for a transaction of its own."""
    for start in range(0, len(points), PART):
        yield points[start : start + PART]


def write(connection: Connection, points: Iterable[Metric]) -> None:
    """Record points, each in place of the one with its experiment, name and step."""
    # One statement can't replace a row twice on PostgreSQL: of equal keys the last stays.
    last = {_KEY(point): _ROW(point) for point in points}
    rows = [last[key] for key in sorted(last)]
    if len(rows) >= _COPIED_FROM and connection.dialect.driver == "psycopg":
        _copy(connection, rows)
        connection.execute(_replace_by_incoming())
    elif rows:
        values = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
        statement = replacing(insert_into(metrics, connection.dialect.name), metrics)
        connection.execute(statement, values)


@cache
def _replace_by_incoming() -> Any:
    incoming: Any = select(*(column(name) for name in _FIELDS)).select_from(table(_INCOMING))
    return replacing(insert_into(metrics, "postgresql").from_select(_FIELDS, incoming), metrics)


def _copy(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Bring `rows` into a table of this connection's own, which the transaction's end empties.

    PostgreSQL takes rows several times as fast by COPY as by INSERT, but COPY replaces none.
    """
    statement = f"COPY {_INCOMING} ({', '.join(_FIELDS)}) FROM STDIN"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {_INCOMING} (LIKE metrics) ON COMMIT DELETE ROWS"
    )
    driver: Any = connection.dialect.dbapi
    cursor: Any = connection.connection.cursor()
    try:
        with cursor, cursor.copy(statement) as copy:
            for row in _for_driver(connection.dialect, rows):
                copy.write_row(row)
    except driver.Error as error:
        raise DBAPIError(statement, None, error) from error


def _for_driver(dialect: Dialect, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """`rows` with what the column's types make of their values, a column at a time."""
    columns: list[Iterable[Any]] = []
    for name, values in zip(_FIELDS, zip(*rows, strict=True), strict=True):
        kind = metrics.c[name].type
        convert = kind.dialect_impl(dialect).bind_processor(dialect)
        if convert is None:
            columns.append(values)
        elif isinstance(kind, Text):  # few different ones
            known = {value: convert(value) for value in set(values)}
            columns.append([known[value] for value in values])
        else:
            columns.append([convert(value) for value in values])
    return zip(*columns, strict=True)


def choose(values: Sequence[float | None], most: int) -> list[int]:
    """Indices of at most `most` of `values` (None is NaN), growing: a plot looks as with all.

    By MinMaxLTTB (van der Donckt et al. 2023, https://arxiv.org/abs/2305.00332), in parts of equal
    counts. The last, the first, the highest and the lowest come before all others; where values
    are not finite, one of them is kept in each part.
    """
    # Here, because most commands that open a store draw nothing.
    import numpy as np
    from tsdownsample import NaNMinMaxLTTBDownsampler

    # An infinite value would make every triangle that it is a corner of infinite.
    finite = np.array(values, dtype=np.float64)
    finite[np.isinf(finite)] = np.nan
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
