"""Queries to databases: `sqlite:///reviews.db#select …`, `postgresql://host/name#select …`."""

from __future__ import annotations

from tunesmith.data.reading.bounded.process import UnreadError, ask
from tunesmith.data.reading.formats import sqlite
from tunesmith.data.reading.formats.columnar import numbered
from tunesmith.data.reading.rows import FileRows
from tunesmith.errors import DataError
from tunesmith.names import Query, exists


def read(query: Query) -> FileRows:
    """The rows of a query; nothing is changed in the database.

    Raises DataError when the address holds a password, when it can't be reached, and when the query
    is no single statement that reads, fails, or gives no row, or more than the memory holds.
    """
    if query.has_password:
        raise DataError(
            "{query}: a password in an address would be kept with every experiment; write "
            "${{NAME}} in its place and set that variable of the environment, or leave it out "
            "where the server knows you otherwise (~/.pgpass)",
            query=query,
        )
    if (file := query.file) is not None:
        if not (exists(file) and file.is_file()):
            raise DataError("{path}: there is no such file", path=file)
        rows = sqlite.read_query(file, query.statement)
    else:
        try:
            table = ask(query.address, query.shown, query.statement).table
        except UnreadError as error:
            raise DataError(
                "{what} can't be read: {reason}", what=query.shown, reason=error
            ) from error
        rows = FileRows(numbered(table, query.shown))
    if rows.table.num_rows == 0:
        raise DataError("{path} has no data rows", path=query)
    return rows
