"""What stands above the names of the columns, as reports have it: a title, a date, an author."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from tunesmith.data.reading.delimited.dialect import LONGEST_NAME, LOOKED_AT, Dialect, long_fields
from tunesmith.errors import shorten
from tunesmith.messages import Message, say
from tunesmith.values import is_number

MOST_RAGGED = 0.1
"""Share of the rows below the names that may be of another width."""

_CONTENT = re.compile(rb"[^\r\n]+")
_TITLE = re.compile(r"#|.*[\s\d]", re.DOTALL)


def take_title(data: bytearray, head: str, delimiters: Iterable[str]) -> list[str]:
    """What stands above the names of the columns; it is emptied in `data`, which `head` begins.

    Lines keep their numbers. Nothing is taken where a delimiter fits without.
    """
    found = [_above(head, delimiter) for delimiter in delimiters]
    above = max((each for each in found if each is not None), key=len, default="")
    if not above or "" in found:
        return []
    size = len(above.encode())
    data[:size] = _CONTENT.sub(b"", data[:size])
    return [line.strip(" ,;\t|") for line in above.splitlines() if line.strip(" ,;\t|")]


def above_note(above: Sequence[str]) -> Message:
    """What is said of what stands above the names of the columns."""
    shown = [shorten(value, 40) for value in above[:3]]
    return say("what stands above the names of the columns is not read ({above})", above=shown)


def _above(head: str, delimiter: str) -> str | None:
    """The lines above the names of the columns; None where `delimiter` makes no table."""
    lines = head.splitlines(keepends=True)
    rows: list[list[str]] = []
    begins: list[int] = []
    with long_fields():
        reader = Dialect(delimiter).reader(lines, strict=False)
        begin = 0
        for row in islice(reader, LOOKED_AT):
            rows.append([value.strip() for value in row])
            begins.append(begin)
            begin = reader.line_num
    filled = [sum(map(bool, row)) for row in rows]
    counts = Counter(count for count in filled if count)
    usual = max(counts.items(), key=lambda item: (item[1], item[0]))[0] if counts else 0
    if usual < 2:
        return None
    at = next(n for n, count in enumerate(filled) if count >= usual)
    if at == 0 or not _are_names(rows[at], [row for row in rows[at + 1 :] if any(row)]):
        return "" if at == 0 else None
    gap = next((n for n in range(at, 0, -1) if not filled[n - 1]), 0)
    is_title = all(
        n < gap or not filled[n] or (filled[n] == 1 and _TITLE.match("".join(rows[n])))
        for n in range(at)
    )
    return "".join(lines[: begins[at]]) if is_title else None


def _are_names(row: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a row names the columns of the `rest`: short words, none of which recurs below."""
    if len({*row}) < len(row) or not rest:
        return False
    names = all(name and len(name) <= LONGEST_NAME and not is_number(name) for name in row)
    ragged = sum(len(other) != len(row) for other in rest)
    recurs = any(
        name in column for name, column in zip(row, zip(*rest, strict=False), strict=False)
    )
    return names and not recurs and ragged <= MOST_RAGGED * len(rest)
