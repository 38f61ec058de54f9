"""Spreadsheets: Excel's workbooks and those of LibreOffice, every cell as text as people see it."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.reading.bounded.process import Found, UnreadError, run
from tunesmith.data.reading.compressed import check_unfolded, most_bytes
from tunesmith.data.reading.delimited.header import UNNAMED, Header, name_columns
from tunesmith.data.reading.delimited.titles import above_note
from tunesmith.data.reading.formats.base import Content, Format
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows, number_rows, tidy_name
from tunesmith.data.reading.width import check_columns
from tunesmith.errors import DataError, nearest
from tunesmith.messages import say, say_plural

HEAD_ROWS = 50
"""Rows at the beginning in which the names of the columns are looked for."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How Excel's files of before 2007 begin."""

_OFFICE = re.compile(
    rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/|docProps/|customXml/|xl/)", re.DOTALL
)
"""How the archive that a file of Office is begins: with one of its parts."""

_PART = re.compile(rb"PK\x03\x04.{26}xl/", re.DOTALL)
"""A part that workbooks alone have."""

_OPEN = re.compile(
    rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet", re.DOTALL
)
"""How a workbook of LibreOffice begins."""


class Spreadsheet(Format):
    """A workbook, of which one sheet is read."""

    name = "spreadsheet"
    label = say("spreadsheet")
    endings = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    takes = frozenset({"sheet", "header"})

    def recognizes(self, content: Content) -> bool:
        """Whether it is an archive of a workbook's parts, or a file of Excel before 2007."""
        return is_workbook(content.head)

    def read(self, content: Content) -> FileRows:
        """The rows of the sheet that is asked for, else of the first one that isn't empty.

        Numbers are text as people see them (`1`, `0.3`), dates and times as ISO 8601 has them,
        formulas what they gave when the file was saved. Empty rows are no rows, and empty columns
        without a name no columns. What stands above the names of the columns is left out, and
        said.

        Raises DataError as `read` of all formats, ConfigError where there is no such sheet.
        """
        with content.unpacked() as path:
            _check_size(path, content.path)
            try:
                found = run("sheet", path, content.path, wanted=content.options.sheet)
            except UnreadError as error:
                raise DataError(
                    "{path} is damaged, protected by a password or not a spreadsheet ({error}); "
                    "save it again, or as CSV",
                    path=content.path,
                    error=error,
                ) from error
        _check_sheet(found, content.options, content.path)
        table, notes = _with_header(found, content.path, content.options.header is not False)
        sheet, sheets = found.about["sheet"], found.about["sheets"]
        others = [name for name in sheets if name != sheet]
        if others and content.options.sheet is None:
            read = say(
                "the sheet {sheet} is read, and not {others}: data.sheet chooses another",
                sheet=sheet,
                others=others,
            )
            notes = [read, *notes]
        details = {"sheet": sheet} if others else {}
        return FileRows(number_rows(table), details=details, notes=tuple(notes))


def is_workbook(head: bytes) -> bool:
    """Whether a file that begins so is a workbook."""
    if _OFFICE.match(head):
        return _PART.search(head) is not None
    return head.startswith(_OLE) or _OPEN.match(head) is not None


def _check_size(path: Path, called: Path) -> None:
    """Raises DataError when the parts of a workbook say that they unfold beyond the bounds."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    check_unfolded(called, called.stat().st_size, size, most_bytes())


def _check_sheet(found: Found, options: ReadingOptions, path: Path) -> None:
    """Raises ConfigError for a sheet that isn't there, DataError where there is nothing to read."""
    if found.about["sheet"] is not None and found.table.num_rows:
        return
    names = found.about["sheets"]
    if options.sheet is not None and found.about["sheet"] is None:
        accepted = say("one of {names}, or its number from 1", names=names)
        near = nearest(options.sheet, names)
        raise options.wrong("sheet", say("{path} has no such sheet", path=path), accepted, near)
    raise DataError("{path} has no data rows: nothing stands in {names}", path=path, names=names)


