"""The registry of adapters. Stores recorded until now have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """To 0008 from the one before."""
    op.create_table(
        "adapters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("language", sa.String()),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
        sa.Column("demands", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_adapters"),
    )
    op.create_table(
        "adapter_tags",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", "folded", name="pk_adapter_tags"),
        sa.ForeignKeyConstraint(
            ["name"], ["adapters.name"], name="fk_adapter_tags_name_adapters", ondelete="CASCADE"
        ),
    )
    _create_versions()
    op.create_table(
        "adapter_stages",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("step", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("was", sa.String()),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("unmet", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", "step", name="pk_adapter_stages"),
        sa.ForeignKeyConstraint(
            ["name", "number"],
            ["adapter_versions.name", "adapter_versions.number"],
            name="fk_adapter_stages_name_number_adapter_versions",
            ondelete="CASCADE",
        ),
    )


def _create_versions() -> None:
    op.create_table(
        "adapter_versions",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("model_identity", sa.String()),
        sa.Column("score_name", sa.String()),
        sa.Column("score", sa.Double()),
        sa.Column("low", sa.Double()),
        sa.Column("high", sa.Double()),
        sa.Column("method", sa.String()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("dataset_hash", sa.String()),
        sa.Column("evaluation_hash", sa.String()),
        sa.Column("reload_verified", sa.Boolean(), nullable=False),
        sa.Column("weights_hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name="pk_adapter_versions"),
        sa.ForeignKeyConstraint(
            ["name"],
            ["adapters.name"],
            name="fk_adapter_versions_name_adapters",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_adapter_versions_name_experiment_id",
        "adapter_versions",
        ["name", "experiment_id"],
        unique=True,
    )
    op.create_index("ix_adapter_versions_experiment_id", "adapter_versions", ["experiment_id"])
    # The database itself keeps to one version in production, whatever a program forgets.
    op.create_index(
        "ix_adapter_versions_production",
        "adapter_versions",
        ["name"],
        unique=True,
        sqlite_where=sa.text("stage = 'production'"),
        postgresql_where=sa.text("stage = 'production'"),
    )


def downgrade() -> None:
    """Back from 0008; what is registered is lost, the experiments stay."""
    op.drop_table("adapter_stages")
    op.drop_table("adapter_versions")
    op.drop_table("adapter_tags")
    op.drop_table("adapters")
