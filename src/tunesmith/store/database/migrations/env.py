"""Alembic's entry: runs the migrations on the connection that `store/database/schema.py` gives.

That connection already holds the lock and the transaction, so a migration is done whole or not at
all. `render_as_batch` because SQLite can alter a table only by copying it.
"""

from __future__ import annotations

from alembic import context

from tunesmith.store.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
