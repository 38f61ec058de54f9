"""Looks at test sides; every experiment that has succeeded was one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """To 0010 from the one before."""
    looks = op.create_table(
        "looks",
        sa.Column("evaluation_hash", sa.String(), nullable=False),
        sa.Column("looked_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_hash", "looked_by", name="pk_looks"),
    )
    experiments = sa.table(
        "experiments", sa.column("id"), sa.column("status"), sa.column("data", sa.JSON())
    )
    query = sa.select(experiments.c.id, experiments.c.data)
    found = op.get_bind().execute(query.where(experiments.c.status == "succeeded"))
    rows = []
    for experiment_id, data in found:
        side = ((data or {}).get("splits") or {}).get("evaluation") or {}
        if isinstance(side.get("hash"), str):
            rows.append({"evaluation_hash": side["hash"], "looked_by": experiment_id})
    op.bulk_insert(looks, rows)


def downgrade() -> None:
    """Back from 0010; how often a test side was looked at is forgotten."""
    op.drop_table("looks")
