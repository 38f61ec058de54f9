"""The tables of the store, as the newest migration leaves them (a test compares the two).

The columns of a table are the fields of a record, under their names. In the migrations the large
JSON columns of `experiments` stand last: SQLite reads a row from its front, so that filtering and
sorting never touch them. The audit trail can only grow: triggers let no row be changed or deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa

from tunesmith.schemas import base as schemas
from tunesmith.store.database.column_types import (
    Document,
    Finite,
    MetricValue,
    Said,
    Text,
    UTCDateTime,
    Word,
)
from tunesmith.store.entities.experiments import DatasetVersion, Experiment, Metric
from tunesmith.store.entities.registry import AdapterVersion, RegisteredAdapter, StageChange
from tunesmith.store.entities.service import AuditEntry, Delivery, Token, Worker
from tunesmith.store.entities.sweeps import Sweep, Trial

metadata = sa.MetaData(
    # Constraints with names can be changed by later migrations, on SQLite too.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_TYPES: dict[Any, Any] = {
    bool: sa.Boolean,
    datetime: UTCDateTime,
    float: Finite,
    int: sa.BigInteger,
    schemas.Said: Said,
    str: Text,
}
"""Type of a field → that of its column; of an enumeration it is Word, of all others Document."""


def columns_of(record: type, keys: Sequence[str], *others: sa.Column[Any]) -> list[sa.Column[Any]]:
    """A column for each field of `record`, of which `keys`, in this order, make the primary key.

    `others` stand for the fields of their names. Tags have tables of their own.
    """
    instead = {column.name: column for column in others}
    hints = get_type_hints(record, include_extras=True)
    return [
        instead[name] if name in instead else _column(name, hints[name], is_key=name in keys)
        for name in dict.fromkeys([*keys, *hints])
        if name != "tags"
    ]


def _column(name: str, hint: Any, *, is_key: bool) -> sa.Column[Any]:
    optional = NoneType in get_args(hint)
    kind = get_args(hint)[0] if optional else hint
    is_enum = isinstance(kind, type) and issubclass(kind, StrEnum)
    found = Word(kind) if is_enum else _TYPES.get(kind, Document)
    return sa.Column(name, found, primary_key=is_key, nullable=optional, autoincrement=False)


def _belonging_to(target: str, name: str) -> sa.Column[Any]:
    """The key column `name` of rows that are deleted with the row that has it in `target`."""
    return sa.Column(name, Text, sa.ForeignKey(target, ondelete="CASCADE"), primary_key=True)


_NOTHING, _ZERO = sa.text("''"), sa.text("0")
"""What experiments of before the queue and notes were given when these columns came."""

experiments = sa.Table(
    "experiments",
    metadata,
    *columns_of(
        Experiment,
        ["id"],
        sa.Column("owner", Text, nullable=False, server_default=_NOTHING),
        sa.Column("priority", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("rank", sa.Double, nullable=False, server_default=_ZERO),
        sa.Column("restarts", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("heartbeat", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("note", Text, nullable=False, server_default=_NOTHING),
    ),
    # One per filter and sort key; each ends with `id` so that it gives the whole order by itself.
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "name", "id"),
    sa.Index(None, "status", "created_at", "id"),
    sa.Index(None, "eval_accuracy", "id"),
    sa.Index(None, "train_runtime", "id"),
    # Statistics are read from this one alone.
    sa.Index(None, "status", "eval_accuracy", "train_runtime"),
    # The waiting ones in the order in which they are taken, and the newest place in it.
    sa.Index(None, "status", "queue", "priority", "rank", "id"),
    sa.Index(None, "rank"),
    # What ended lately.
    sa.Index(None, "finished_at", "id"),
)

experiment_tags = sa.Table(
    "experiment_tags",
    metadata,
    _belonging_to("experiments.id", "experiment_id"),
    # As tags are compared: no database folds the case of all letters as the others do.
    sa.Column("folded", Text, primary_key=True),
    sa.Column("tag", Text, nullable=False),
    sa.Index(None, "folded", "experiment_id"),
    sqlite_with_rowid=False,
)

# Without a rowid, one metric's points lie side by side in the order in which they are read.
metrics = sa.Table(
    "metrics",
    metadata,
    *columns_of(
        Metric,
        ["experiment_id", "name", "step"],
        _belonging_to("experiments.id", "experiment_id"),
        sa.Column("value", MetricValue),
    ),
    sqlite_with_rowid=False,
)

dataset_versions = sa.Table(
    "dataset_versions", metadata, *columns_of(DatasetVersion, ["name", "number"])
)
"""Their tags can change, and are kept with the data alone."""

looks = sa.Table(
    "looks",
    metadata,
    sa.Column("evaluation_hash", Text, primary_key=True),
    sa.Column("looked_by", Text, primary_key=True),
)
"""Who looked at a test side, by the hash of its rows: an experiment, or a sweep whose trials were
picked by other rows. The experiment may be deleted: that it looked stays true."""

sweeps = sa.Table(
    "sweeps", metadata, *columns_of(Sweep, ["id"]), sa.Index(None, "status", "created_at", "id")
)

sweep_trials = sa.Table(
    "sweep_trials",
    metadata,
    *columns_of(Trial, ["sweep_id", "number"], _belonging_to("sweeps.id", "sweep_id")),
)

adapters = sa.Table("adapters", metadata, *columns_of(RegisteredAdapter, ["name"]))

adapter_tags = sa.Table(
    "adapter_tags",
    metadata,
    _belonging_to("adapters.name", "name"),
    sa.Column("folded", Text, primary_key=True),  # as in `experiment_tags`
    sa.Column("tag", Text, nullable=False),
)

adapter_versions = sa.Table(
    "adapter_versions",
    metadata,
    *columns_of(AdapterVersion, ["name", "number"], _belonging_to("adapters.name", "name")),
    sa.Index(None, "name", "experiment_id", unique=True),
    sa.Index(None, "experiment_id"),
    # The database itself keeps to one version in production, whatever a program forgets. On
    # PostgreSQL too, by its migration: to say so here would load its dialect at every start.
    sa.Index(
        "ix_adapter_versions_production",
        "name",
        unique=True,
        sqlite_where=sa.text("stage = 'production'"),
    ),
)
"""The experiment of a version may be gone, once it is archived."""

adapter_stages = sa.Table(
    "adapter_stages",
    metadata,
    *columns_of(StageChange, ["name", "number", "step"]),
    sa.ForeignKeyConstraint(
        ["name", "number"],
        ["adapter_versions.name", "adapter_versions.number"],
        ondelete="CASCADE",
    ),
)

workers = sa.Table("workers", metadata, *columns_of(Worker, ["name"], sa.Column("usage", Document)))

queues = sa.Table(
    "queues",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("paused_by", Text, nullable=False),
)
"""Those that were ever paused."""

tokens = sa.Table(
    "tokens",
    metadata,
    *columns_of(Token, ["name"], sa.Column("prefix", Text, nullable=False, unique=True)),
)

# SQLite numbers rows by itself only in a column that is declared INTEGER (64 bits there).
_number = sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)

audit = sa.Table(
    "audit",
    metadata,
    *columns_of(AuditEntry, ["id"], _number),
    sa.Index(None, "actor", "id"),
    sa.Index(None, "target", "id"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    *columns_of(Delivery, ["event", "target"]),
    sa.Index(None, "target", "due_at"),
)
"""The experiment of a delivery may be deleted before it is announced."""

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
        sa.event.listen(audit, "after_create", sa.DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]
