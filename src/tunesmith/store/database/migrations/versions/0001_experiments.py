"""Experiments, their metrics over steps, and dataset versions.

A migration never imports the package: it must do the same for ever, whatever the code becomes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database to 0001."""
    time = sa.DateTime(timezone=True)
    _create_experiments(time)
    _create_metrics(time)
    op.create_table(
        "dataset_versions",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("name", "hash", name="pk_dataset_versions"),
    )


def _create_experiments(time: sa.DateTime) -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("phase", sa.String()),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("dataset_name", sa.String(), nullable=False),
        sa.Column("dataset_hash", sa.String()),
        sa.Column("directory", sa.String()),
        sa.Column("created_at", time, nullable=False),
        sa.Column("started_at", time),
        sa.Column("finished_at", time),
        sa.Column("train_runtime", sa.Double()),
        sa.Column("eval_accuracy", sa.Double()),
        sa.Column("score_name", sa.String()),
        sa.Column("score", sa.Double()),
        sa.Column("pid", sa.BigInteger()),
        sa.Column("host", sa.String()),
        sa.Column("process_started", sa.Double()),
        sa.Column("reason", sa.String()),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
    )
    for columns in (
        ["created_at", "id"],
        ["name", "id"],
        ["status", "created_at", "id"],
        ["eval_accuracy", "id"],
        ["train_runtime", "id"],
    ):
        op.create_index(f"ix_experiments_{'_'.join(columns)}", "experiments", columns)


def _create_metrics(time: sa.DateTime) -> None:
    op.create_table(
        "metrics",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("value", sa.Double()),
        sa.Column("epoch", sa.Double()),
        sa.Column("recorded_at", time, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "name", "step", name="pk_metrics"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_metrics_experiment_id_experiments",
            ondelete="CASCADE",
        ),
        # A batch migration that copies this table must say this again in `table_kwargs`.
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """From 0001 back to an empty database."""
    op.drop_table("dataset_versions")
    op.drop_table("metrics")
    op.drop_table("experiments")
