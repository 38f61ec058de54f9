"""Brings a database to this code's schema, safely while other processes do the same."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from tunesmith.errors import StorageError

HEAD = "0010"
"""The newest migration. A constant, because asking Alembic costs half a second at every start."""

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK_KEY = 0x74756E65736D6974
"""Name of the advisory lock under which PostgreSQL stores are migrated ("tunesmit" in ASCII)."""


def bring_to_head(reader: Engine, writer: Engine, name: str) -> None:
    """Create or migrate the schema of a database, unless it is at HEAD already.

    The two engines lead to the same database; the transactions of `writer` begin with the write
    lock (SQLite: BEGIN IMMEDIATE). `name` is what error messages call the database.

    Raises StorageError when the database was written by a newer Tunesmith.
    """
    with reader.begin() as connection:
        revision = current_revision(connection)
    if revision != HEAD:
        with writer.connect() as connection:
            migrate(connection, name, HEAD)


def known_revisions() -> list[str]:
    """The schemas that this code knows, the oldest first."""
    return sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(connection: Connection) -> str | None:
    """The migration that the database is at; None for one that was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def migrate(connection: Connection, name: str, target: str) -> None:
    """Upgrade or downgrade the database to the revision `target` ("base" for an empty one).

    `connection` comes from a writer (see `bring_to_head`) and is not in a transaction. The
    migrations run in one, under a lock that keeps other processes out. Foreign keys are not
    enforced meanwhile: SQLite alters a table by copying and dropping it, which would delete what
    refers to it.

    Raises StorageError when the database is at a revision that this code doesn't know, or when
    the migrations would leave references to rows that are not there.
    """
    # Imported here: most starts find the schema in place and need no Alembic.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # Alembic's configuration expands %(names)s.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()]
    sqlite = connection.dialect.name == "sqlite"
    _enforce_foreign_keys(connection, False)
    try:
        with connection.begin():
            if not sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            revision = current_revision(connection)
            if revision == target:
                return
            if revision is not None and revision not in known:
                raise StorageError(
                    "The store {name} was written by a newer Tunesmith: its schema is "
                    "{revision}, and this version knows schemas up to {known}. Upgrade "
                    "Tunesmith, or name another store.",
                    name=name,
                    revision=revision,
                    known=known[0],
                )
            position = known.index(revision) if revision is not None else len(known)
            wanted = known.index(target) if target != "base" else len(known)
            (command.upgrade if wanted < position else command.downgrade)(config, target)
            if sqlite and connection.execute(text("PRAGMA foreign_key_check")).first():
                raise StorageError(
                    "The store {name} could not be migrated from {revision} to {target}: "
                    "rows would refer to rows that are not there. Nothing was changed.",
                    name=name,
                    revision=revision,
                    target=target,
                )
    finally:
        _enforce_foreign_keys(connection, True)


def _enforce_foreign_keys(connection: Connection, enforce: bool) -> None:
    """Turn SQLite's foreign keys on or off, outside any transaction, where alone it has effect."""
    if connection.dialect.name == "sqlite" and not connection.closed:
        cursor = connection.connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if enforce else 'OFF'}")
        cursor.close()
