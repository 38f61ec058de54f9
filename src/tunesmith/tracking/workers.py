"""The workers that take experiments: who they are, and when they were last heard of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update

from tunesmith.tracking.database import Database
from tunesmith.tracking.entities import utc_now
from tunesmith.tracking.service_entities import Worker
from tunesmith.tracking.tables import workers


class Workers:
    """The record of workers, a part of `store.jobs`.

    Every method is one transaction, and raises StorageError when the store can't be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: Worker) -> None:
        """Record a worker, in place of what has its name."""
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(workers), asdict(worker))

    def beat(self, name: str, usage: Mapping[str, Any] | None = None) -> bool:
        """Give a sign of life for a worker, and say what it uses.

        False when it isn't recorded (any more).
        """
        said = {} if usage is None else {"usage": usage}
        statement = (
            update(workers)
            .where(workers.c.name == name)
            .values(heartbeat=workers.c.heartbeat + 1, seen_at=utc_now(), **said)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount > 0

    def workers(self) -> list[Worker]:
        """The recorded workers, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(workers).order_by(workers.c.name)).mappings()
            return [
                Worker(
                    **{
                        **row,
                        "devices": tuple(row.devices),
                        "queues": tuple(row.queues),
                        "usage": row.usage or {},
                    }
                )
                for row in rows
            ]

    def forget(self, name: str) -> None:
        """Delete a worker's record; without one, nothing is done."""
        with self._database.writing() as connection:
            connection.execute(delete(workers).where(workers.c.name == name))