def _with_header(found: Found, path: Path, has_header: bool) -> tuple[pa.Table, list[str]]:
    """The table below the names of its columns, and what is to be said. Raises DataError."""
    cells = found.table
    is_filled = pc.not_equal(cells.column(0), "")
    for column in cells.columns[1:]:
        is_filled = pc.or_(is_filled, pc.not_equal(column, ""))
    cells = cells.filter(is_filled)
    places = np.flatnonzero(is_filled.to_numpy())
    at = -1
    notes: list[str] = []
    if has_header:
        head = [list(row.values()) for row in cells.slice(0, HEAD_ROWS).to_pylist()]
        at = _header_at(head)
        names = [name if tidy_name(name) else "" for name in head[at]] if head else []
        cells = cells.slice(at + 1)
        if above := [value for row in head[:at] for value in row if value]:
            notes = [above_note(above)]
    else:
        used = [n for n, column in enumerate(cells.columns) if pc.any(pc.not_equal(column, ""))]
        cells = cells.select(used)
        names = [UNNAMED.format(n=number) for number in range(1, len(used) + 1)]
    counts = Counter(name for name in names if name)
    if doubled := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            "{path}: these columns stand more than once: {names}", path=path, names=doubled
        )
    called = {n: name or str(n + 1) for n, name in enumerate(names)}
    cells, merged = _filled(cells, places[at + 1 :], found.about["merged"], called)
    table, more = name_columns(cells, Header(names, None, 0))
    check_columns(table.num_columns, path)
    return table, [*notes, *more, *merged, *_beside(found, called)]


def _beside(found: Found, called: Mapping[int, str]) -> Iterator[str]:
    """What is to be said of a sheet that its cells don't show."""
    for column, count in found.about["unsaid"]:
        yield say_plural(
            "column {column}: {n:,} formula has no value, as no program has computed it: open the "
            "file in a spreadsheet program, and save it",
            "column {column}: {n:,} formulas have no value, as no program has computed them: open "
            "the file in a spreadsheet program, and save it",
            n=count,
            column=called.get(column, str(column + 1)),
        )
    if found.about["spans"]:
        yield say(
            "it has cells that are merged over several rows, of which the first alone has the "
            "value: split them, or save it as .xlsx"
        )


def _filled(
    cells: pa.Table,
    places: npt.NDArray[np.int64],
    merged: Sequence[tuple[int, int, int]],
    called: Mapping[int, str],
) -> tuple[pa.Table, list[str]]:
    """`cells`, rows of the sheet at `places`, with the value of merged ones in all of their rows,
    and what is to be said of it; `called` are the names of columns."""
    values: dict[int, list[str]] = {}
    counts: Counter[int] = Counter()
    for column, first, last in merged:
        start, stop = np.searchsorted(places, (first, last + 1)).tolist()
        if column not in called or start == len(places) or places[start] != first:
            continue  # it begins among the names of the columns, or above them
        values.setdefault(column, cells.column(column).to_pylist())
        values[column][start:stop] = [values[column][start]] * (stop - start)
        counts[column] += stop - start - 1
    for column, filled in values.items():
        cells = cells.set_column(column, cells.field(column), [pa.array(filled, pa.string())])
    return cells, [
        say(
            "column {column}: {n:,} cells are merged with one above them, and have its value",
            column=called[column],
            n=count,
        )
        for column, count in counts.items()
    ]


def _header_at(head: list[list[str]]) -> int:
    """Which of the first rows names the columns: not a title in the first cell above a wide table.

    That is the first row with more than half as many cells as most rows, or without a first one
    (where an index has no name).
    """
    filled = [sum(map(bool, row)) for row in head]
    usual = max(Counter(filled).items(), key=lambda item: (item[1], item[0]))[0] if head else 0
    for number, (row, count) in enumerate(zip(head, filled, strict=True)):
        if 2 * count > usual or not row[0]:
            return number
    return 0
