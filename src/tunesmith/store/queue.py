"""The queue, as the store keeps it: who waits, who is taken, who may write, who takes.

- An experiment is taken by one atomic update, which gives it a lease: a random token. From then on
  a write that names another lease writes nothing, so a process that lost its experiment (it hung,
  its machine slept) can't harm the one that goes on.
- Of those that wait, the highest priority goes first, then the lowest rank. Ranks grow over all
  queues, so a worker that serves several takes the one that came first.
- A heartbeat is a count that grows: comparing clocks of several machines decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Subquery, func, literal, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.loading import load
from tunesmith.messages import joined, say
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.column_types import UTCDateTime
from tunesmith.store.database.tables import experiments, queues
from tunesmith.store.entities.experiments import QUEUES, Experiment, utc_now
from tunesmith.store.queries.experiments import LIGHT, NO_DETAILS
from tunesmith.store.queries.queue_order import ORDER, last_rank, lock_ranks, takeable
from tunesmith.store.queries.rows import (
    checked,
    get_experiment,
    insert_experiment,
    lease_lost,
    other_status,
    under,
    with_tags,
)
from tunesmith.store.workers import Workers

if TYPE_CHECKING:
    from tunesmith.schemas.service import Queue

_QUEUED, _RUNNING = ExperimentStatus.QUEUED, ExperimentStatus.RUNNING

_PROCESS = ("lease", "worker", "pid", "host", "machine", "process_started", "phase")
_RELEASED: dict[str, Any] = dict.fromkeys(
    (*_PROCESS, "time_left", "finished_at", "cancel_requested_at")
)
"""What an experiment is without when it waits."""


class ExperimentQueue(Workers):
    """Experiments that wait or run, and the workers that take them; reached as `store.queue`."""

    # -- waiting ----------------------------------------------------------------------------

    def enqueue(self, experiment: Experiment) -> Experiment:
        """Record a new experiment as the last of its priority; returns it with its rank.

        Raises StateError when it names no queue, isn't queued, or is recorded already.
        """
        if experiment.queue is None or experiment.status is not _QUEUED:
            raise StateError("Experiment {id} has no queue to wait in.", id=experiment.id)
        _check_queue(experiment.queue)
        try:
            with self._database.writing() as connection:
                experiment = replace(experiment, rank=last_rank(connection))
                insert_experiment(connection, experiment)
        except IntegrityError as error:
            raise StateError("Experiment {id} is recorded already.", id=experiment.id) from error
        return experiment

    def requeue(
        self,
        experiment_id: str,
        expected: Collection[ExperimentStatus],
        *,
        last: bool,
        lease: str | None = None,
        **changes: Any,
    ) -> Experiment:
        """Let an experiment wait (again), at its old place or as the `last`; change fields.

        With a `lease`, only while it runs under that one. Nobody holds it afterwards.

        Raises LeaseLostError; StateError when its status is none of `expected`, when it belongs to
        no queue, and when it runs and was asked to stop: then it must be cancelled instead, or the
        wish would be forgotten. Raises NotFoundError when there is no such experiment, ValueError
        for a field that can't be changed.
        """
        columns = experiments.c
        stopping = (columns.status == _RUNNING) & columns.cancel_requested_at.is_not(None)
        values = {**_RELEASED, **checked(changes)}
        conditions = [columns.id == experiment_id, columns.status.in_(list(expected)), ~stopping]
        if "queue" not in changes:
            conditions.append(columns.queue.is_not(None))
        if lease is not None:
            conditions += under(experiment_id, lease)
        with self._database.writing() as connection:
            if last:
                values["rank"] = last_rank(connection)
            statement = update(experiments).where(*conditions).values(status=_QUEUED, **values)
            changed = connection.execute(statement).rowcount
            experiment = get_experiment(connection, experiment_id)
            if changed:
                return experiment
            if lease is not None and (experiment.lease, experiment.status) != (lease, _RUNNING):
                raise lease_lost(connection, experiment_id)
            raise _cannot_wait(experiment, expected)

    def positions(self, ids: Collection[str] | None = None) -> dict[str, int]:
        """Id → place in its queue, 1 for the next; of `ids`, or of all that wait in one."""
        waiting = _waiting()
        query = select(waiting.c.id, waiting.c.place)
        if ids is not None:
            query = query.where(waiting.c.id.in_(list(ids)))
        with self._database.reading() as connection:
            return {row.id: row.place for row in connection.execute(query)}

    def first(self, limit: int, offset: int = 0) -> list[tuple[int, Experiment]]:
        """The waiting ones with their places, by place and queue; no JSON fields."""
        waiting = _waiting()
        page = select(waiting).order_by(waiting.c.place, waiting.c.queue)
        chosen = page.limit(limit).offset(offset).subquery()
        query = (
            select(*LIGHT, chosen.c.place)
            .join(chosen, chosen.c.id == experiments.c.id)
            .order_by(chosen.c.place, chosen.c.queue)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            light = [{key: row[key] for key in row if key != "place"} for row in rows]
            found = with_tags(connection, light, NO_DETAILS)
        return [(row["place"], experiment) for row, experiment in zip(rows, found, strict=True)]

    def move_to_front(self, experiment_id: str) -> None:
        """Let a waiting experiment be taken before all others of its queue, of any priority.

        It gets the highest priority among them, and the lowest rank.

        Raises StateError when it doesn't wait in a queue, NotFoundError when there is none.
        """
        columns = experiments.c
        with self._database.writing() as connection:
            lock_ranks(connection)
            experiment = get_experiment(connection, experiment_id)
            query = select(func.max(columns.priority), func.min(columns.rank)).where(
                columns.status == _QUEUED, columns.queue == experiment.queue
            )
            priority, rank = connection.execute(query).one()
            _change_waiting(connection, experiment_id, priority=priority, rank=(rank or 0.0) - 1.0)

    def set_priority(self, experiment_id: str, priority: int) -> None:
        """Give a waiting experiment another priority; it keeps its rank. Raises StateError."""
        with self._database.writing() as connection:
            _change_waiting(connection, experiment_id, priority=priority)

    # -- taking and holding -----------------------------------------------------------------

    def take(
        self,
        queues: Collection[str],
        *,
        lease: str,
        most_processes: int | None = None,
        **changes: Any,
    ) -> Experiment | None:
        """Take the best experiment that waits in one of `queues`, hold it under `lease`, and change
        fields: worker, process, phase.

        Passed over are paused queues, those that run after one that has not ended, and those of
        more than `most_processes` processes. Of many who take at once, each gets another one. None
        when there is nothing to take. Why it waited again stays as its reason until it begins.
        """
        columns = experiments.c
        best = takeable(select(columns.id), queues, most_processes).order_by(*ORDER).limit(1)
        with self._database.writing() as connection:
            # PostgreSQL: what another connection is taking is passed over. SQLite has one writer.
            found = connection.scalar(best.with_for_update(skip_locked=True, of=experiments))
            if found is None:
                return None
            values = _RELEASED | {
                "status": _RUNNING,
                "lease": lease,
                "heartbeat": columns.heartbeat + 1,
                "started_at": func.coalesce(columns.started_at, literal(utc_now(), UTCDateTime)),
                **checked(changes),
            }
            connection.execute(update(experiments).where(columns.id == found).values(values))
            return get_experiment(connection, found)

    def wait(self) -> float:
        """How many seconds a write has to wait for others, now. Changes nothing."""
        begun = time.monotonic()
        with self._database.writing():
            return time.monotonic() - begun

    def takeable(self, queues: Collection[str]) -> int:
        """How many experiments `take` could take from `queues` now."""
        return self._count(takeable(select(func.count()).select_from(experiments), queues))

    def renew(self, experiment_id: str, lease: str, **changes: Any) -> Experiment | None:
        """Renew the heartbeat of an experiment that is held under `lease`, and change fields.

        Returns it as it is now, without JSON fields and tags; None when the lease is lost: then
        nothing was changed. Raises ValueError for a field that can't be changed.
        """
        statement = (
            update(experiments)
            .where(*under(experiment_id, lease))
            .values({"heartbeat": experiments.c.heartbeat + 1, **checked(changes)})
            .returning(*LIGHT)
        )
        with self._database.writing() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else Experiment(**row, **NO_DETAILS)

    def write(self, experiment_id: str, lease: str, **changes: Any) -> None:
        """Change fields of an experiment that is held under `lease`; JSON fields are replaced.

        Raises LeaseLostError when it is held so no more: then nothing was changed. Raises
        ValueError for a field that can't be changed.
        """
        # With nothing to change, the lease is checked all the same.
        values = checked(changes) or {"lease": lease}
        statement = update(experiments).where(*under(experiment_id, lease)).values(values)
        with self._database.writing() as connection:
            if not connection.execute(statement).rowcount:
                raise lease_lost(connection, experiment_id)

    # -- queues -----------------------------------------------------------------------------

    def pause(self, queue: str, by: str) -> None:
        """Let nothing more be taken from `queue`; what runs goes on. Raises NotFoundError."""
        self._set_paused(queue, True, by)

    def continue_(self, queue: str) -> None:
        """Let experiments be taken from `queue` again. Raises NotFoundError."""
        self._set_paused(queue, False, "")

    def states(self) -> list[Queue]:
        """Every queue, in the order of QUEUES."""
        columns = experiments.c
        counts = (
            select(columns.queue, columns.status, func.count().label("total"))
            .where(columns.status.in_([_QUEUED, _RUNNING]))
            .group_by(columns.queue, columns.status)
        )
        paused_by = select(queues.c.name, queues.c.paused_by).where(queues.c.paused)
        with self._database.reading() as connection:
            totals = {(row.queue, row.status): row.total for row in connection.execute(counts)}
            paused = {row.name: row.paused_by for row in connection.execute(paused_by)}
        state = load("tunesmith.schemas.service").Queue
        return [
            state(
                name=name,
                paused=name in paused,
                paused_by=paused.get(name, ""),
                waiting=totals.get((name, _QUEUED), 0),
                running=totals.get((name, _RUNNING), 0),
            )
            for name in QUEUES
        ]

    def outside_queues(self) -> list[Experiment]:
        """Experiments that were submitted to be trained at once and haven't begun; no details."""
        columns = experiments.c
        query = select(*LIGHT).where(columns.status == _QUEUED, columns.queue.is_(None))
        return [Experiment(**row, **NO_DETAILS) for row in self._rows(query)]

    def _set_paused(self, queue: str, paused: bool, by: str) -> None:
        _check_queue(queue)
        row = {"name": queue, "paused": paused, "paused_by": by}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(queues), row)


