"""Experiments say which machine their process number belongs to.

Those recorded until now are still known by their host's name.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From 0003 to 0004."""
    column = sa.Column("machine", sa.String())
    if op.get_context().dialect.name == "sqlite":
        # Alembic would read the empty text of this one's default as an expression.
        owner = sa.Column("owner", sa.String(), nullable=False, server_default=sa.text("''"))
        # Before the large JSON columns, so that SQLite never passes over them to read it.
        with op.batch_alter_table("experiments", recreate="always", reflect_args=(owner,)) as batch:
            batch.add_column(column, insert_after="host")
    else:
        op.add_column("experiments", column)


def downgrade() -> None:
    """From 0004 back to 0003."""
    with op.batch_alter_table("experiments") as batch:
        batch.drop_column("machine")
