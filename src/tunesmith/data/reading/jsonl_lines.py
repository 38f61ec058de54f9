"""The lines of a JSON Lines file: where each stands, and which ones can't be read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json

from tunesmith.data.reading.rows import Unreadable
from tunesmith.errors import shorten
from tunesmith.messages import say

SEARCH_BYTES = 4 << 20

MAX_DEPTH = 100
"""Objects and lists within each other; Arrow's reader crashes at some 100,000."""

_HUGE_INTEGER = re.compile(rb"(?<!\d)\d{4300}")
"""Arrow makes a float of it; Python refuses it."""

_NEWLINE, _OBJECT, _LIST = b"\n"[0], b"{"[0], b"["[0]
_MARK = b"\xef\xbb\xbf"


class KeyTwiceError(ValueError):
    """Raised when an object has a key twice: nobody knows which value is meant."""


@dataclass(frozen=True)
class Block:
    """Some whole lines of a file. Positions are bytes of the file; lines and rows are counted."""

    start: int
    stop: int
    first_line: int
    """Number of its first line, from 1."""
    first_row: int
    """Number that its first line has among those that aren't blank, from 1."""
    rows: int
    """Its lines that aren't blank."""
    is_suspicious: bool
    """Whether Arrow must not see it: a line is no object, or may be nested very deeply.

    Arrow's reader crashes where the first line is `null`, and elsewhere takes that for a row.
    """


@dataclass(frozen=True)
class BrokenLine:
    """A line that can't be read."""

    start: int
    """First byte of the line in the file."""
    stop: int
    number: int
    """Its number among the lines that aren't blank, from 1."""
    record: Unreadable


def lines_in(data: bytearray, block_bytes: int) -> Iterator[Block]:
    """`data` in blocks of whole lines, of about `block_bytes` each."""
    start, line, row = 0, 1, 1
    while start < len(data):
        stop = data.find(b"\n", min(start + block_bytes, len(data))) + 1 or len(data)
        block, lines = _outline(data, start, stop, line, row)
        yield block
        start, line, row = stop, line + lines, row + block.rows


def _outline(data: bytearray, start: int, stop: int, line: int, row: int) -> tuple[Block, int]:
    """The block from `start` to `stop`, and how many lines it has."""
    view = np.frombuffer(data, np.uint8, count=stop - start, offset=start)
    begins = np.concatenate([[0], np.flatnonzero(view == _NEWLINE) + 1])
    begins = begins[begins < len(view)]
    blank = int(np.count_nonzero(view[begins] == _NEWLINE))
    suspicious = False
    for index in np.flatnonzero(~np.isin(view[begins], (_OBJECT, _NEWLINE))):
        begin = start + int(begins[index])
        end = start + int(begins[index + 1]) if index + 1 < len(begins) else stop
        text = data[begin:end].strip()
        blank += not text
        suspicious = suspicious or (not text.startswith(b"{") and bool(text))
    if not suspicious:
        opened = np.add.reduceat((view == _OBJECT) | (view == _LIST), begins, dtype=np.int64)
        suspicious = bool((opened > MAX_DEPTH).any())
    return Block(start, stop, line, row, len(begins) - blank, suspicious), len(begins)


def search(data: bytearray) -> list[BrokenLine]:
    """The lines of `data` that can't be read, in order.

    A byte-order mark within the file, as after joining two files, is blanked.
    """
    broken: list[BrokenLine] = []
    for block in lines_in(data, SEARCH_BYTES):
        if not block.is_suspicious and _arrow_reads(data, block):
            continue
        start, number = block.start, block.first_row
        lines = data[block.start : block.stop].split(b"\n")
        for line, raw in enumerate(lines, block.first_line):
            if raw.startswith(_MARK):
                raw[: len(_MARK)] = b"   "
                data[start : start + len(_MARK)] = b"   "
            if raw.strip():
                text = raw.decode()
                reason = _fault(text)
                if reason is not None:
                    record = Unreadable.of(line, text, reason)
                    broken.append(BrokenLine(start, start + len(raw), number, record))
                number += 1
            start += len(raw) + 1
    return broken


def _arrow_reads(data: bytearray, block: Block) -> bool:
    """Whether Arrow takes each of the block's lines for one row."""
    if _HUGE_INTEGER.search(data, block.start, block.stop):
        return False
    buffer = pa.py_buffer(data).slice(block.start, block.stop - block.start)
    read = pa_json.ReadOptions(block_size=SEARCH_BYTES)
    try:
        table = pa_json.read_json(pa.BufferReader(buffer), read_options=read)
    except pa.ArrowException:
        return False
    return bool(table.num_rows == block.rows)


def _fault(text: str) -> str | None:
    """Why a line can't be a row, or None when it can."""
    try:
        row = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        return say("is not valid JSON: {error} at character {n}", error=error.msg, n=error.colno)
    except RecursionError:
        return say("is nested too deeply to be a row")
    except KeyTwiceError as error:
        return str(error)
    except ValueError as error:  # an integer of thousands of digits
        return say("is not valid JSON: {error}", error=error)
    return fault_of(row, text)


def fault_of(row: Any, text: str | None = None) -> str | None:
    """Why a value of JSON can't be a row, or None when it can; `text` is what it was read from."""
    if not isinstance(row, dict):
        return say("is not an object but {value}; a row is {{…}}", value=shorten(row))
    brackets = MAX_DEPTH + 1 if text is None else text.count("[") + text.count("{")
    if brackets > MAX_DEPTH and depth(row) > MAX_DEPTH:
        return say("is nested too deeply to be a row")
    if text is None or "\\u" in text:
        for name, value in row.items():
            if has_half_character([name, value]):
                return say(
                    "has half of a character (a lone surrogate) in column {name}",
                    name=shorten(name),
                )
    return None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its keys and values. Raises KeyTwiceError when a key stands there twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise KeyTwiceError(
            say("has the key {name} twice", name=shorten(names.most_common(1)[0][0]))
        )
    return row


def depth(value: Any) -> int:
    """How many objects and lists stand within each other in `value`, itself counted."""
    levels = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        levels += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return levels


def has_half_character(value: Any) -> bool:
    """Whether a text in `value` has a lone surrogate, which no encoding can write."""
    return any(
        "\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False)
    )
