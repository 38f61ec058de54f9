"""SQLite files: one table of them, or the rows of a query."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data.reading.bounded.process import Found, UnreadError, run
from tunesmith.data.reading.formats.base import Content, Format
from tunesmith.data.reading.formats.columnar import numbered
from tunesmith.data.reading.rows import FileRows
from tunesmith.errors import DataError, nearest
from tunesmith.messages import Message, say


class Sqlite(Format):
    """A database in a file, of which one table is read."""

    name = "sqlite"
    label = say("SQLite")
    endings = (".sqlite", ".sqlite3", ".db", ".db3")
    takes = frozenset({"sheet"})

    def recognizes(self, content: Content) -> bool:
        """Whether it begins as such files do."""
        return content.head.startswith(b"SQLite format 3\0")

    def read(self, content: Content) -> FileRows:
        """The rows of the table that is asked for, else of the first one that isn't empty.

        Raises DataError as `read_query`, ConfigError where there is no such table.
        """
        options = content.options
        with content.unpacked() as path:
            found = _asked(path, content.path, options.sheet, "")
        table, tables = found.about["table"], found.about["tables"]
        if table is None and options.sheet is not None:
            near = nearest(options.sheet, tables)
            accepted = say("one of {names}, or its number from 1", names=tables)
            message = say("{path} has no such table", path=content.path)
            raise options.wrong("sheet", message, accepted, near)
        if table is None:
            raise DataError(
                "{path} has no data rows: nothing stands in {names}",
                path=content.path,
                names=tables,
            )
        others = [name for name in tables if name != table]
        notes: tuple[Message, ...] = ()
        if others and options.sheet is None:
            notes = (
                say(
                    "the table {table} is read, and not {others}: data.sheet chooses another, and "
                    "sqlite:///FILE#select … asks what you like",
                    table=table,
                    others=others,
                ),
            )
        details = {"sheet": table} if others else {}
        return FileRows(numbered(found.table, content.path), details=details, notes=notes)


def read_query(path: Path, query: str) -> FileRows:
    """The rows of a query to an SQLite file, which is only read.

    Raises DataError when it isn't there or no SQLite file, when the query is no single statement
    that reads, can't be followed, or takes more than a file of this size may.
    """
    return FileRows(numbered(_asked(path, path, None, query).table, path))


def _asked(path: Path, called: Path, wanted: str | None, query: str) -> Found:
    try:
        return run("sqlite", path, called, wanted=wanted, query=query)
    except UnreadError as error:
        raise DataError("{what} can't be read: {reason}", what=called, reason=error) from error
