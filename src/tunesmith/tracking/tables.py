"""The tables of the store, as the newest migration leaves them (a test compares the two).

In `experiments` the large JSON columns stand last: SQLite reads a row from its front, so
filtering and sorting never touch them.

The audit trail can only grow: triggers refuse to change or delete its rows, whoever asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Named,
    Table,
    TypedColumns,
    event,
    text,
)

from tunesmith.tracking.column_types import (
    Document,
    Finite,
    MetricValue,
    Text,
    UTCDateTime,
    Word,
)
from tunesmith.tracking.entities import ExperimentStatus
from tunesmith.tracking.registry_entities import Stage
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.sweep_entities import SweepStatus, TrialState

metadata = MetaData(
    # Constraints with names can be changed by later migrations, on SQLite too.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class ExperimentColumns(TypedColumns):
    """One row, one Experiment: the columns have the names of its fields."""

    id: Named[str] = Column(Text, primary_key=True)
    name: Named[str] = Column(Text, nullable=False)
    status: Named[ExperimentStatus] = Column(Word(ExperimentStatus), nullable=False)
    phase: Named[str | None] = Column(Text)
    progress: Named[float] = Column(Double, nullable=False)
    task: Named[str] = Column(Text, nullable=False)
    model_name: Named[str] = Column(Text, nullable=False)
    dataset_name: Named[str] = Column(Text, nullable=False)
    dataset_hash: Named[str | None] = Column(Text)
    dataset_version: Named[int | None] = Column(BigInteger)
    directory: Named[str | None] = Column(Text)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    started_at: Named[datetime | None] = Column(UTCDateTime)
    finished_at: Named[datetime | None] = Column(UTCDateTime)
    train_runtime: Named[float | None] = Column(Finite)
    eval_accuracy: Named[float | None] = Column(Finite)
    score_name: Named[str | None] = Column(Text)
    score: Named[float | None] = Column(Finite)
    pid: Named[int | None] = Column(BigInteger)
    host: Named[str | None] = Column(Text)
    machine: Named[str | None] = Column(Text)
    process_started: Named[float | None] = Column(Finite)
    reason: Named[str | None] = Column(Text)
    # The defaults are what experiments of before the queue were given when these columns came.
    owner: Named[str] = Column(Text, nullable=False, server_default=text("''"))
    queue: Named[str | None] = Column(Text)
    priority: Named[int] = Column(BigInteger, nullable=False, server_default=text("0"))
    rank: Named[float] = Column(Double, nullable=False, server_default=text("0"))
    runs_after: Named[str | None] = Column(Text)
    restarts: Named[int] = Column(BigInteger, nullable=False, server_default=text("0"))
    worker: Named[str | None] = Column(Text)
    lease: Named[str | None] = Column(Text)
    heartbeat: Named[int] = Column(BigInteger, nullable=False, server_default=text("0"))
    cancel_requested_at: Named[datetime | None] = Column(UTCDateTime)
    time_left: Named[float | None] = Column(Finite)
    note: Named[str] = Column(Text, nullable=False, server_default=text("''"))
    config: Named[Any] = Column(Document, nullable=False)
    data: Named[Any] = Column(Document, nullable=False)
    environment: Named[Any] = Column(Document, nullable=False)
    plan: Named[Any] = Column(Document, nullable=False)
    metrics: Named[Any] = Column(Document, nullable=False)


class ExperimentTagColumns(TypedColumns):
    """One row for each tag of each experiment."""

    experiment_id: Named[str] = Column(
        Text, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True
    )
    # As tags are compared: no database folds the case of all letters as the others do.
    folded: Named[str] = Column(Text, primary_key=True)
    tag: Named[str] = Column(Text, nullable=False)


class MetricColumns(TypedColumns):
    """One row, one Metric."""

    experiment_id: Named[str] = Column(
        Text, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True
    )
    name: Named[str] = Column(Text, primary_key=True)
    step: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    value: Named[float] = Column(MetricValue, nullable=True)
    epoch: Named[float | None] = Column(Finite)
    recorded_at: Named[datetime] = Column(UTCDateTime, nullable=False)


class DatasetVersionColumns(TypedColumns):
    """One row, one DatasetVersion; its tags can change, and are kept with the data alone."""

    name: Named[str] = Column(Text, primary_key=True)
    number: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    hash: Named[str] = Column(Text, nullable=False)
    rows: Named[int] = Column(BigInteger, nullable=False)
    source: Named[str] = Column(Text, nullable=False)
    parent: Named[int | None] = Column(BigInteger)
    description: Named[str] = Column(Text, nullable=False)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    created_by: Named[str] = Column(Text, nullable=False)
    columns: Named[Any] = Column(Document, nullable=False)
    splits: Named[Any] = Column(Document, nullable=False)
    split_by: Named[Any] = Column(Document, nullable=False)
    label_counts: Named[Any] = Column(Document, nullable=False)
    rules: Named[Any] = Column(Document, nullable=False)
    report: Named[Any] = Column(Document, nullable=False)


class WorkerColumns(TypedColumns):
    """One row, one Worker."""

    name: Named[str] = Column(Text, primary_key=True)
    host: Named[str] = Column(Text, nullable=False)
    pid: Named[int] = Column(BigInteger, nullable=False)
    devices: Named[Any] = Column(Document, nullable=False)
    queues: Named[Any] = Column(Document, nullable=False)
    slots: Named[int] = Column(BigInteger, nullable=False)
    version: Named[str] = Column(Text, nullable=False)
    started_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    heartbeat: Named[int] = Column(BigInteger, nullable=False)
    seen_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    usage: Named[Any | None] = Column(Document)


class QueueColumns(TypedColumns):
    """One row for each queue that was ever paused."""

    name: Named[str] = Column(Text, primary_key=True)
    paused: Named[bool] = Column(Boolean, nullable=False)
    paused_by: Named[str] = Column(Text, nullable=False)


class TokenColumns(TypedColumns):
    """One row, one Token."""

    name: Named[str] = Column(Text, primary_key=True)
    role: Named[Role] = Column(Word(Role), nullable=False)
    prefix: Named[str] = Column(Text, nullable=False, unique=True)
    hash: Named[str] = Column(Text, nullable=False)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    created_by: Named[str] = Column(Text, nullable=False)
    last_used_at: Named[datetime | None] = Column(UTCDateTime)
    revoked_at: Named[datetime | None] = Column(UTCDateTime)


class AuditColumns(TypedColumns):
    """One row, one AuditEntry."""

    # SQLite numbers rows by itself only in a column that is declared INTEGER (64 bits there).
    id: Named[int] = Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Named[datetime] = Column(UTCDateTime, nullable=False)
    actor: Named[str] = Column(Text, nullable=False)
    action: Named[str] = Column(Text, nullable=False)
    target: Named[str] = Column(Text, nullable=False)
    details: Named[Any] = Column(Document, nullable=False)
    address: Named[str] = Column(Text, nullable=False)


class SweepColumns(TypedColumns):
    """One row, one Sweep."""

    id: Named[str] = Column(Text, primary_key=True)
    name: Named[str] = Column(Text, nullable=False)
    status: Named[SweepStatus] = Column(Word(SweepStatus), nullable=False)
    owner: Named[str] = Column(Text, nullable=False)
    confined: Named[bool] = Column(Boolean, nullable=False)
    reason: Named[str | None] = Column(Text)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    finished_at: Named[datetime | None] = Column(UTCDateTime)
    asked: Named[Any] = Column(Document, nullable=False)


class SweepTrialColumns(TypedColumns):
    """One row, one Trial."""

    sweep_id: Named[str] = Column(
        Text, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
    )
    number: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    state: Named[TrialState] = Column(Word(TrialState), nullable=False)
    value: Named[float | None] = Column(Finite)
    epoch: Named[float | None] = Column(Finite)
    reason: Named[str | None] = Column(Text)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    finished_at: Named[datetime | None] = Column(UTCDateTime)
    parameters: Named[Any] = Column(Document, nullable=False)
    experiments: Named[Any] = Column(Document, nullable=False)


class AdapterColumns(TypedColumns):
    """One row, one RegisteredAdapter without its tags."""

    name: Named[str] = Column(Text, primary_key=True)
    description: Named[str] = Column(Text, nullable=False)
    language: Named[str | None] = Column(Text)
    owner: Named[str] = Column(Text, nullable=False)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    given: Named[int] = Column(BigInteger, nullable=False)
    demands: Named[Any] = Column(Document, nullable=False)


class AdapterTagColumns(TypedColumns):
    """One row for each tag of each registered adapter; `folded` as in `experiment_tags`."""

    name: Named[str] = Column(
        Text, ForeignKey("adapters.name", ondelete="CASCADE"), primary_key=True
    )
    folded: Named[str] = Column(Text, primary_key=True)
    tag: Named[str] = Column(Text, nullable=False)


class AdapterVersionColumns(TypedColumns):
    """One row, one AdapterVersion. Its experiment may be gone, once it is archived."""

    name: Named[str] = Column(
        Text, ForeignKey("adapters.name", ondelete="CASCADE"), primary_key=True
    )
    number: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    stage: Named[Stage] = Column(Word(Stage), nullable=False)
    experiment_id: Named[str] = Column(Text, nullable=False)
    comment: Named[str] = Column(Text, nullable=False)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    created_by: Named[str] = Column(Text, nullable=False)
    task: Named[str] = Column(Text, nullable=False)
    model_name: Named[str] = Column(Text, nullable=False)
    model_identity: Named[str | None] = Column(Text)
    score_name: Named[str | None] = Column(Text)
    score: Named[float | None] = Column(Finite)
    low: Named[float | None] = Column(Finite)
    high: Named[float | None] = Column(Finite)
    method: Named[str | None] = Column(Text)
    rows: Named[int | None] = Column(BigInteger)
    dataset: Named[str] = Column(Text, nullable=False)
    dataset_hash: Named[str | None] = Column(Text)
    evaluation_hash: Named[str | None] = Column(Text)
    reload_verified: Named[bool] = Column(Boolean, nullable=False)
    weights_hash: Named[str] = Column(Text, nullable=False)


class AdapterStageColumns(TypedColumns):
    """One row, one StageChange."""

    name: Named[str] = Column(Text, primary_key=True)
    number: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    step: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    at: Named[datetime] = Column(UTCDateTime, nullable=False)
    actor: Named[str] = Column(Text, nullable=False)
    was: Named[Stage | None] = Column(Word(Stage))
    stage: Named[Stage] = Column(Word(Stage), nullable=False)
    comment: Named[str] = Column(Text, nullable=False)
    forced: Named[bool] = Column(Boolean, nullable=False)
    unmet: Named[Any] = Column(Document, nullable=False)


class DeliveryColumns(TypedColumns):
    """One row, one Delivery; the experiment may be deleted before it is told of."""

    event: Named[str] = Column(Text, primary_key=True)
    target: Named[str] = Column(Text, primary_key=True)
    experiment_id: Named[str] = Column(Text, nullable=False)
    created_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    due_at: Named[datetime] = Column(UTCDateTime, nullable=False)
    attempts: Named[int] = Column(BigInteger, nullable=False)
    facts: Named[Any] = Column(Document, nullable=False)


experiments = Table("experiments", metadata, ExperimentColumns)

# One per filter and sort key; each ends with `id` so that it gives the whole order by itself.
Index(None, experiments.c.created_at, experiments.c.id)
Index(None, experiments.c.name, experiments.c.id)
Index(None, experiments.c.status, experiments.c.created_at, experiments.c.id)
Index(None, experiments.c.eval_accuracy, experiments.c.id)
Index(None, experiments.c.train_runtime, experiments.c.id)
# Statistics are read from this one alone.
Index(None, experiments.c.status, experiments.c.eval_accuracy, experiments.c.train_runtime)
# The waiting ones in the order in which they are taken, and the newest place in it.
Index(
    None,
    experiments.c.status,
    experiments.c.queue,
    experiments.c.priority,
    experiments.c.rank,
    experiments.c.id,
)
Index(None, experiments.c.rank)
# What ended lately.
Index(None, experiments.c.finished_at, experiments.c.id)

experiment_tags = Table("experiment_tags", metadata, ExperimentTagColumns, sqlite_with_rowid=False)

Index(None, experiment_tags.c.folded, experiment_tags.c.experiment_id)

# Without a rowid, one metric's points lie side by side in the order in which they are read.
metrics = Table("metrics", metadata, MetricColumns, sqlite_with_rowid=False)

dataset_versions = Table("dataset_versions", metadata, DatasetVersionColumns)

workers = Table("workers", metadata, WorkerColumns)

queues = Table("queues", metadata, QueueColumns)

tokens = Table("tokens", metadata, TokenColumns)

audit = Table("audit", metadata, AuditColumns)

Index(None, audit.c.actor, audit.c.id)
Index(None, audit.c.target, audit.c.id)

sweeps = Table("sweeps", metadata, SweepColumns)

Index(None, sweeps.c.status, sweeps.c.created_at, sweeps.c.id)

sweep_trials = Table("sweep_trials", metadata, SweepTrialColumns)

adapters = Table("adapters", metadata, AdapterColumns)

adapter_tags = Table("adapter_tags", metadata, AdapterTagColumns)

adapter_versions = Table("adapter_versions", metadata, AdapterVersionColumns)

Index(None, adapter_versions.c.name, adapter_versions.c.experiment_id, unique=True)
Index(None, adapter_versions.c.experiment_id)
# The database itself keeps to one version in production, whatever a program forgets.
Index(
    "ix_adapter_versions_production",
    adapter_versions.c.name,
    unique=True,
    sqlite_where=text("stage = 'production'"),
    postgresql_where=text("stage = 'production'"),
)

adapter_stages = Table(
    "adapter_stages",
    metadata,
    AdapterStageColumns,
    ForeignKeyConstraint(
        ["name", "number"],
        ["adapter_versions.name", "adapter_versions.number"],
        ondelete="CASCADE",
    ),
)

deliveries = Table("deliveries", metadata, DeliveryColumns)

Index(None, deliveries.c.target, deliveries.c.due_at)

_REFUSAL = "the audit trail can only grow"

APPEND_ONLY = {
    "sqlite": [
        *(
            f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            for what in ("UPDATE", "DELETE")
        ),
        # INSERT OR REPLACE deletes rows without asking the trigger above.
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
        "WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE restrict_violation USING MESSAGE = '{_REFUSAL}'; END $$",
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ],
}
"""Database → what makes it refuse to change or delete entries. Migration 0003 has the same."""

for _dialect, _statements in APPEND_ONLY.items():
    for _statement in _statements:
        event.listen(audit, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]