def _waiting() -> Subquery:
    """Id, queue and place in it of each experiment that waits in one."""
    columns = experiments.c
    place = func.row_number().over(partition_by=columns.queue, order_by=ORDER)
    query = select(columns.id, columns.queue, place.label("place"))
    return query.where(columns.status == _QUEUED, columns.queue.is_not(None)).subquery()


def _check_queue(name: str) -> None:
    if name in QUEUES:
        return
    near = nearest(name, QUEUES)
    hint = (
        say("did you mean {near}?", near=near)
        if near
        else say("there are {names}.", names=joined(QUEUES, " and "))
    )
    raise NotFoundError("There is no queue {name}; {hint}", name=shorten(name), hint=hint)


def _change_waiting(connection: Connection, experiment_id: str, **values: Any) -> None:
    waits: tuple[ColumnElement[bool], ...] = (
        experiments.c.id == experiment_id,
        experiments.c.status == _QUEUED,
        experiments.c.queue.is_not(None),
    )
    statement = update(experiments).where(*waits).values(values)
    if not connection.execute(statement).rowcount:
        experiment = get_experiment(connection, experiment_id)
        stands = (
            say("waits in no queue")
            if experiment.status is _QUEUED
            else say("is {status}", status=experiment.status)
        )
        raise StateError(
            "Experiment {id} ({name}) {where}; only one that waits in a queue has a place in it.",
            id=experiment_id,
            name=experiment.name,
            where=stands,
        )


def _cannot_wait(experiment: Experiment, expected: Collection[ExperimentStatus]) -> StateError:
    """Why `experiment` can't be put into its queue."""
    if experiment.status not in expected:
        return other_status(experiment, expected, _QUEUED)
    known = say("Experiment {id} ({name})", id=experiment.id, name=experiment.name)
    if experiment.queue is None:
        return StateError(
            "{known} belongs to no queue: it was trained where it was started.", known=known
        )
    return StateError(
        "{known} was asked to stop: it is to be cancelled, and can't wait again.", known=known
    )
