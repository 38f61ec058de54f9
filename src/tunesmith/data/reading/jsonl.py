"""JSON and JSON Lines: rows are objects; every fault with its line.

Arrow reads the lines. What it can't take is looked for with Python's reader, in those blocks of the
file that Arrow refuses, so that one broken line in a million costs little.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from tunesmith.data.reading.compressed import LEAST_BYTES
from tunesmith.data.reading.json_lines import (
    MAX_DEPTH,
    KeyTwiceError,
    depth,
    has_half_character,
    lines_in,
    once,
    search,
)
from tunesmith.data.reading.rows import FileRows, hopeless, is_hopeless, number_rows
from tunesmith.data.reading.width import check_keys
from tunesmith.errors import DataError, shorten
from tunesmith.tasks.values import canonical
from tunesmith.tracking.headroom import memory_left

BLOCK_BYTES = 16 << 20

TIMES = 16
"""Python's objects of a document take so many times its bytes, or more."""

_LONG_INTEGER = re.compile(rb"[:\[,]\s*-?\d{19}")
"""An integer that Arrow's reader may turn into a float, losing digits: an id, say."""


def read_lines(data: bytearray, path: Path) -> FileRows:
    """The rows of `data` (UTF-8, one object a line); blank lines are no rows.

    A key that a row lacks is null there. Text that looks like a date stays text. Unreadable is a
    line that isn't one JSON object, that has a key twice or half of a character in its text, or
    more than 100 levels; such lines are blanked in `data`.

    Raises DataError when most lines or the first ten are unreadable, when there would be too many
    columns; and naming the column whose
    values have different types, with the first two lines that differ.
    """
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")  # lines as on Macs before 2001
    count, suspicious = 0, False
    for block in lines_in(data, BLOCK_BYTES):
        count += block.rows
        suspicious = suspicious or block.is_suspicious
    check_keys(data, count, path)
    table = None if suspicious else _parse(data, count)
    if table is not None:
        return FileRows(number_rows(table))
    broken = search(data)
    unreadable = tuple(line.record for line in broken)
    numbers = [line.number for line in broken]
    if broken and is_hopeless(numbers, count):
        raise hopeless(path, unreadable, len(broken), count, _advice(data))
    for line in broken:
        data[line.start : line.stop] = b" " * (line.stop - line.start)
    table = _parse(data, count - len(broken))
    if table is None:
        table = _read_slowly(data, path)
    return FileRows(number_rows(table, numbers), unreadable)


def _advice(data: bytearray) -> str:
    if data[:1000].lstrip().startswith(b"["):
        return "It looks like one JSON document: name the file .json"
    if b"\n}" in data[:100_000]:
        return "Every object must stand on a line of its own"
    return ""


