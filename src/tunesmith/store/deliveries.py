"""Deliveries of the ends of experiments to webhooks and the hook: an outbox.

An ending is noted in the transaction that ends the experiment. It has no target yet: the store
knows no settings. Who knows them addresses it, a delivery for each target, and each is taken by one
process at a time, tried, and deleted once it was accepted. A process that dies with one leaves it
to the next: everything is delivered at least once.
"""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import deliveries
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.entities.service import Delivery

UNADDRESSED = ""
"""Target of an ending that nobody with settings has seen yet."""


def note_ending(connection: Connection, experiment: Experiment) -> None:
    """Note, in the transaction that ends it, that the end of `experiment` is to be delivered."""
    now = utc_now()
    delivery = Delivery(
        event=f"msg_{secrets.token_hex(12)}",
        target=UNADDRESSED,
        experiment_id=experiment.id,
        created_at=now,
        due_at=now,
        facts=_facts(experiment),
    )
    connection.execute(deliveries.insert(), asdict(delivery))


class Deliveries(Part):
    """Deliveries that wait; reached as `store.deliveries`."""

    def address(self, targets: Mapping[str, Collection[str]]) -> None:
        """Turn endings without a target into a delivery for each one that wants to hear of them.

        `targets` has the statuses that each wants to hear of.
        """
        unaddressed = deliveries.c.target == UNADDRESSED
        if not self._count(select(func.count()).where(unaddressed)):
            return
        with self._database.writing() as connection:
            for ending in _read(connection, unaddressed):
                gone = delete(deliveries).where(_same(ending))
                if not connection.execute(gone).rowcount:
                    continue  # PostgreSQL: another process was faster
                wanted = [
                    t for t, statuses in targets.items() if ending.facts["status"] in statuses
                ]
                rows = [asdict(replace(ending, target=target)) for target in wanted]
                if rows:
                    connection.execute(deliveries.insert(), rows)

    def due(self, targets: Collection[str], limit: int) -> builtins.list[Delivery]:
        """Those for these targets that may be tried now, the oldest first; at most `limit`."""
        columns = deliveries.c
        ready = columns.target.in_(list(targets)) & (columns.due_at <= utc_now())
        with self._database.reading() as connection:
            return _read(connection, ready, limit)

    def take(self, delivery: Delivery, until: datetime) -> bool:
        """Whether it is this process's to try till `until`; False when another was faster."""
        return self._change(delivery, due_at=until, attempts=delivery.attempts + 1)

    def postpone(self, delivery: Delivery, until: datetime) -> None:
        """Let one that this process has taken be tried again at `until`."""
        self._change(replace(delivery, attempts=delivery.attempts + 1), due_at=until)

    def remove(self, delivery: Delivery) -> None:
        """Forget one: it was heard, or is given up."""
        self._changed(delete(deliveries).where(_same(delivery)))

    def forget(self, before: datetime, *, unaddressed: bool) -> int:
        """Forget those noted before then: endings without a target, or those with one; how many."""
        columns = deliveries.c
        kind = columns.target == UNADDRESSED if unaddressed else columns.target != UNADDRESSED
        old = (columns.created_at < before) & kind
        if not self._count(select(func.count()).where(old)):
            return 0
        return self._changed(delete(deliveries).where(old))

    def waiting(self) -> builtins.list[Delivery]:
        """All that wait, the oldest first; endings without a target, too."""
        with self._database.reading() as connection:
            return _read(connection)

    def _change(self, delivery: Delivery, **values: Any) -> bool:
        as_read = (_same(delivery), deliveries.c.attempts == delivery.attempts)
        return self._changed(update(deliveries).where(*as_read).values(values)) > 0


def _same(delivery: Delivery) -> ColumnElement[bool]:
    columns = deliveries.c
    return (columns.event == delivery.event) & (columns.target == delivery.target)


def _read(
    connection: Connection, condition: ColumnElement[bool] | None = None, limit: int | None = None
) -> builtins.list[Delivery]:
    query = select(deliveries).order_by(deliveries.c.due_at, deliveries.c.event).limit(limit)
    if condition is not None:
        query = query.where(condition)
    return [Delivery(**row) for row in connection.execute(query).mappings()]


def _facts(experiment: Experiment) -> dict[str, Any]:
    score = None
    if experiment.score is not None:
        score = {
            "name": experiment.score_name,
            "value": experiment.score,
            "low": experiment.interval.get("low"),
            "high": experiment.interval.get("high"),
        }
    return {
        "id": experiment.id,
        "name": experiment.name,
        "status": str(experiment.status),
        "score": score,
        "reason": experiment.reason,
        "task": experiment.task,
        "model": experiment.model_name,
        "dataset": experiment.dataset_name,
        "dataset_version": experiment.dataset_version,
        "owner": experiment.owner,
        "directory": experiment.directory,
        "started_at": experiment.started_at.isoformat() if experiment.started_at else None,
        "finished_at": (experiment.finished_at or utc_now()).isoformat(),
    }
