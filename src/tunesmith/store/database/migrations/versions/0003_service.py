"""The queue, its workers, access tokens, and an audit trail that can only grow.

Experiments recorded until now belong to no queue and to nobody.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_INDEXES = {
    "experiments": (
        ["status", "eval_accuracy", "train_runtime"],
        ["status", "queue", "priority", "rank", "id"],
        ["rank"],
    ),
    "audit": (["actor", "id"], ["target", "id"]),
}
_REFUSAL = "the audit trail can only grow"


def upgrade() -> None:
    """From 0002 to 0003."""
    _add_columns()
    time = sa.DateTime(timezone=True)
    op.create_table(
        "workers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("slots", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("paused_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_queues"),
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("last_used_at", time),
        sa.Column("revoked_at", time),
        sa.PrimaryKeyConstraint("name", name="pk_tokens"),
        sa.UniqueConstraint("prefix", name="uq_tokens_prefix"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    for table, indexes in _INDEXES.items():
        for columns in indexes:
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    _make_append_only()


def _add_columns() -> None:
    if op.get_context().dialect.name == "sqlite":
        # Before the large JSON columns, so that SQLite never passes over them to read these.
        with op.batch_alter_table("experiments", recreate="always") as batch:
            before = "reason"
            for column in _columns():
                batch.add_column(column, insert_after=before)
                before = column.name
    else:
        for column in _columns():
            op.add_column("experiments", column)


def downgrade() -> None:
    """From 0003 back to 0002; the queue, tokens and the audit trail are lost."""
    op.drop_table("audit")
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")
    for table in ("tokens", "queues", "workers"):
        op.drop_table(table)
    for columns in _INDEXES["experiments"]:
        op.drop_index(f"ix_experiments_{'_'.join(columns)}", "experiments")
    with op.batch_alter_table("experiments") as batch:
        for column in _columns():
            batch.drop_column(column.name)


def _columns() -> tuple[sa.Column[object], ...]:
    """The new columns of experiments, in their order."""
    return (
        sa.Column("owner", sa.String(), nullable=False, server_default=sa.text("''")),
        sa.Column("queue", sa.String()),
        sa.Column("priority", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("rank", sa.Double(), nullable=False, server_default=sa.text("0")),
        sa.Column("runs_after", sa.String()),
        sa.Column("restarts", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("worker", sa.String()),
        sa.Column("lease", sa.String()),
        sa.Column("heartbeat", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True)),
        sa.Column("time_left", sa.Double()),
    )


def _make_append_only() -> None:
    """Let the database refuse to change or delete what the audit trail holds."""
    if op.get_context().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        # INSERT OR REPLACE deletes rows without asking the trigger above.
        op.execute(
            "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
            "WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE restrict_violation USING MESSAGE = '{_REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
    )