def read_document(data: bytearray, path: Path) -> FileRows:
    """The rows of a JSON document: a list of objects, or an object that holds one such list.

    A file of one object a line is read as JSON Lines, whatever its name says.

    Raises DataError when the document is broken (with line and column), has a key twice in an
    object, is of another shape, or would fill the memory.
    """
    if len(data) > max(LEAST_BYTES, memory_left() // TIMES):
        raise DataError(
            f"{path}: a JSON document of {len(data) >> 20:,} MiB takes more memory to read than is "
            "left on this machine; write it as JSON Lines, one object a line"
        )
    try:
        document = json.loads(data, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and data[:1000].lstrip()[:1] == b"{":
            return read_lines(data, path)
        raise DataError(
            f"{path}:{error.lineno}:{error.colno} is not valid JSON: {error.msg}"
        ) from error
    except KeyTwiceError as error:
        raise DataError(f"{path}: an object {error}; which one is meant?") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a table") from error
    rows = _rows_of(document, path)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: entry {number} is not an object but {shorten(row)}")
    check_keys(data, len(rows), path)
    if depth(rows) > MAX_DEPTH:
        raise DataError(f"{path} is nested too deeply to be a table")
    places = [f"entry {number}" for number in range(1, len(rows) + 1)]
    return FileRows(number_rows(_table(rows, places, path)))


def _rows_of(document: Any, path: Path) -> list[Any]:
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        lists = {key: value for key, value in document.items() if isinstance(value, list)}
        if len(lists) == 1:
            return next(iter(lists.values()))
        if not lists and document:  # one row: a JSON Lines file of one line
            return [document]
        found = f"an object with {len(lists)} lists ({', '.join(map(str, lists)) or 'empty'})"
    else:
        found = shorten(document)
    raise DataError(
        f"{path} must hold a list of objects, or an object with one list of objects; "
        f"it holds {found}"
    )


def _parse(data: bytearray, count: int) -> pa.Table | None:
    """Arrow's table of `count` lines, with its guesses of dates undone; None where it fails.

    It also fails, in this sense, where it would find no column or lose digits of a long integer.
    """
    read = pa_json.ReadOptions(block_size=BLOCK_BYTES)
    try:
        table = pa_json.read_json(pa.BufferReader(data), read_options=read)
        schema = pa.schema([field.with_type(_undated(field.type)) for field in table.schema])
        if not schema.equals(table.schema):
            parse = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
            del table
            table = pa_json.read_json(pa.BufferReader(data), read_options=read, parse_options=parse)
    except pa.ArrowException:
        return None
    if table.num_rows != count or not table.num_columns:
        return None
    lossy = any(_has_floats(kind) for kind in schema.types) and _LONG_INTEGER.search(data)
    return None if lossy else table


def _has_floats(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_floats(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_floating(kind))


def _undated(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_undated(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_undated(field.type)) for field in kind])
    return kind


def _read_slowly(data: bytearray, path: Path) -> pa.Table:
    """The table of lines that are all valid, by Python's reader: it says what can't be a column.

    Raises DataError when it can't be a table.
    """
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            rows.append(json.loads(line.decode()))
            places.append(f"line {number}")
    return _table(rows, places, path)


def _table(rows: list[dict[str, Any]], places: list[str], path: Path) -> pa.Table:
    """A table of `rows`; `places` says where each stands, for messages."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows and not names:
        raise DataError(f"{path}: every object is empty; a row needs at least one column")
    columns: Mapping[str, list[Any]] = {name: [row.get(name) for row in rows] for name in names}
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        try:
            arrays[name] = _array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            if not _holds_turns(values) or isinstance(error, UnicodeEncodeError):
                raise DataError(_mixed(name, values, places, path, error)) from error
            # One turn of another type must not cost the file: the chats' own rules name its row.
            arrays[name] = pa.array([None if v is None else canonical(v) for v in values])
    return pa.table(arrays)


def _holds_turns(values: list[Any]) -> bool:
    """Whether a column is of chats: some value is a list with an object in it."""
    return any(isinstance(v, list) and any(isinstance(turn, dict) for turn in v) for v in values)


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:  # ids of 64 bits without a sign
        return pa.array(values, pa.uint64())


def _mixed(name: str, values: list[Any], places: list[str], path: Path, error: Exception) -> str:
    """The message for a column that can't be one Arrow column."""
    if isinstance(error, UnicodeEncodeError):
        at = next((p for v, p in zip(values, places, strict=True) if has_half_character(v)), "")
        return f"{path}: column {name}, {at}: half of a character (a lone surrogate) in the text"
    if isinstance(error, OverflowError):
        return f"{path}: column {name} has integers of more than 64 bits; write them as text"
    first: dict[str, str] = {}
    for value, place in zip(values, places, strict=True):
        if value is not None:
            first.setdefault(_kind(value), f"{_kind(value)} ({place}: {shorten(value, 30)})")
    if len(first) > 1:
        return (
            f"{path}: column {name} mixes {' and '.join(first.values())}; use one type throughout"
        )
    return f"{path}: column {name} has values of different shapes: {error}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "numbers"
    return "text" if isinstance(value, str) else "lists" if isinstance(value, list) else "objects"
