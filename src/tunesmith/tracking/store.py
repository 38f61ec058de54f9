"""The store: the SQL record of experiments, their metrics and the data they were trained on.

Rules, stated first:

- The store is the truth. Each method is one transaction, done whole or not at all (but for many
  points of metrics, which come in parts), and safe to call from many threads and processes.
- A status changes through `change_status` and the queue (`jobs`) alone: one atomic update that
  names the statuses it expects, so that of two who try, one wins and the other is told.
- What a process that trains writes names its lease, and is not written when that is lost.
- Records go in and come out whole and immutable; nothing here knows files or training.
- What goes wrong with the database is a StorageError in one paragraph; what was not found is a
  NotFoundError; every method may raise the former.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError
from tunesmith.tracking import points as metric_points
from tunesmith.tracking import tables
from tunesmith.tracking.access import Access
from tunesmith.tracking.database import Database
from tunesmith.tracking.deliveries import Deliveries, note_ending
from tunesmith.tracking.entities import (
    DatasetVersion,
    Experiment,
    ExperimentStatus,
    Filters,
    Metric,
    Stats,
)
from tunesmith.tracking.jobs import Jobs
from tunesmith.tracking.queries import DETAILS, count_query, ended_query, list_query, stats_query
from tunesmith.tracking.references import find_id
from tunesmith.tracking.registry import Registry
from tunesmith.tracking.registry_queries import hold_free
from tunesmith.tracking.rows import (
    checked,
    experiment_row,
    get_experiment,
    insert_experiment,
    lease_lost,
    require_lease,
    with_tags,
)
from tunesmith.tracking.sweeps import Sweeps
from tunesmith.tracking.tags import count_tags, write_tags

_VERSION_FIELDS = tuple(field.name for field in fields(DatasetVersion) if field.name != "tags")
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
        self.jobs = Jobs(self._database)
        """The queue: experiments that wait or run, and the workers that take them."""
        self.sweeps = Sweeps(self._database)
        """Sweeps and their trials."""
        self.registry = Registry(self._database)
        """Registered adapters, their versions and stages."""
        self.deliveries = Deliveries(self._database)
        """What is still to be told of experiments that ended."""
        self.access = Access(self._database)
        """Access tokens and the audit trail."""

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
                insert_experiment(connection, experiment)
        except IntegrityError as error:
            raise StateError(f"Experiment {experiment.id} is recorded already.") from error

    def get(self, experiment_id: str) -> Experiment:
        """The experiment with exactly this id.

        Raises NotFoundError naming the nearest.
        """
        with self._database.reading() as connection:
            return get_experiment(connection, experiment_id)

    def find(self, reference: str) -> Experiment:
        """The experiment that a person means by `reference`.

        In this order: a whole id; `latest`, the newest; a name, of which the newest; the first 4
        or more characters of an id. With @, a version of a registered adapter: `reviews@3`.

        Raises NotFoundError naming the nearest, or every match of an ambiguous beginning.
        """
        with self._database.reading() as connection:
            return get_experiment(connection, find_id(connection, reference))

    def list(self, filters: Filters = _ALL, *, details: bool = True) -> builtins.list[Experiment]:
        """The experiments that pass `filters`, in their order.

        Without `details` the JSON fields (config, data, environment, plan, metrics) are left
        empty, which makes long lists several times faster to read.
        """
        with self._database.reading() as connection:
            rows = connection.execute(list_query(filters, details)).mappings()
            missing: dict[str, Any] = {} if details else {name: {} for name in DETAILS}
            return with_tags(connection, rows, missing)

    def ended(self, since: datetime) -> builtins.list[Experiment]:
        """The experiments that ended at `since` or later, unordered; no JSON fields, no tags."""
        with self._database.reading() as connection:
            rows = connection.execute(ended_query(since)).mappings()
            missing: dict[str, Any] = {name: {} for name in DETAILS}
            return [Experiment(**row, **missing) for row in rows]

    def count(self, filters: Filters = _ALL) -> int:
        """How many experiments pass `filters`, whatever their limit and offset."""
        with self._database.reading() as connection:
            return connection.scalar(count_query(filters)) or 0

    def tags(self, limit: int = 1000) -> dict[str, int]:
        """Tag → experiments that have it: the commonest `limit`, these first.

        Of a tag in capitals and not, one way to write it is given.
        """
        with self._database.reading() as connection:
            return count_tags(connection, limit)

    def update(self, experiment_id: str, **changes: Any) -> None:
        """Change fields of an experiment, any but id, status and tags; JSON fields are replaced.

        Raises NotFoundError when there is no such experiment, ValueError for a field that can't
        be changed.
        """
        table = tables.experiments
        statement = update(table).where(table.c.id == experiment_id).values(checked(changes))
        with self._database.writing() as connection:
            if changes and connection.execute(statement).rowcount:
                return
            get_experiment(connection, experiment_id)

    def edit(
        self,
        experiment_id: str,
        *,
        name: str | None = None,
        note: str | None = None,
        tags: Collection[str] | None = None,
    ) -> Experiment:
        """Change what people call and say of an experiment, whatever its status, and nothing else.

        What is None stays. No lease is asked for: what trains writes none of these. Returns the
        experiment as it is afterwards. Raises NotFoundError when there is no such experiment.
        """
        table = tables.experiments
        given = {"name": name, "note": note}
        # The row is written in any case: of two who edit at once, one waits here for the other.
        values = {key: value for key, value in given.items() if value is not None}
        statement = update(table).where(table.c.id == experiment_id)
        with self._database.writing() as connection:
            changed = connection.execute(statement.values(values or {"note": table.c.note}))
            if changed.rowcount and tags is not None:
                write_tags(connection, experiment_id, tags)
            return get_experiment(connection, experiment_id)

    def change_status(
        self,
        experiment_id: str,
        to: ExperimentStatus,
        expected: Collection[ExperimentStatus],
        *,
        under: str | None = None,
        **changes: Any,
    ) -> Experiment:
        """Give an experiment the status `to` if its status is one of `expected`, and change fields.

        One atomic update: of several who expect the same status, one succeeds. With `under`, only
        while the experiment is held under that lease. That it ended is noted in `deliveries` in the
        same transaction, so that no end goes untold. Returns the experiment as it is afterwards.

        Raises StateError saying the present status when it is none of `expected`, LeaseLostError
        when it is held under another lease or none, NotFoundError when there is no such experiment,
        ValueError for a field that can't be changed.
        """
        table = tables.experiments
        conditions = [table.c.id == experiment_id, table.c.status.in_(list(expected))]
        if under is not None:
            conditions.append(table.c.lease == under)
        statement = update(table).where(*conditions).values(status=to, **checked(changes))
        with self._database.writing() as connection:
            changed = connection.execute(statement).rowcount
            experiment = get_experiment(connection, experiment_id)
            if not changed:
                if under is not None and experiment.lease != under:
                    raise lease_lost(connection, experiment_id)
                wanted = " or ".join(sorted(expected)) or "no status"
                raise StateError(
                    f"Experiment {experiment_id} ({experiment.name}) is {experiment.status}; "
                    f"only one that is {wanted} can become {to}."
                )
            if to.is_finished:
                note_ending(connection, experiment)
            return experiment

    def delete(self, experiment_id: str) -> None:
        """Delete an experiment that has ended, with its metrics.

        Raises StateError when it waits or runs, or a registered version rests on it, NotFoundError
        when there is no such experiment.
        """
        table = tables.experiments
        ended = [status for status in ExperimentStatus if status.is_finished]
        statement = delete(table).where(table.c.id == experiment_id, table.c.status.in_(ended))
        with self._database.writing() as connection:
            hold_free(connection, experiment_id)
            if connection.execute(statement).rowcount:
                return
            experiment = get_experiment(connection, experiment_id)
            raise StateError(
                f"Experiment {experiment_id} ({experiment.name}) is {experiment.status}; only one "
                "that has ended can be deleted."
            )

    @contextmanager
    def held_as(self, experiment: Experiment) -> Iterator[bool]:
        """Whether it has ended as this record of it says, and nobody has begun it since.

        While this is entered it stays so: who wants to change it waits. Be brief; with SQLite all
        who write wait.
        """
        columns = tables.experiments.c
        query = select(columns.id).where(
            columns.id == experiment.id,
            columns.status == experiment.status,
            columns.heartbeat == experiment.heartbeat,
        )
        with self._database.writing() as connection:
            same = connection.scalar(query.with_for_update()) is not None
            yield same and experiment.status.is_finished

    def put(self, experiment: Experiment, metrics: Iterable[Metric] = ()) -> None:
        """Record an experiment whole with all its metrics, in place of what has its id now.

        Doing it again changes nothing, and completes what was ended halfway: its points come in
        parts, so that others write in between. Raises ValueError for another one's metric.
        """
        points = list(metrics)
        if any(point.experiment_id != experiment.id for point in points):
            raise ValueError(f"a metric does not belong to experiment {experiment.id}")
        with self._database.writing() as connection:
            connection.execute(
                self._database.upsert(tables.experiments), experiment_row(experiment)
            )
            write_tags(connection, experiment.id, experiment.tags)
            connection.execute(
                delete(tables.metrics).where(tables.metrics.c.experiment_id == experiment.id)
            )
        for part in metric_points.parts(points):
            with self._database.writing() as connection:
                metric_points.write(connection, part)

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
            for part in metric_points.parts(points):
                with self._database.writing() as connection:
                    if lease is not None:
                        for experiment_id in ids:
                            require_lease(connection, experiment_id, lease)
                    metric_points.write(connection, part)
        except IntegrityError as error:
            raise NotFoundError(
                f"No experiment is recorded for metrics of {', '.join(ids)}."
            ) from error

    def delete_metrics(self, experiment_id: str, lease: str) -> None:
        """Delete all points of an experiment that runs under `lease`: it begins anew.

        Raises LeaseLostError.
        """
        mine = tables.metrics.c.experiment_id == experiment_id
        with self._database.writing() as connection:
            require_lease(connection, experiment_id, lease)
            connection.execute(delete(tables.metrics).where(mine))

    def metrics(
        self, experiment_id: str, name: str | None = None, since_step: int | None = None
    ) -> builtins.list[Metric]:
        """The metrics of one experiment, by name and then step; none for an unknown experiment.

        `name` picks one metric; `since_step` leaves out that step and all before it.
        """
        with self._database.reading() as connection:
            return metric_points.read(connection, experiment_id, name, since_step)

    def metrics_sampled(
        self, experiment_id: str, name: str, since_step: int | None = None, points: int = 1000
    ) -> builtins.list[Metric]:
        """At most `points` points of one metric, by step, chosen so that they look like all.

        All of them where there are no more; else the first, the last and the extremes stay. Empty
        for an unknown experiment or metric. `since_step` leaves out that step and all before it.
        """
        with self._database.reading() as connection:
            return metric_points.sample(connection, experiment_id, name, since_step, points)

    def metric_names(self, experiment_id: str) -> builtins.list[str]:
        """The names of an experiment's metrics, in order; none for an unknown experiment."""
        with self._database.reading() as connection:
            return metric_points.names(connection, experiment_id)

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


def _version(row: RowMapping) -> DatasetVersion:
    return DatasetVersion(**{**row, "columns": tuple(row["columns"])})
