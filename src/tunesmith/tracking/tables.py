"""The tables of the store, as the newest migration leaves them (a test compares the two).

In `experiments` the large JSON columns stand last: SQLite reads a row from its front, so
filtering and sorting never touch them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    MetaData,
    Named,
    Table,
    TypedColumns,
)

from tunesmith.tracking.column_types import (
    Document,
    Finite,
    MetricValue,
    Status,
    Text,
    UTCDateTime,
)
from tunesmith.tracking.entities import ExperimentStatus

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
    status: Named[ExperimentStatus] = Column(Status, nullable=False)
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
    process_started: Named[float | None] = Column(Finite)
    reason: Named[str | None] = Column(Text)
    config: Named[Any] = Column(Document, nullable=False)
    data: Named[Any] = Column(Document, nullable=False)
    environment: Named[Any] = Column(Document, nullable=False)
    plan: Named[Any] = Column(Document, nullable=False)
    metrics: Named[Any] = Column(Document, nullable=False)


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


experiments = Table("experiments", metadata, ExperimentColumns)

# One per filter and sort key; each ends with `id` so that it gives the whole order by itself.
Index(None, experiments.c.created_at, experiments.c.id)
Index(None, experiments.c.name, experiments.c.id)
Index(None, experiments.c.status, experiments.c.created_at, experiments.c.id)
Index(None, experiments.c.eval_accuracy, experiments.c.id)
Index(None, experiments.c.train_runtime, experiments.c.id)

# Without a rowid, one metric's points lie side by side in the order in which they are read.
metrics = Table("metrics", metadata, MetricColumns, sqlite_with_rowid=False)

dataset_versions = Table("dataset_versions", metadata, DatasetVersionColumns)
