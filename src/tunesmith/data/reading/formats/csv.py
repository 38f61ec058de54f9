"""CSV and TSV: every column as text, exactly as written; every fault with its line.

Arrow reads the table and leaves out rows of a wrong width. It doesn't say on which line they stand,
so Python's reader goes over the file a second time where there is something to locate; both take
quotes and line ends in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from tunesmith.data.reading.delimited.dialect import (
    DELIMITERS,
    Dialect,
    delimiter_asked_for,
    find_delimiter,
    first_rows,
    is_table,
    take_sep_line,
    without_spaces,
)
from tunesmith.data.reading.delimited.header import (
    HEAD_CHARACTERS,
    Header,
    check_names,
    name_columns,
    read_header,
)
from tunesmith.data.reading.delimited.merged import suspects
from tunesmith.data.reading.delimited.scan import (
    OpenQuoteError,
    Scan,
    blank_line,
    rows_of,
    scan_rows,
)
from tunesmith.data.reading.delimited.titles import above_note, take_title
from tunesmith.data.reading.formats.base import Content, TextFormat
from tunesmith.data.reading.gathered import word_columns
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import (
    SHOWN_LINES,
    FileRows,
    Unreadable,
    hopeless,
    is_hopeless,
    number_rows,
    tidy_name,
)
from tunesmith.errors import DataError
from tunesmith.messages import say

BLOCK_BYTES = 16 << 20

MOST_OPEN = 5
"""Rows whose quote is never closed, at most, where the rest of a file is read."""


class Csv(TextFormat):
    """Rows of values with a delimiter between them."""

    name = "csv"
    label = say("CSV")
    endings: ClassVar[tuple[str, ...]] = (".csv",)
    takes = TextFormat.takes | {"delimiter", "header"}
    rank = 9
    usual: ClassVar[str] = ","
    """The delimiter where nothing tells."""

    def recognizes_text(self, head: str) -> bool:
        """Whether its first lines are short names, then rows of as many values."""
        return is_table(head)

    @classmethod
    def is_plain(cls, content: Content) -> bool:
        """Whether a file begins in UTF-8, with the usual delimiter and a name for each column, and
        each of its rows is one."""
        try:
            start = bytearray(content.head[: content.head.rfind(b"\n") + 1])
            head = start.decode("utf-8-sig")
        except UnicodeDecodeError:
            return False
        names = next(iter(first_rows(head, Dialect(cls.usual))), [])
        is_usual = find_delimiter(head, cls.usual) == cls.usual and not head.startswith("sep=")
        usual = cls.usual
        if take_title(bytearray(), head, DELIMITERS) or without_spaces(start, usual) is not start:
            return False
        are_plain = all(name == tidy_name(name) != "" for name in names)
        return is_usual and are_plain and word_columns(names) is None

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The rows. Raises DataError as `read`, ConfigError for a delimiter that can be none."""
        named = take_sep_line(data)
        head = bytes(data[:HEAD_CHARACTERS]).decode(errors="ignore")
        delimiter = delimiter_asked_for(options) or named
        above = []
        if options.header is None:
            above = take_title(data, head, DELIMITERS if delimiter is None else [delimiter])
            head = bytes(data[:HEAD_CHARACTERS]).decode(errors="ignore") if above else head
        delimiter = delimiter or find_delimiter(head, self.usual)
        rows = read(data, path, delimiter, self.usual, options.header)
        return replace(rows, notes=(above_note(above), *rows.notes)) if above else rows


class Tsv(Csv):
    """The same with tabs."""

    name = "tsv"
    label = say("TSV")
    endings = (".tsv", ".tab")
    rank = 10
    usual = "\t"


def read(
    data: bytearray, path: Path, delimiter: str, usual: str = ",", is_named: bool | None = None
) -> FileRows:
    """The rows of `data` (UTF-8) as string columns; `path` is for messages.

    Blank lines are no rows. A quoted value may hold line breaks; two quotes in it stand for one, or
    a quote after a backslash where the file writes it so; where quotes don't enclose values at all,
    they are part of them. Unreadable are rows with more or fewer values than the header, with a
    misplaced quote or a NUL byte, that repeat the header, or that an open quote made of several.

    `is_named` says whether the first line names the columns (None: it must look so).

    Raises DataError when the header is missing, doubles names or is cut by another delimiter, when
    most rows or the first ten are unreadable, or when a quote is never closed.
    """
    first = _attempt(data, path, Dialect(delimiter), is_named)
    is_spaced = False
    if (tight := without_spaces(data, delimiter)) is not data:
        tried = _attempt(tight, path, Dialect(delimiter), is_named)
        if is_spaced := tried.faults <= first.faults:
            data, first = tight, tried
    best = first if first.is_clean else _best(first, data, path, is_named)
    if best.error is not None:
        raise best.error
    if is_named is None:
        check_names(best.header, best.table, path)
    if best.scan is not None:
        best.raise_hopeless(path)
    scan = best.scan or Scan()
    table, notes = name_columns(_without(best.table, scan.dropped), best.header)
    if not best.dialect.quoted:
        notes.append(say("quotes don't enclose values in it: they are read as part of the texts"))
    elif is_spaced:
        notes.append(say("spaces between delimiters and quotes are left out"))
    details = {} if delimiter == usual else {"delimiter": delimiter}
    return FileRows(
        number_rows(table, scan.numbers),
        tuple(scan.unreadable),
        details=details,
        notes=tuple(notes),
    )


