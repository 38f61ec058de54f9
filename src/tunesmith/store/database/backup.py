"""Backups: the whole store in one SQLite file, whatever database it is kept in; and back from it.

A backup is a store by itself: `TUNESMITH_DATABASE_URL=sqlite:///backup.db` looks into it. So one of
an older version is upgraded by the migrations that upgrade stores, and one of PostgreSQL can be
restored into SQLite, or the other way round. It is made while others write, and shows one moment.

It holds records: experiments, metrics over steps, dataset versions, tokens (hashes), queues and the
audit trail. Files of experiments and rows of datasets are none of the store's.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Column, Connection, Table, delete, func, inspect, make_url, select, text

from tunesmith.errors import DataError, NotFoundError, StateError, StorageError
from tunesmith.messages import say
from tunesmith.store.database import tables
from tunesmith.store.database.connection import Database
from tunesmith.store.database.schema import known_revisions

_ROWS = 1_000
"""Rows that are in memory at once: their JSON may be large."""

_TABLES = tables.metadata.sorted_tables
"""All tables; what others refer to comes before them."""

_NO_DELETE = "audit_no_delete"
_UNDELETABLE = next(text for text in tables.APPEND_ONLY["sqlite"] if _NO_DELETE in text)


@dataclass(frozen=True)
class Contents:
    """What a store or a backup holds."""

    revision: str
    """Its schema."""
    rows: Mapping[str, int]
    """Table → rows."""


def back_up(url: str, target: Path) -> Contents:
    """Write what the store at `url` holds now to the new file `target`, whole or not at all.

    The store is left as it is, also at an older schema. The file is its owner's alone to read: it
    holds hashes of tokens.

    Raises StateError when `target` exists, NotFoundError when there is no store, StorageError when
    the store can't be read or the file can't be written.
    """
    if target.exists():
        raise StateError(
            "{target} is there already; name another file, or move it away.", target=target
        )
    database = Database(url, upgrade=False)
    with closing(database), _written(target) as beside:
        revision = _known_revision(database)
        if database.dialect == "sqlite":
            database.copy_to(beside)
        else:
            _copy_rows_to_file(database, beside, revision)
        return _checked(beside, target)


def restore(backup: Path, url: str, *, replace: bool = False) -> Contents:
    """Put what `backup` holds into the store at `url`, in one transaction: whole or not at all.

    What the store held before is gone then, its audit trail too. Who has it open goes on with what
    was restored; a training whose experiment isn't held under its lease there ends. `backup` stays
    as it is; one of an older schema is upgraded on the way.

    Raises StateError when the store holds experiments and `replace` is false, NotFoundError and
    DataError when `backup` is no backup or damaged, StorageError when it was made by a newer
    Tunesmith or the store can't be written.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-restore-") as folder:
        copy = Path(folder) / "store.db"
        _take_copy(backup, copy)
        target = Database(url)
        with closing(target), closing(Database(_url(copy))) as source:
            with source.snapshot() as reading, target.writing() as writing:
                _keep_others_out(writing)
                held = _count(writing, tables.experiments)
                if held and not replace:
                    raise StateError(
                        "The store {name} holds {held:,} experiments, which would be lost; "
                        "nothing was changed.",
                        name=target.name,
                        held=held,
                    )
                _empty(writing)
                rows = {table.name: _copy(table, reading, writing) for table in _TABLES}
                _number_on(writing)
            return Contents(str(target.revision), rows)


def damage(url: str) -> str | None:
    """What is wrong with the store's SQLite file; None where nothing is, or there is none."""
    path = _file_of(url)
    if path is None or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        locked = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        return None if locked else str(error)
    return None if found == "ok" else " ".join(found.split())


def restore_damaged(backup: Path, url: str, aside: Path) -> Contents:
    """Put what `backup` holds in the place of the store at `url`, whose SQLite file is damaged.

    That file becomes `aside`, for whoever wants to look what can be saved of it; it comes back when
    `backup` can't be restored. Raises as `restore` does.
    """
    path = _file_of(url)
    assert path is not None
    ends = ("", "-wal", "-shm")
    try:
        moved = [end for end in ends if path.with_name(path.name + end).exists()]
        for end in moved:
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
        try:
            return restore(backup, url)
        except BaseException:
            for end in ends:
                path.with_name(path.name + end).unlink(missing_ok=True)
            for end in moved:
                aside.with_name(aside.name + end).rename(path.with_name(path.name + end))
            raise
    except OSError as error:
        raise StorageError(
            "{path} can't be replaced: {error}.", path=path, error=error.strerror or error
        ) from error


