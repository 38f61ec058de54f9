"""What stands between values and around them: found out by the first rows."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tunesmith.data.reading.options import ReadingOptions
from tunesmith.messages import say

DELIMITERS = {",": say("comma"), ";": say("semicolon"), "\t": say("tab"), "|": say("vertical bar")}
"""Those that are found out, the usual ones first."""

_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}

LOOKED_AT = 200
"""Rows by which the delimiter is found."""

MOST = 0.5
"""Share of the first rows that must have as many values as the header for a delimiter to count."""

LONGEST_NAME = 60
"""Characters of a column's name in a file whose ending doesn't say what it is."""

_SEP = re.compile(rb'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How values of a row are separated."""

    delimiter: str
    quoted: bool = True
    """Whether quotes around a value are no part of it."""
    escaped: bool = False
    """Whether a backslash stands before a quote that is part of a value."""
    spaced: bool = False
    """Whether spaces may stand before a value."""

    def reader(self, lines: Iterable[str], *, strict: bool = True) -> Any:
        """Python's reader of `lines`."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            escapechar="\\" if self.escaped else None,
            skipinitialspace=self.spaced,
            strict=strict,
        )


@contextmanager
def long_fields() -> Iterator[None]:
    """Python's reader refuses values over 131,072 characters by default."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def delimiter_asked_for(options: ReadingOptions) -> str | None:
    """The delimiter that the options name. Raises ConfigError for one that can be none."""
    if options.delimiter is None:
        return None
    named = _WORDS.get(options.delimiter.lower(), options.delimiter)
    if len(named) == 1 and named.isascii() and named not in '"\r\n\\\0':
        return named
    accepted = say("one character, such as ; or |, or tab")
    raise options.wrong("delimiter", say("can't stand between values"), accepted)


def take_sep_line(data: bytearray) -> str | None:
    """The delimiter that Excel's first line `sep=;` names; the line is emptied in `data`."""
    found = _SEP.match(data)
    if found is None:
        return None
    delimiter = found[1].decode("latin-1")
    del data[: found.end() - 1]  # its end stays, so that lines keep their numbers
    return delimiter


_HEAD_BYTES = 1 << 20


def without_spaces(data: bytearray, delimiter: str) -> bytearray:
    """`data` without the spaces between delimiters and quoted values, as in `a, "b, c"`.

    A space within quotes stays. `data` itself where there are none.
    """
    cut = re.escape(delimiter.encode())
    # Nearly every file has none, and that is found out much sooner than by a pattern; more than
    # one space is looked for in the first rows.
    before, head = (b"\n", delimiter.encode()), data[:_HEAD_BYTES]
    one = any(each + b' "' in data for each in before)
    if not one and not head.startswith(b" ") and not any(each + b"  " in head for each in before):
        return data
    if not re.search(rb"(?:[\n" + cut + rb']|^) +"', data):
        return data
    # Every quoted value is gone over whole, so that nothing in it is taken for the next one.
    value = rb"(^|[\r\n" + cut + rb']) *("(?:[^"]++|"")*+")(?: +(?=[\r\n' + cut + rb"]|$))?"
    tight = bytearray(re.sub(value, rb"\1\2", data))
    return data if tight == data else tight


def find_delimiter(head: str, usual: str) -> str:
    """What stands between values in the first rows of a text; `usual` where nothing tells."""
    fits = {delimiter: fit for delimiter in DELIMITERS if (fit := _fit(head, delimiter)) >= MOST}
    best = max(fits, key=lambda each: fits[each], default=usual)
    return usual if fits.get(usual, 0.0) >= 0.9 * fits.get(best, 1.0) else best


def is_table(head: str) -> bool:
    """Whether a text of unknown kind is a table: short names, then rows of as many values."""
    delimiter = find_delimiter(head, "")
    if head.lstrip().startswith(("{", "[")):
        return False  # JSON has commas too
    if not delimiter or _fit(head, delimiter) < 1.0:
        return False
    names, *rows = first_rows(head, Dialect(delimiter))
    return len(rows) > 1 and all(
        len(name) <= LONGEST_NAME and name[-1:] not in ".!?" for name in names
    )


def first_rows(head: str, dialect: Dialect) -> list[list[str]]:
    """The first rows of a text whose last line may be cut; blank lines are none."""
    lines = head.splitlines(keepends=True)
    with long_fields():
        rows = [row for row in islice(dialect.reader(lines, strict=False), LOOKED_AT) if row]
    return rows[:-1] if len(rows) > 2 and not head.endswith(("\n", "\r")) else rows


def _fit(head: str, delimiter: str) -> float:
    """The share of rows that have as many values as the header, 0 where that is a single one."""
    quotes = (Dialect(delimiter), Dialect(delimiter, quoted=False), Dialect(delimiter, spaced=True))
    return max(_share(first_rows(head, dialect)) for dialect in quotes)


def _share(rows: list[list[str]]) -> float:
    if len(rows) < 2 or len(rows[0]) < 2:
        return 0.75 if rows and len(rows[0]) > 1 else 0.0
    common = Counter(map(len, rows[1:])).most_common(1)[0][0]
    # A header may lack names of columns that all rows have, or have one for an empty column.
    width = common if abs(common - len(rows[0])) == 1 else len(rows[0])
    return sum(len(row) == width for row in rows[1:]) / len(rows[1:]) if width > 1 else 0.0
