"""The store: the SQL record of experiments, their metrics and the data they were trained on.

Rules, stated first:

- The store is the truth. Each method is one transaction, done whole or not at all, and is safe to
  call from many threads and processes at once.
- A status changes through `change_status` alone: one atomic update that names the statuses it
  expects, so that of two who try, one wins and the other is told.
- Records go in and come out whole and immutable; nothing here knows files or training.
- What goes wrong with the database is a StorageError in one paragraph; what was not found is a
  NotFoundError; every method may raise the former.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, delete, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError
from tunesmith.tracking import tables
from tunesmith.tracking.database import Database
from tunesmith.tracking.entities import (
    DatasetVersion,
    Experiment,
    ExperimentStatus,
    Filters,
    Metric,
    Stats,
)
from tunesmith.tracking.queries import DETAILS, count_query, list_query, stats_query
from tunesmith.tracking.references import find_id, not_found

_EXPERIMENT_FIELDS = tuple(field.name for field in fields(Experiment))
_METRIC_FIELDS = tuple(field.name for field in fields(Metric))
_VERSION_FIELDS = tuple(field.name for field in fields(DatasetVersion) if field.name != "tags")
_FIXED = frozenset({"id", "status"})
_ALL = Filters()


class Store:
    """The record of all experiments, in the database that an SQLAlchemy URL names.

    SQLite (`sqlite:///path/to/file.db`, made with its folder when missing) or PostgreSQL
    (`postgresql://user:password@host/database`). Opening it brings the schema to this version's.
    Open one per process; connections must not cross a fork.

    Raises UserError for a URL that can't serve, StorageError when the database can't be used or
    was written by a newer Tunesmith.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    @property
    def name(self) -> str:
        """The store's URL without its password."""
        return self._database.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    # -- experiments ------------------------------------------------------------------------

    def create(self, experiment: Experiment) -> None:
        """Record a new experiment.

        Raises StateError when one with this id is recorded already.
        """
        try:
            with self._database.writing() as connection:
                connection.execute(tables.experiments.insert(), _row(experiment))
        except IntegrityError as error:
            raise StateError(f"Experiment {experiment.id} is recorded already.") from error

    def get(self, experiment_id: str) -> Experiment:
        """The experiment with exactly this id.

        Raises NotFoundError naming the nearest.
        """
        with self._database.reading() as connection:
            return _get(connection, experiment_id)

    def find(self, reference: str) -> Experiment:
        """The experiment that a person means by `reference`.

        In this order: a whole id; `latest`, the newest; a name, of which the newest; the first 4
        or more characters of an id.

        Raises NotFoundError naming the nearest, or every match of an ambiguous beginning.
        """
        with self._database.reading() as connection:
            return _get(connection, find_id(connection, reference))

    def list(self, filters: Filters = _ALL, *, details: bool = True) -> builtins.list[Experiment]:
        """The experiments that pass `filters`, in their order.

        Without `details` the JSON fields (config, data, environment, plan, metrics) are left
        empty, which makes long lists several times faster to read.
        """
        with self._database.reading() as connection:
            rows = connection.execute(list_query(filters, details)).mappings()
            missing: dict[str, Any] = {} if details else {name: {} for name in DETAILS}
            return [Experiment(**row, **missing) for row in rows]

    def count(self, filters: Filters = _ALL) -> int:
        """How many experiments pass `filters`, whatever their limit and offset."""
        with self._database.reading() as connection:
            return connection.scalar(count_query(filters)) or 0

    def update(self, experiment_id: str, **changes: Any) -> None:
        """Change fields of an experiment, any but its id and status; JSON fields are replaced.

        Raises NotFoundError when there is no such experiment, ValueError for a field that can't
        be changed.
        """
        table = tables.experiments
        statement = update(table).where(table.c.id == experiment_id).values(_checked(changes))
        with self._database.writing() as connection:
            if changes and connection.execute(statement).rowcount:
                return
            _get(connection, experiment_id)

    def change_status(
        self,
        experiment_id: str,
        to: ExperimentStatus,
        expected: Collection[ExperimentStatus],
        **changes: Any,
    ) -> Experiment:
        """Give an experiment the status `to` if its status is one of `expected`, and change fields.

        One atomic update: of several who expect the same status, one succeeds. Returns the
        experiment as it is afterwards.

        Raises StateError saying the present status when it is none of `expected`, NotFoundError
        when there is no such experiment, ValueError for a field that can't be changed.
        """
        table = tables.experiments
        statement = (
            update(table)
            .where(table.c.id == experiment_id, table.c.status.in_(list(expected)))
            .values(status=to, **_checked(changes))
        )
        with self._database.writing() as connection:
            changed = connection.execute(statement).rowcount
            experiment = _get(connection, experiment_id)
            if not changed:
                wanted = " or ".join(sorted(expected)) or "no status"
                raise StateError(
                    f"Experiment {experiment_id} ({experiment.name}) is {experiment.status}; "
                    f"only one that is {wanted} can become {to}."
                )
            return experiment

    def put(self, experiment: Experiment, metrics: Iterable[Metric] = ()) -> None:
        """Record an experiment whole with all its metrics, in place of what has its id now.

        Doing it again changes nothing. Raises ValueError for a metric of another experiment.
        """
        rows = _metric_rows(metrics)
        if any(row["experiment_id"] != experiment.id for row in rows):
            raise ValueError(f"a metric does not belong to experiment {experiment.id}")
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(tables.experiments), _row(experiment))
            connection.execute(
                delete(tables.metrics).where(tables.metrics.c.experiment_id == experiment.id)
            )
            if rows:
                connection.execute(tables.metrics.insert(), rows)

    def stats(self) -> Stats:
        """All experiments in a few numbers."""
        with self._database.reading() as connection:
            rows = connection.execute(stats_query()).all()
        by_status = dict.fromkeys(ExperimentStatus, 0) | {row.status: row.total for row in rows}
        rated = sum(row.rated for row in rows)
        timed = sum(row.timed for row in rows)
        accuracy = sum(row.accuracy or 0.0 for row in rows)
        runtime = sum((row.runtime or 0.0 for row in rows), 0.0)
        return Stats(
            total=sum(by_status.values()),
            by_status=by_status,
            best_accuracy=max((row.best for row in rows if row.best is not None), default=None),
            mean_accuracy=accuracy / rated if rated else None,
            total_runtime=runtime,
            mean_runtime=runtime / timed if timed else None,
        )

    # -- metrics over steps -----------------------------------------------------------------

    def add_metrics(self, points: Iterable[Metric]) -> None:
        """Record points of any number of metrics, all of them or none.

        A point replaces the one with its experiment, name and step, so that a resumed experiment
        may repeat steps. Raises NotFoundError when an experiment is not recorded.
        """
        rows = _metric_rows(points)
        if not rows:
            return
        try:
            with self._database.writing() as connection:
                connection.execute(self._database.upsert(tables.metrics), rows)
        except IntegrityError as error:
            ids = ", ".join(sorted({row["experiment_id"] for row in rows}))
            raise NotFoundError(f"No experiment is recorded for metrics of {ids}.") from error

    def metrics(
        self, experiment_id: str, name: str | None = None, since_step: int | None = None
    ) -> builtins.list[Metric]:
        """The metrics of one experiment, by name and then step; none for an unknown experiment.

        `name` picks one metric; `since_step` leaves out that step and all before it.
        """
        table = tables.metrics
        query = (
            select(*(table.c[field] for field in _METRIC_FIELDS))
            .where(table.c.experiment_id == experiment_id)
            .order_by(table.c.name, table.c.step)
        )
        if name is not None:
            query = query.where(table.c.name == name)
        if since_step is not None:
            query = query.where(table.c.step > since_step)
        with self._database.reading() as connection:
            return [Metric(*row) for row in connection.execute(query)]

    # -- dataset versions -------------------------------------------------------------------

    def record_dataset(self, version: DatasetVersion) -> None:
        """Record a version, in place of what has its name and number; its tags are left out.

        Doing it again changes nothing. Tags can change, and the data itself holds them.
        """
        row = {field: getattr(version, field) for field in _VERSION_FIELDS}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(tables.dataset_versions), row)

    def datasets(self, name: str | None = None) -> builtins.list[DatasetVersion]:
        """The recorded versions of all datasets, or of the one called `name`, without their tags.

        The newest come first; of those made at one time, by name, the highest number first.
        """
        table = tables.dataset_versions
        query = select(table).order_by(
            table.c.created_at.desc(), table.c.name, table.c.number.desc()
        )
        if name is not None:
            query = query.where(table.c.name == name)
        with self._database.reading() as connection:
            return [_version(row) for row in connection.execute(query).mappings()]


def _get(connection: Connection, experiment_id: str) -> Experiment:
    query = select(tables.experiments).where(tables.experiments.c.id == experiment_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise not_found(connection, experiment_id)
    return Experiment(**row)


def _row(experiment: Experiment) -> dict[str, Any]:
    return {name: getattr(experiment, name) for name in _EXPERIMENT_FIELDS}


def _version(row: RowMapping) -> DatasetVersion:
    return DatasetVersion(**{**row, "columns": tuple(row["columns"])})


def _metric_rows(points: Iterable[Metric]) -> builtins.list[dict[str, Any]]:
    """One row per point, the last where several have the same key.

    One statement can't replace a row twice on PostgreSQL.
    """
    last = {(point.experiment_id, point.name, point.step): point for point in points}
    return [{name: getattr(point, name) for name in _METRIC_FIELDS} for point in last.values()]


def _checked(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    wrong = sorted((changes.keys() - set(_EXPERIMENT_FIELDS)) | (changes.keys() & _FIXED))
    if wrong:
        raise ValueError(f"these fields of an experiment can't be changed: {', '.join(wrong)}")
    return changes
