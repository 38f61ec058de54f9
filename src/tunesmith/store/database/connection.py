"""An open database: its engine, its transactions, and its errors in words.

SQLite is set up for many processes on one machine:

- WAL, so that readers and the writer don't wait for each other; busy timeout 30 s.
- Writing transactions take the write lock when they begin (BEGIN IMMEDIATE). One that began as a
  reader can't become a writer once another process has written: SQLite refuses at once, without
  the busy timeout (https://www.sqlite.org/rescode.html#busy_snapshot).
- `synchronous = FULL`: every commit reaches the disk. NORMAL is faster but forgets the last
  commits when the power fails, and an experiment that was accepted must not be forgotten. Commits
  are few here (a change of status, a batch of metrics), so the wait does not matter.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Delete,
    Engine,
    Insert,
    RowMapping,
    Select,
    Table,
    Update,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from tunesmith.errors import BusyError, StorageError, UserError
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.store.database.schema import bring_to_head, current_revision, migrate

BUSY_TIMEOUT = 30.0
"""Seconds to wait while another process writes."""

TIMEOUTS = {
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 20_000,  # milliseconds that data may stay without an answer
    "keepalives_idle": 10,  # seconds of silence before the server is asked whether it is there,
    "keepalives_interval": 5,  # between two such questions,
    "keepalives_count": 3,  # and how many may stay without an answer
}
"""How long to wait for a PostgreSQL server that is gone, or can't be reached any more; names are
libpq's (https://www.postgresql.org/docs/current/libpq-connect.html)."""

_EXAMPLES = "sqlite:///results/experiments.db or postgresql://user:password@host/database"

_SQLITE_CAUSES = {
    sqlite3.SQLITE_BUSY: say(
        "another process has kept it locked for too long; try again when that one is done"
    ),
    sqlite3.SQLITE_FULL: say("the disk is full; free some space"),
    sqlite3.SQLITE_READONLY: say(
        "it may not be written to; change the permissions of the file and its "
        "folder, or name another store"
    ),
    sqlite3.SQLITE_CANTOPEN: say(
        "the file can't be opened or made; look at the permissions of its folder"
    ),
    sqlite3.SQLITE_PERM: say("the file may not be opened; look at its permissions"),
    sqlite3.SQLITE_IOERR: say("the disk refused to read or write; look for a full or failing disk"),
    sqlite3.SQLITE_NOTADB: say(
        "the file is not an SQLite database; name another store, or move the file away"
    ),
    sqlite3.SQLITE_CORRUPT: say(
        "the file is damaged; put back a copy, or move it away and rebuild it "
        "from the results with `tunesmith experiments import`"
    ),
}


