"""The workers that take experiments: who they are, and when they were last heard of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update

from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import workers
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Worker


class Workers(Part):
    """The record of workers, a part of `store.queue`."""

    def register(self, worker: Worker) -> None:
        """Record a worker, in place of what has its name."""
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(workers), asdict(worker))

    def beat(self, name: str, usage: Mapping[str, Any] | None = None) -> bool:
        """Renew a worker's heartbeat, record its use; False when it isn't recorded any more."""
        said = {} if usage is None else {"usage": usage}
        statement = (
            update(workers)
            .where(workers.c.name == name)
            .values(heartbeat=workers.c.heartbeat + 1, seen_at=utc_now(), **said)
        )
        return self._changed(statement) > 0

    def workers(self) -> list[Worker]:
        """The recorded workers, by name."""
        return [
            Worker(
                **{
                    **row,
                    "devices": tuple(row.devices),
                    "queues": tuple(row.queues),
                    "usage": row.usage or {},
                }
            )
            for row in self._rows(select(workers).order_by(workers.c.name))
        ]

    def forget(self, name: str) -> None:
        """Delete a worker's record; without one, nothing is done."""
        self._changed(delete(workers).where(workers.c.name == name))
