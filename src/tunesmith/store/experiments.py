"""Experiments, as the store keeps them: recorded, found, changed, ended, deleted."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import StateError
from tunesmith.loading import load
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import experiments, metrics
from tunesmith.store.datasets import note_look
from tunesmith.store.deliveries import note_ending
from tunesmith.store.entities.experiments import Experiment, Filters, Metric
from tunesmith.store.metric_points import parts, write
from tunesmith.store.queries.experiments import (
    LIGHT,
    NO_DETAILS,
    count_query,
    list_query,
    stats_query,
)
from tunesmith.store.queries.references import find_id
from tunesmith.store.queries.registry import hold_free
from tunesmith.store.queries.rows import (
    checked,
    experiment_row,
    get_experiment,
    insert_experiment,
    lease_lost,
    other_status,
    read_experiment,
    with_tags,
)
from tunesmith.store.queries.tags import EXPERIMENT_TAGS

if TYPE_CHECKING:
    from tunesmith.schemas.experiments import ExperimentStats

ALL = Filters()


class Experiments(Part):
    """The record of experiments, a part of the store itself."""

    def create(self, experiment: Experiment) -> None:
        """Record a new experiment. Raises StateError when its id is recorded already."""
        try:
            with self._database.writing() as connection:
                insert_experiment(connection, experiment)
        except IntegrityError as error:
            raise StateError("Experiment {id} is recorded already.", id=experiment.id) from error

    def get(self, experiment_id: str) -> Experiment:
        """The experiment with exactly this id. Raises NotFoundError naming the nearest."""
        with self._database.reading() as connection:
            return get_experiment(connection, experiment_id)

    def known(self, experiment_id: str) -> Experiment | None:
        """The experiment with exactly this id; None where there is none."""
        with self._database.reading() as connection:
            return read_experiment(connection, experiment_id)

    def find(self, reference: str) -> Experiment:
        """The experiment that a person means by `reference`.

        In this order: a whole id; `latest`, the newest; a name, of which the newest; the first 4
        or more characters of an id. With @, a version of a registered adapter: `reviews@3`.

        Raises NotFoundError naming the nearest, or every match of an ambiguous beginning.
        """
        with self._database.reading() as connection:
            return get_experiment(connection, find_id(connection, reference))

    def list(self, filters: Filters = ALL, *, details: bool = True) -> builtins.list[Experiment]:
        """The experiments that pass `filters`, in their order.

        Without `details` the JSON fields (config, data, environment, plan, metrics) are left
        empty, which makes long lists several times faster to read.
        """
        with self._database.reading() as connection:
            rows = connection.execute(list_query(filters, details)).mappings()
            return with_tags(connection, rows, {} if details else NO_DETAILS)

    def ended(self, since: datetime) -> builtins.list[Experiment]:
        """The experiments that ended at `since` or later, unordered; no JSON fields, no tags."""
        return self._light(experiments.c.finished_at >= since)

    def running(self) -> builtins.list[Experiment]:
        """The experiments that run, unordered; no JSON fields, no tags."""
        return self._light(experiments.c.status == ExperimentStatus.RUNNING)

    def _light(self, condition: ColumnElement[bool]) -> builtins.list[Experiment]:
        rows = self._rows(select(*LIGHT).where(condition))
        return [Experiment(**row, **NO_DETAILS) for row in rows]

    def count(self, filters: Filters = ALL) -> int:
        """How many experiments pass `filters`, whatever their limit and offset."""
        return self._count(count_query(filters))

    def tags(self, limit: int = 1000) -> dict[str, int]:
        """Tag → experiments that have it: the commonest `limit`, these first.

        Of a tag in capitals and not, one way to write it is given.
        """
        with self._database.reading() as connection:
            return EXPERIMENT_TAGS.count(connection, limit)

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
        table = experiments
        given = {"name": name, "note": note}
        # The row is written in any case: of two who edit at once, one waits here for the other.
        values = {key: value for key, value in given.items() if value is not None}
        statement = update(table).where(table.c.id == experiment_id)
        with self._database.writing() as connection:
            changed = connection.execute(statement.values(values or {"note": table.c.note}))
            if changed.rowcount and tags is not None:
                EXPERIMENT_TAGS.write(connection, experiment_id, tags)
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
        table = experiments
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
                raise other_status(experiment, expected, to)
            if to is ExperimentStatus.SUCCEEDED:
                note_look(connection, experiment)
            if to.is_finished:
                note_ending(connection, experiment)
            return experiment

    def delete(self, experiment_id: str) -> None:
        """Delete an experiment that has ended, with its metrics.

        Raises StateError when it waits or runs, or a registered version rests on it, NotFoundError
        when there is no such experiment.
        """
        table = experiments
        ended = [status for status in ExperimentStatus if status.is_finished]
        statement = delete(table).where(table.c.id == experiment_id, table.c.status.in_(ended))
        with self._database.writing() as connection:
            hold_free(connection, experiment_id)
            if connection.execute(statement).rowcount:
                return
            experiment = get_experiment(connection, experiment_id)
            raise StateError(
                "Experiment {id} ({name}) is {status}; only one that has ended can be deleted.",
                id=experiment_id,
                name=experiment.name,
                status=experiment.status,
            )

    @contextmanager
    def held_as(self, experiment: Experiment) -> Iterator[bool]:
        """Whether it has ended as this record of it says, and nobody has begun it since.

        While this is entered it stays so: who wants to change it waits. Be brief; with SQLite all
        who write wait.
        """
        columns = experiments.c
        query = select(columns.id).where(
            columns.id == experiment.id,
            columns.status == experiment.status,
            columns.heartbeat == experiment.heartbeat,
        )
        with self._database.writing() as connection:
            same = connection.scalar(query.with_for_update()) is not None
            yield same and experiment.status.is_finished

    def put(self, experiment: Experiment, points: Iterable[Metric] = ()) -> None:
        """Record an experiment whole with all its `points`, in place of what has its id now.

        Doing it again changes nothing, and completes what was ended halfway: its points come in
        parts, so that others write in between. Raises ValueError for another one's metric.
        """
        points = list(points)
        if any(point.experiment_id != experiment.id for point in points):
            raise ValueError(f"a metric does not belong to experiment {experiment.id}")
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(experiments), experiment_row(experiment))
            EXPERIMENT_TAGS.write(connection, experiment.id, experiment.tags)
            connection.execute(delete(metrics).where(metrics.c.experiment_id == experiment.id))
        for part in parts(points):
            with self._database.writing() as connection:
                write(connection, part)

    def stats(self) -> ExperimentStats:
        """All experiments in a few numbers."""
        rows = self._rows(stats_query())
        by_status = dict.fromkeys(ExperimentStatus, 0) | {row.status: row.total for row in rows}
        rated = sum(row.rated for row in rows)
        timed = sum(row.timed for row in rows)
        accuracy = sum(row.accuracy or 0.0 for row in rows)
        runtime = sum((row.runtime or 0.0 for row in rows), 0.0)
        found: ExperimentStats = load("tunesmith.schemas.experiments").ExperimentStats(
            total=sum(by_status.values()),
            by_status=by_status,
            best_accuracy=max((row.best for row in rows if row.best is not None), default=None),
            mean_accuracy=accuracy / rated if rated else None,
            total_runtime=runtime,
            mean_runtime=runtime / timed if timed else None,
        )
        return found
