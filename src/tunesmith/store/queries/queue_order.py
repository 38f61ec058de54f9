"""The order of the queue, and which of those that wait may be taken, as SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, func, select, text

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.tables import experiments, queues

ORDER = (experiments.c.priority.desc(), experiments.c.rank, experiments.c.id)
"""Of those that wait, the first is taken first."""

_RANK_LOCK = 0x74756E65_72616E6B
"""Name of the advisory lock under which PostgreSQL stores give ranks ("tunerank" in ASCII)."""


def takeable(
    query: Select[Any], names: Collection[str], most_processes: int | None = None
) -> Select[Any]:
    """`query` over experiments, of those that may be taken from the queues `names` now.

    With `most_processes`, of those that train with no more than so many, or on the processor.
    """
    columns = experiments.c
    if most_processes is not None:
        training = columns.config["training"]
        fits = func.coalesce(training["processes"].as_integer(), 1) <= most_processes
        query = query.where(fits | (training["device"].as_string() == "cpu"))
    before = experiments.alias("before")
    unfinished = [status for status in ExperimentStatus if status.is_live]
    held_up = select(before.c.id).where(
        before.c.id == columns.runs_after, before.c.status.in_(unfinished)
    )
    return query.where(
        columns.status == ExperimentStatus.QUEUED,
        columns.queue.in_(list(names)),
        columns.queue.not_in(select(queues.c.name).where(queues.c.paused)),
        ~held_up.exists(),
    )


def lock_ranks(connection: Connection) -> None:
    """Keep others from giving ranks until the transaction ends; on SQLite it does by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _RANK_LOCK})


def last_rank(connection: Connection) -> float:
    """A rank after all that were ever given, of experiments that still are recorded."""
    lock_ranks(connection)
    highest = connection.scalar(select(func.max(experiments.c.rank)))
    return (highest or 0.0) + 1.0