class Database:
    """A database at the newest schema, opened by URL; one object per process, for all its threads.

    With `upgrade` false it is left at the schema that it has, for who looks at it or copies it.

    Raises UserError for a URL that names no database Tunesmith can keep its records in, and
    StorageError when the database can't be opened, created or migrated.
    """

    def __init__(self, url: str | URL, *, upgrade: bool = True) -> None:
        parsed = _parse(url)
        self.name = display_url(parsed)
        """The URL without its password, for messages."""
        self._password = parsed.password
        with self._errors_in_words():
            self._engine = _create_engine(parsed)
            self._writer = self._engine.execution_options(immediate=True)
            try:
                if upgrade:
                    bring_to_head(self._engine, self._writer, self.name)
            except BaseException:
                self._engine.dispose()
                raise

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def revision(self) -> str | None:
        """The migration that it is at; None where there is no store yet. Raises StorageError."""
        with self.reading() as connection:
            return current_revision(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database. Raises StorageError."""
        with self._errors_in_words(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction whose every statement sees the state of its beginning, and writes nothing.

        Writers go on meanwhile. Rows come as they are asked for, never all at once. Raises
        StorageError.
        """
        options: dict[str, Any] = {"stream_results": True}
        if self.dialect == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        engine = self._engine.execution_options(**options)
        with self._errors_in_words(), engine.begin() as connection:
            yield connection

    def copy_to(self, path: Path) -> None:
        """Write an SQLite database, as it is in one moment, to a new file at `path`.

        Writers go on meanwhile. The file is on its way to the disk, not surely there. Raises
        StorageError.
        """
        with self._errors_in_words(), self._engine.connect() as connection:
            cursor = connection.connection.cursor()  # SQLite refuses this inside a transaction
            cursor.execute("VACUUM INTO ?", (str(path),))
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is done whole or not at all. Raises StorageError, or IntegrityError.

        IntegrityError (a row that is there already, a reference to one that isn't) has a meaning
        that only the caller knows.
        """
        with self._errors_in_words(), self._writer.begin() as connection:
            yield connection

    def upsert(self, table: Table) -> Insert:
        """An INSERT that replaces the row with the same primary key."""
        statement: Insert = replacing(insert_into(table, self.dialect), table)
        return statement

    def migrate(self, revision: str) -> None:
        """Bring the schema to another revision, "base" for an empty database.

        Raises StorageError. The Store can be used only at the newest revision.
        """
        with self._errors_in_words(), self._writer.connect() as connection:
            migrate(connection, self.name, revision)

    def close(self) -> None:
        """Close every connection; a later use opens them again."""
        self._engine.dispose()

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        """Turn what the database or the file system raises into a StorageError."""
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, sqlite3.Error, PoolTimeoutError, OSError) as error:
            cause = _cause(error)
            if self._password:
                cause = cause.replace(str(self._password), "***")
            kind = BusyError if _is_busy(error) else StorageError
            raise kind(
                say("The store {name} can't be used: {reason}.", name=self.name, reason=cause)
            ) from error


class Part:
    """A part of the store: every method is one transaction, and raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _rows(self, query: Select[Any]) -> Sequence[RowMapping]:
        """What `query` finds."""
        with self._database.reading() as connection:
            return connection.execute(query).mappings().all()

    def _count(self, query: Select[int]) -> int:
        """The number that `query` gives."""
        with self._database.reading() as connection:
            return connection.scalar(query) or 0

    def _changed(self, statement: Update | Delete) -> int:
        """How many rows `statement` changes."""
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount


def insert_into(table: Table, dialect: str) -> Insert:
    """An INSERT that knows `on_conflict_do_update`."""
    # Loaded when needed: a command that opens SQLite has no use for PostgreSQL's.
    statement: Insert = load(f"sqlalchemy.dialects.{dialect}").insert(table)
    return statement


def replacing(insert: Any, table: Table) -> Any:
    """The INSERT into `table`, which replaces the rows with the same primary keys."""
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={
            column.name: insert.excluded[column.name]
            for column in table.columns
            if not column.primary_key
        },
    )


def display_url(url: URL) -> str:
    """The URL as people may see it: no password, wherever it stands."""
    hidden = {key: "***" for key in url.query if "pass" in key.lower() or "secret" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _parse(text: str | URL) -> URL:
    """The URL, checked. Raises UserError, which doesn't repeat a text that may hold a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(
            "The store's address can't be read as a database URL; write one such as {examples}.",
            examples=_EXAMPLES,
        ) from None
    try:
        dialect = url.get_dialect()
    except ArgumentError:
        dialect = None
    if dialect is None or dialect.name not in ("sqlite", "postgresql") or dialect.is_async:
        raise UserError(
            "The store can't be kept in {drivername}; it can be SQLite or "
            "PostgreSQL, with an address such as {examples}.",
            drivername=repr(url.drivername),
            examples=_EXAMPLES,
        )
    return url


def _create_engine(url: URL) -> Engine:
    """The engine, with nothing opened yet. Raises UserError when the driver is not installed."""
    if url.get_backend_name() == "sqlite":
        return _create_sqlite_engine(url)
    arguments: dict[str, Any] = {}
    if url.get_driver_name().startswith("psycopg"):
        arguments = {name: value for name, value in TIMEOUTS.items() if name not in url.query}
    try:
        # Pinging finds the connections that died with a restarted server.
        return create_engine(url, connect_args=arguments, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise UserError(
            "The store {display_url} needs the Python package {name}, which is not "
            "installed; for PostgreSQL: pip install 'psycopg[binary]'.",
            display_url=display_url(url),
            name=repr(error.name),
        ) from error


def _create_sqlite_engine(url: URL) -> Engine:
    """The engine of an SQLite file; makes the file's folder."""
    memory = url.database in (None, "", ":memory:")
    if not memory and not str(url.database).startswith("file:"):
        # Absolute, because a later connection may find the process in another folder.
        path = Path(str(url.database)).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        url = url.set(database=str(path))
    wait = {} if "timeout" in url.query else {"timeout": BUSY_TIMEOUT}
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, **wait},
        poolclass=QueuePool,
        # A database in memory lives and dies with its one connection.
        pool_size=1 if memory else 5,
        max_overflow=0 if memory else 10,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # None: Python's driver leaves BEGIN to us, or it would begin too late and without the lock.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    deadline = time.monotonic() + BUSY_TIMEOUT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                return  # A file system without shared memory: slower, and right all the same.
        except sqlite3.OperationalError as error:
            # The change to WAL doesn't wait while another process opens the new file.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


_LOCKED = ("55P03", "40P01", "40001")
"""PostgreSQL's codes of a lock that wasn't had, and of two that wait for each other
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def _is_busy(error: Exception) -> bool:
    """Whether others write, and that is all."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(original, "sqlstate", None) in _LOCKED


def _cause(error: Exception) -> str:
    """Why the database can't be used, in one sentence without its full stop."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    message = " ".join(str(original).split()).rstrip(" .?")
    if isinstance(original, sqlite3.Error):
        # The low byte is the kind, the rest says more of it; sqlite3 itself raises without a code.
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if code in _SQLITE_CAUSES:
            return say("{why} (SQLite says: {error})", why=_SQLITE_CAUSES[code], error=message)
    return message
