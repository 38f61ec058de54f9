"""What workers and their devices use, and a way to find what ended lately.

Workers recorded until now have said nothing of it.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """To 0005 from the one before."""
    with op.batch_alter_table("workers", recreate=_recreate()) as batch:
        batch.add_column(sa.Column("usage", sa.JSON()))
    op.create_index("ix_experiments_finished_at_id", "experiments", ["finished_at", "id"])


def downgrade() -> None:
    """Back from 0005; what workers said of their use is lost."""
    op.drop_index("ix_experiments_finished_at_id", "experiments")
    with op.batch_alter_table("workers", recreate=_recreate()) as batch:
        batch.drop_column("usage")


def _recreate() -> Literal["always", "never"]:
    """SQLite's own ALTER TABLE would leave another declaration than the table's."""
    return "always" if op.get_context().dialect.name == "sqlite" else "never"