@dataclass
class _Attempt:
    """A file read in one dialect."""

    dialect: Dialect
    header: Header
    table: pa.Table
    """The rows of the header's width, columns by their numbers."""
    ragged: int
    """How many other rows there are."""
    scan: Scan | None = None
    """The second reading, where the first gave reason for it."""
    error: DataError | None = None
    """Why it can't be read so."""
    lost: Sequence[Unreadable] = ()
    """Rows whose quote is never closed; the others are read without them."""

    @property
    def total(self) -> int:
        """All rows, read or not."""
        return int(self.table.num_rows) + self.ragged + len(self.lost)

    @property
    def is_clean(self) -> bool:
        """Whether every row was read."""
        return self.error is None and (self.scan is None or not self.scan.unreadable)

    @property
    def faults(self) -> float:
        """Rows that can't be read; infinite where the file can't."""
        if self.error is not None:
            return float("inf")
        return max(self.ragged, len(self.scan.unreadable) if self.scan else 0)

    def raise_hopeless(self, path: Path) -> None:
        """Raises DataError when what can't be read says that the whole file is wrong."""
        assert self.scan is not None
        if self.ragged * 2 > self.total or is_hopeless(self.scan.numbers, self.total):
            advice = say(
                "A value that holds a {what}, a quote or a line break must stand in "
                "double quotes, and no line may end with a needless delimiter",
                what=DELIMITERS.get(self.dialect.delimiter, self.dialect.delimiter),
            )
            raise hopeless(path, self.scan.unreadable, int(self.faults), self.total, advice)


def _attempt(data: bytearray, path: Path, dialect: Dialect, is_named: bool | None) -> _Attempt:
    """The file in this dialect, without rows whose quote is never closed.

    Raises DataError for its header.
    """
    lost: list[Unreadable] = []
    while True:
        attempt = _try(data, path, dialect, is_named, lost)
        if not isinstance(attempt.error, OpenQuoteError) or len(lost) == MOST_OPEN:
            return attempt
        lost.append(attempt.error.row)
        data = blank_line(data, attempt.error.row.line)


def _try(
    data: bytearray,
    path: Path,
    dialect: Dialect,
    is_named: bool | None,
    lost: Sequence[Unreadable],
) -> _Attempt:
    """The file in this dialect, where the rows in `lost` are blank. Raises as `_attempt`."""
    header = read_header(data, path, dialect, is_named)
    table, ragged = _parse(data, header, dialect, path)
    attempt = _Attempt(dialect, header, table, ragged, lost=lost)
    found = suspects(table, dialect.delimiter, header.first) if table.num_rows else {}
    if not (
        ragged or found or lost or (dialect.quoted and _quotes_need_a_look(data, table, dialect))
    ):
        return attempt
    stop_after = SHOWN_LINES if ragged * 2 > attempt.total else None
    rows = rows_of(data, path, dialect)
    if header.first is not None:
        next(rows)
    try:
        attempt.scan = scan = scan_rows(rows, len(header.names), found, stop_after, lost)
    except DataError as error:
        attempt.error = error
        return attempt
    if stop_after is None and (scan.kept, scan.width_faults) != (table.num_rows, ragged):
        first = [
            say(" (the first faulty row begins on line {line})", line=row.line)
            for row in scan.unreadable[:1]
        ]
        attempt.error = DataError(
            "{path}: quotes are out of place, so that it isn't clear where rows end; "
            "close every quoted value, and write a quote inside one as two{first_of}",
            path=path,
            first_of="".join(first),
        )
    return attempt


