"""Dataset versions with numbers; experiments say which one they were trained on.

The versions recorded until now are numbered by their time, each dataset's from 1.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NEW_DOCUMENTS = ("splits", "split_by", "label_counts", "rules", "report")


def upgrade() -> None:
    """From 0001 to 0002."""
    column = sa.Column("dataset_version", sa.BigInteger())
    if op.get_context().dialect.name == "sqlite":
        # Before the large JSON columns, so that SQLite never passes over them to read it.
        with op.batch_alter_table("experiments", recreate="always") as batch:
            batch.add_column(column, insert_after="dataset_hash")
    else:
        op.add_column("experiments", column)
    rows = _take_rows()
    table = op.create_table(
        "dataset_versions",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("parent", sa.BigInteger()),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in _NEW_DOCUMENTS),
        sa.PrimaryKeyConstraint("name", "number", name="pk_dataset_versions"),
    )
    unknown: dict[str, Any] = {"description": "", "created_by": ""}
    unknown |= {name: {} for name in _NEW_DOCUMENTS}
    made: Counter[str] = Counter()
    for row in rows:
        row |= unknown | {"parent": made[row["name"]] or None}
        made[row["name"]] += 1
        row["number"] = made[row["name"]]
    op.bulk_insert(table, rows)


def downgrade() -> None:
    """From 0002 back to 0001."""
    # A content that was recorded under two numbers was first seen with the lower one.
    first = {(row["name"], row["hash"]): row for row in reversed(_take_rows())}
    table = op.create_table(
        "dataset_versions",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "hash", name="pk_dataset_versions"),
    )
    op.bulk_insert(table, list(first.values()))
    with op.batch_alter_table("experiments") as batch:
        batch.drop_column("dataset_version")


def _take_rows() -> list[dict[str, Any]]:
    """What both tables of dataset versions hold, the oldest first; drops the table.

    The rows are few, and so can go through memory: a renamed table would keep the name of its
    primary key, which the new one needs.
    """
    table = sa.table(
        "dataset_versions",
        sa.column("name", sa.String()),
        sa.column("hash", sa.String()),
        sa.column("rows", sa.BigInteger()),
        sa.column("columns", sa.JSON()),
        sa.column("source", sa.String()),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    query = sa.select(table).order_by(table.c.created_at, table.c.hash)
    rows = [dict(row) for row in op.get_bind().execute(query).mappings()]
    op.drop_table("dataset_versions")
    return rows
