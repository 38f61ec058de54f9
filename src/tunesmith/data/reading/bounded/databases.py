"""Rows of databases, in the other process: one statement, which changes nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

LONGEST_VALUE = 64 << 20
"""Bytes of a value that a query may make."""

FETCHED_ROWS = 10_000

ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
"""What a statement may do in SQLite: no other file is attached, nothing is set."""

_READS = re.compile(r"\s*(?:select|with|values|table)\b", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class QueryError(Exception):
    """Raised when a statement is none that reads, or its address can't be followed."""


def sqlite(path: str, wanted: str | None, query: str) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a query, or of a table of an SQLite file; nothing is written beside it.

    `wanted` is the table's name or its number from 1; None for the first one that isn't empty.

    Beside the rows: `tables`, the names of all, and `table`, the name of this one.
    """
    log = Path(f"{path}-wal")
    # Without the log of an open database nothing but the file is looked at, and no lock is taken.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    database = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True)
    database.execute("pragma trusted_schema = off")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    found = database.execute(
        "select name from sqlite_master where type in ('table', 'view') "
        "and name not like 'sqlite\\_%' escape '\\' order by rowid"
    )
    names = [str(name) for (name,) in found]
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY
    )
    about: dict[str, Any] = {"tables": names, "table": None}
    if not query:
        table = _table(database, names, wanted)
        if table is None:
            return pa.table({}), about
        about["table"] = table
        query = f"select * from {_quoted(table)}"
    cursor = database.execute(_one(query))
    return _rows([column[0] for column in cursor.description or []], cursor), about


def _table(database: sqlite3.Connection, names: Sequence[str], wanted: str | None) -> str | None:
    if wanted is not None:
        if wanted in names:
            return wanted
        number = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
        return names[number - 1] if 0 < number <= len(names) else None
    for name in names:
        first = database.execute(f"select 1 from {_quoted(name)} limit 1")
        if first.fetchone():
            return name
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def server(path: str, address: str, query: str) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a query to a database at an address as SQLAlchemy has it.

    `${NAME}` in it stands for a variable of the environment. `path` isn't used.
    """
    import sqlalchemy as sa

    secrets: list[str] = []

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise QueryError(f"the environment has no variable {found[1]}")
        secrets.append(os.environ[found[1]])
        return quote(os.environ[found[1]], safe="")

    statement = _one(query)
    try:
        url = sa.make_url(_VARIABLE.sub(value, address))
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        is_postgres = url.drivername.startswith("postgresql")
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            options = {"postgresql_readonly": True} if is_postgres else {}
            # A % in the statement is one: nothing is put in its place.
            connection = connection.execution_options(
                stream_results=True, no_parameters=True, **options
            )
            if url.drivername.startswith(("mysql", "mariadb")):
                connection.exec_driver_sql("set transaction read only")
            found = connection.exec_driver_sql(statement)  # and never a commit
            rows = found.yield_per(FETCHED_ROWS)
            return _rows(list(found.keys()), rows), {}
    except sa.exc.SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error)
        for secret in filter(None, [*secrets, *(quote(each, safe="") for each in secrets)]):
            words = words.replace(secret, "***")
        raise QueryError(words) from None


def _one(query: str) -> str:
    """The query without what ends it. Raises QueryError for several, and for what doesn't read."""
    query = query.strip().rstrip("; \n\t")
    if ";" in query:
        raise QueryError("a query is one statement, without a ; in it")
    if not _READS.match(query):
        raise QueryError("a query begins with select or with")
    return query


def _rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> pa.Table:
    """A table of all rows; a column of several types is text."""
    columns: list[list[Any]] = [[] for _ in names]
    for row in rows:
        for values, value in zip(columns, row, strict=True):
            values.append(bytes(value) if isinstance(value, memoryview) else value)
    return pa.Table.from_arrays([_array(values) for values in columns], names=list(names))


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
