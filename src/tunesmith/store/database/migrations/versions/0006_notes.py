"""What people say of an experiment afterwards: a note and tags.

Experiments recorded until now have an empty note, and no tags.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """To 0006 from the one before."""
    note = _text("note")
    if op.get_context().dialect.name == "sqlite":
        # Before the large JSON columns, so that SQLite never passes over them to read it.
        with op.batch_alter_table(
            "experiments", recreate="always", reflect_args=(_text("owner"),)
        ) as batch:
            batch.add_column(note, insert_after="time_left")
    else:
        op.add_column("experiments", note)
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "folded", name="pk_experiment_tags"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_experiment_tags_experiment_id_experiments",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_experiment_tags_folded_experiment_id", "experiment_tags", ["folded", "experiment_id"]
    )


def downgrade() -> None:
    """Back from 0006; notes and tags are lost."""
    op.drop_table("experiment_tags")
    with op.batch_alter_table("experiments", reflect_args=(_text("owner"),)) as batch:
        batch.drop_column("note")


def _text(name: str) -> sa.Column[str]:
    """A text that is empty where nothing was said.

    Alembic would read the empty text of a default that it finds on SQLite as an expression.
    """
    return sa.Column(name, sa.String(), nullable=False, server_default=sa.text("''"))