def _file_of(url: str) -> Path | None:
    """The SQLite file of a store; None for another kind of store."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database)).absolute()


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A path beside `target`, which becomes `target` when all went well."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            beside = Path(folder) / "store.db"
            yield beside
            beside.chmod(0o600)
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
            beside.rename(target)
    except OSError as error:
        raise StorageError(
            "{target} can't be written: {error}.", target=target, error=error.strerror or error
        ) from error


def _known_revision(database: Database) -> str:
    revision = database.revision
    if revision is None:
        raise NotFoundError(
            "There is no store at {name}: TUNESMITH_DATABASE_URL or "
            "TUNESMITH_RESULTS_DIR says where it is.",
            name=database.name,
        )
    if revision not in known_revisions():
        raise StorageError(_newer(say("The store {name}", name=database.name), revision))
    return revision


def _newer(what: str, revision: str) -> str:
    return say(
        "{what} was written by a newer Tunesmith: its schema is {revision}, and "
        "this version knows schemas up to {known_revisions}. Upgrade Tunesmith, "
        "then do it again.",
        what=what,
        revision=revision,
        known_revisions=known_revisions()[-1],
    )


def _copy_rows_to_file(database: Database, path: Path, revision: str) -> None:
    """Copy all rows of a database at `revision` to a new SQLite store of the same schema."""
    target = Database(_url(path), upgrade=False)
    with closing(target):
        target.migrate(revision)
        with database.snapshot() as reading, target.writing() as writing:
            there = inspect(reading)
            for table in _TABLES:
                if there.has_table(table.name):
                    names = {column["name"] for column in there.get_columns(table.name)}
                    _copy(table, reading, writing, names)


def _copy(
    table: Table, source: Connection, target: Connection, names: set[str] | None = None
) -> int:
    """Copy a table's rows, of its columns or those with these `names`; returns how many."""
    columns: list[Column[object]] = [c for c in table.columns if names is None or c.name in names]
    copied = 0
    for rows in source.execute(select(*columns)).mappings().partitions(_ROWS):
        target.execute(table.insert(), [dict(row) for row in rows])
        copied += len(rows)
    return copied


def _take_copy(backup: Path, copy: Path) -> None:
    """Copy a backup, checked, to `copy`; also one on a read-only disk, or open elsewhere."""
    if not backup.is_file():
        raise NotFoundError("There is no file {backup}.", backup=backup)
    alone = not backup.with_name(f"{backup.name}-wal").exists()
    address = f"file:{quote(str(backup.absolute()))}?{'immutable=1' if alone else 'mode=ro'}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
    except sqlite3.Error as error:
        raise DataError(
            "{backup} is no backup that can be read: {error}. `tunesmith db backup` makes one.",
            backup=backup,
            error=error,
        ) from error
    _checked(copy, backup)


def _checked(path: Path, shown: Path) -> Contents:
    """What the file at `path`, which people know as `shown`, holds.

    Raises DataError when it is damaged or no store, StorageError when a newer version wrote it.
    """
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if found != "ok" or "alembic_version" not in names:
            why = (
                say("it is damaged ({found})", found=found)
                if found != "ok"
                else say("it is another program's database")
            )
            raise DataError("{shown} is no backup of a store: {why}.", shown=shown, why=why)
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if revision not in known_revisions():
            raise StorageError(_newer(say("The backup {shown}", shown=shown), revision))
        rows = {
            table.name: connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
            for table in _TABLES
            if table.name in names
        }
    return Contents(revision, rows)


def _keep_others_out(connection: Connection) -> None:
    """Let nobody else write until the transaction ends; an SQLite writer has done so already."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in _TABLES)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _empty(connection: Connection) -> None:
    """Delete all rows; the audit trail refuses it, but for here."""
    sqlite = connection.dialect.name == "sqlite"
    trigger = "ALTER TABLE audit {} TRIGGER audit_no_change"
    connection.execute(text(f"DROP TRIGGER {_NO_DELETE}" if sqlite else trigger.format("DISABLE")))
    for table in reversed(_TABLES):
        connection.execute(delete(table))
    connection.execute(text(_UNDELETABLE if sqlite else trigger.format("ENABLE")))


def _number_on(connection: Connection) -> None:
    """Let the audit trail number on after its last entry; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        sequence = "pg_get_serial_sequence('audit', 'id')"
        connection.execute(
            text(f"SELECT setval({sequence}, coalesce(max(id), 0) + 1, false) FROM audit")
        )


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))