def _best(first: _Attempt, data: bytearray, path: Path, is_named: bool | None) -> _Attempt:
    """The dialect in which the fewest rows can't be read: backslashes, or no quotes at all."""
    delimiter, best = first.dialect.delimiter, first
    others = []
    if b'\\"' in data:
        others.append(Dialect(delimiter, escaped=True))
    if b'"' in data and _may_be_unquoted(data, first):
        others.append(Dialect(delimiter, quoted=False))
    for dialect in others:
        tried = _attempt(data, path, dialect, is_named)
        few = 20 * tried.ragged < tried.total if best.error is not None else False
        is_whole = few or tried.ragged <= best.ragged
        if tried.faults < best.faults and (dialect.quoted or is_whole):
            best = tried
    return best


def _quotes_need_a_look(data: bytearray, table: pa.Table, dialect: Dialect) -> bool:
    """Whether quotes may stand where they mean nothing, or never close."""
    bytes_in = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(bytes_in == ord('"'))
    if len(quotes) % 2 or (len(quotes) and _ends_in_break(table)):
        return True
    ends = np.isin(np.arange(256), [ord("\n"), ord("\r"), ord(dialect.delimiter)])
    before = ends[bytes_in[np.maximum(quotes - 1, 0)]] | (quotes == 0)
    if not before.any():
        return False  # all of them stand inside values
    after = ends[bytes_in[np.minimum(quotes + 1, len(data) - 1)]] | (quotes == len(data) - 1)
    doubled = np.diff(quotes) == 1
    opens, closes = before[::2], after[1::2]
    opens[1:] |= doubled[1::2]
    closes[:-1] |= doubled[1::2]
    if opens.all() and closes.all():
        return False
    end = re.escape(dialect.delimiter.encode())
    misplaced = re.compile(rb"(?:^|[\n" + end + rb'])"(?:[^"]++|"")*+"[^"\r\n' + end + rb"]")
    return misplaced.search(data) is not None


def _may_be_unquoted(data: bytearray, first: _Attempt) -> bool:
    """Whether quotes may be part of the texts: fewer values stand in quotes than are misplaced.

    In files with tabs, where texts rarely need them, only values with a doubled quote count.
    """
    end = re.escape(first.dialect.delimiter.encode())
    begins, inside = rb"(?:^|[\n" + end + rb'])"', rb'[^"\n' + end + rb"]*"
    doubled = rb'""' + inside if first.dialect.delimiter == "\t" else b""
    enclosed = re.compile(begins + inside + doubled + rb'"(?=$|[\r\n' + end + rb"])")
    odd = sum(line.count(b'"') % 2 for line in data.split(b"\n"))
    against = odd if first.error is not None else first.faults
    return sum(1 for _ in enclosed.finditer(data)) < against


def _parse(data: bytearray, header: Header, dialect: Dialect, path: Path) -> tuple[pa.Table, int]:
    """The table without rows of the wrong number of values, and how many those are.

    Raises DataError when Arrow can't read it.
    """
    body = pa.py_buffer(data).slice(header.body)
    if not bytes(body[:4096]).strip() and not bytes(body).strip():
        return pa.table({str(n): pa.array([], pa.string()) for n in range(len(header.names))}), 0
    try:
        return _parse_body(body, len(header.names), dialect, BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise DataError(
                "{path} can't be read as a table: {error}", path=path, error=error
            ) from error
        # One row is longer than a block.
        return _parse_body(body, len(header.names), dialect, min(body.size + 1, 2**31 - 1))


def _parse_body(
    body: pa.Buffer, width: int, dialect: Dialect, block_bytes: int
) -> tuple[pa.Table, int]:
    ragged = 0

    def skip(_: pa_csv.InvalidRow) -> str:
        nonlocal ragged
        ragged += 1
        return "skip"

    names = [str(number) for number in range(width)]
    table = pa_csv.read_csv(
        pa.BufferReader(body),
        read_options=pa_csv.ReadOptions(block_size=block_bytes, column_names=names),
        parse_options=pa_csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char='"' if dialect.quoted else False,
            escape_char="\\" if dialect.escaped else False,
            newlines_in_values=dialect.quoted,
            invalid_row_handler=skip,
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, check_utf8=False
        ),
    )
    return table, ragged


def _without(table: pa.Table, positions: list[int]) -> pa.Table:
    """`table` without the rows at the ascending `positions`; the others are not copied."""
    if not positions:
        return table
    starts = [0, *(position + 1 for position in positions)]
    stops = [*positions, table.num_rows]
    pieces = [
        table.slice(start, stop - start)
        for start, stop in zip(starts, stops, strict=True)
        if stop > start
    ]
    return pa.concat_tables(pieces or [table.slice(0, 0)])


def _ends_in_break(table: pa.Table) -> bool:
    """Whether the last row holds a line break: a quote that is never closed ends in that row."""
    last = table.slice(max(0, table.num_rows - 1)).to_pylist()
    return any("\n" in value or "\r" in value for row in last for value in row.values())
