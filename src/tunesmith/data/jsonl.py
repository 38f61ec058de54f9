"""JSON and JSON Lines: rows are objects; every fault with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from tunesmith.errors import DataError, shorten

BLOCK_BYTES = 16 << 20

_LONG_INTEGER = re.compile(rb"[:\[,]\s*-?\d{19}")
"""An integer that Arrow's reader may turn into a float, losing digits: an id, say."""


def read_lines(data: bytes, path: Path) -> pa.Table:
    """The rows of `data` (UTF-8, one object a line); blank lines are no rows.

    A key that a row lacks is null there. Text that looks like a date stays text.

    Raises DataError naming the line that isn't an object, or the column whose values have
    different types and the first two lines that differ.
    """
    if not _LONG_INTEGER.search(data):
        try:
            table = _parse(data)
            if table.num_columns:
                return table
        except pa.ArrowException:
            pass  # the line loop says what is wrong, or reads what Arrow doesn't
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            rows.append(_row(line, number, path))
            lines.append(number)
    return _table(rows, [f"line {number}" for number in lines], path)


def read_document(data: bytes, path: Path) -> pa.Table:
    """The rows of a JSON document: a list of objects, or an object that holds one such list.

    A file of one object a line is read as JSON Lines, whatever its name says.

    Raises DataError when the document is broken (with line and column) or of another shape.
    """
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and data.lstrip()[:1] == b"{":
            return read_lines(data, path)
        raise DataError(
            f"{path}:{error.lineno}:{error.colno} is not valid JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a table") from error
    rows = _rows_of(document, path)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: entry {number} is not an object but {shorten(row)}")
    return _table(rows, [f"entry {number}" for number in range(1, len(rows) + 1)], path)


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


def _parse(data: bytes) -> pa.Table:
    """Arrow's own reader, with its guesses of dates undone."""
    read = pa_json.ReadOptions(block_size=BLOCK_BYTES)
    table = pa_json.read_json(pa.BufferReader(data), read_options=read)
    schema = pa.schema([field.with_type(_undated(field.type)) for field in table.schema])
    if schema.equals(table.schema):
        return table
    parse = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return pa_json.read_json(pa.BufferReader(data), read_options=read, parse_options=parse)


def _undated(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_undated(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_undated(field.type)) for field in kind])
    return kind


def _row(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{number} is not valid JSON: {error.msg} at character {error.colno} of "
            f"{shorten(line.decode())}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}:{number} is nested too deeply to be a row") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}:{number} is not an object but {shorten(row)}; a row is {{…}}")
    return row


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
            raise DataError(_mixed(name, values, places, path, error)) from error
    return pa.table(arrays)


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:  # ids of 64 bits without a sign
        return pa.array(values, pa.uint64())


def _mixed(name: str, values: list[Any], places: list[str], path: Path, error: Exception) -> str:
    """The message for a column that can't be one Arrow column."""
    if isinstance(error, UnicodeEncodeError):
        at = next((p for v, p in zip(values, places, strict=True) if _has_half_character(v)), "")
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


def _has_half_character(value: Any) -> bool:
    return any(
        "\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False)
    )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "numbers"
    return "text" if isinstance(value, str) else "lists" if isinstance(value, list) else "objects"
