"""One experiment and its row: read, written, changed, and the lease under which that is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from tunesmith.errors import LeaseLostError, StateError
from tunesmith.messages import joined, say
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.tables import experiments
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.queries.references import not_found
from tunesmith.store.queries.tags import EXPERIMENT_TAGS

EXPERIMENT_FIELDS = tuple(field.name for field in fields(Experiment) if field.name != "tags")
"""Those that are columns."""
_FIXED = frozenset({"id", "status"})


def get_experiment(connection: Connection, experiment_id: str) -> Experiment:
    """The experiment with exactly this id. Raises NotFoundError naming the nearest."""
    found = read_experiment(connection, experiment_id)
    if found is None:
        raise not_found(connection, experiment_id)
    return found


def read_experiment(connection: Connection, experiment_id: str) -> Experiment | None:
    """The experiment with exactly this id; None where there is none."""
    query = select(experiments).where(experiments.c.id == experiment_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else with_tags(connection, [row])[0]


def with_tags(
    connection: Connection,
    rows: Iterable[Mapping[Any, Any]],
    missing: Mapping[str, Any] | None = None,
) -> list[Experiment]:
    """The experiments of these rows with their tags; `missing` are fields that the rows lack."""
    rows = list(rows)
    tags = EXPERIMENT_TAGS.read(connection, [row["id"] for row in rows])
    return [Experiment(**row, **(missing or {}), tags=tags.get(row["id"], ())) for row in rows]


def insert_experiment(connection: Connection, experiment: Experiment) -> None:
    """Record a new experiment. Raises IntegrityError when its id is taken."""
    connection.execute(experiments.insert(), experiment_row(experiment))
    EXPERIMENT_TAGS.write(connection, experiment.id, experiment.tags)


def experiment_row(experiment: Experiment) -> dict[str, Any]:
    """Column → value; tags have a table of their own."""
    return {name: getattr(experiment, name) for name in EXPERIMENT_FIELDS}


def checked(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`changes`. Raises ValueError for what is no field, and for id and status."""
    wrong = sorted((changes.keys() - set(EXPERIMENT_FIELDS)) | (changes.keys() & _FIXED))
    if wrong:
        raise ValueError(f"these fields of an experiment can't be changed: {', '.join(wrong)}")
    return changes


def other_status(
    experiment: Experiment, expected: Collection[ExperimentStatus], to: ExperimentStatus
) -> StateError:
    """The error for an experiment that is in none of the `expected` statuses, to become `to`."""
    return StateError(
        "Experiment {id} ({name}) is {status}; only one that is {wanted} can become {to}.",
        id=experiment.id,
        name=experiment.name,
        status=experiment.status,
        wanted=joined(sorted(expected), " or ") or say("no status"),
        to=to,
    )


def under(experiment_id: str, lease: str) -> tuple[ColumnElement[bool], ...]:
    """The condition that the experiment runs under this lease."""
    return (
        experiments.c.id == experiment_id,
        experiments.c.lease == lease,
        experiments.c.status == ExperimentStatus.RUNNING,
    )


def require_lease(connection: Connection, experiment_id: str, lease: str) -> None:
    """Let nobody else take it till the transaction ends. Raises LeaseLostError."""
    query = select(experiments.c.id).where(*under(experiment_id, lease))
    # PostgreSQL: its row can't change meanwhile. SQLite: a writing transaction keeps others out.
    if connection.scalar(query.with_for_update(read=True)) is None:
        raise lease_lost(connection, experiment_id)


def lease_lost(connection: Connection, experiment_id: str) -> LeaseLostError:
    """The error for a write under a lease that doesn't hold any more, saying how it stands now."""
    query = select(experiments.c.name, experiments.c.status, experiments.c.worker)
    row = connection.execute(query.where(experiments.c.id == experiment_id)).first()
    if row is None:
        return LeaseLostError("Experiment {id} is not recorded any more.", id=experiment_id)
    if row.status is ExperimentStatus.RUNNING:
        by = say(" by worker {worker}", worker=row.worker) if row.worker else ""
        stands = say("another process was given it, and runs it now{who}", who=by)
    else:
        stands = say("it is {status} now", status=row.status)
    return LeaseLostError(
        "Experiment {id} ({name}) may not be written by this process any more: {why}.",
        id=experiment_id,
        name=row.name,
        why=stands,
    )
