"""Ends of experiments that are to be announced; those of until now stay unannounced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """To 0009 from the one before."""
    op.create_table(
        "deliveries",
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event", "target", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_target_due_at", "deliveries", ["target", "due_at"])


def downgrade() -> None:
    """Back from 0009; what was still to be announced never is."""
    op.drop_table("deliveries")
