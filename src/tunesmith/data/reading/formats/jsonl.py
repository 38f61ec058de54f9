"""JSON and JSON Lines: rows are objects; every fault with its line.

Arrow reads the lines. What it can't take is looked for with Python's reader, in those blocks of the
file that Arrow refuses, so that one broken line in a million costs little.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from tunesmith.data.reading.compressed import LEAST_BYTES
from tunesmith.data.reading.formats.base import Content, TextFormat
from tunesmith.data.reading.json_shapes import rows_of
from tunesmith.data.reading.jsonl_lines import KeyTwiceError, fault_of, lines_in, once, search
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import (
    ROW,
    SHOWN_TEXT,
    FileRows,
    Unreadable,
    hopeless,
    is_hopeless,
    number_rows,
)
from tunesmith.data.reading.width import check_keys
from tunesmith.errors import DataError, shorten
from tunesmith.files.headroom import memory_left
from tunesmith.messages import say
from tunesmith.values import canonical

BLOCK_BYTES = 16 << 20

TIMES = 16
"""Python's objects of a document take so many times its bytes, or more."""

_LONG_INTEGER = re.compile(rb"[:\[,]\s*-?\d{19}")
"""An integer that Arrow's reader may turn into a float, losing digits: an id, say."""


class JsonLines(TextFormat):
    """JSON Lines: an object a line."""

    name = "jsonl"
    label = say("JSON Lines")
    endings = (".jsonl", ".ndjson")

    def recognizes(self, content: Content) -> bool:
        """Whether it begins with an object on a line; of a single line the name decides."""
        text = (content.text_head or "").lstrip()
        if not text.startswith("{"):
            return False
        name = content.path.name.lower().removesuffix(content.compression)
        first, _, rest = text.partition("\n")
        return name.endswith(self.endings) or (bool(rest.strip()) and _is_json(first))

    def recognizes_text(self, head: str) -> bool:
        """Whether it begins with an object on a line."""
        return False

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The rows. Raises DataError as `read_lines`."""
        return read_lines(data, path)


class Json(TextFormat):
    """A JSON document that holds a table."""

    name = "json"
    label = say("JSON")
    takes = TextFormat.takes | {"sheet"}
    endings = (".json",)
    rank = 1

    def recognizes_text(self, head: str) -> bool:
        """Whether it begins as a list or an object does."""
        return _BEGINS.match(head) is not None

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The rows. Raises DataError as `read_document`."""
        return read_document(data, path, options)


_BEGINS = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"])')


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_lines(data: bytearray, path: Path) -> FileRows:
    """The rows of `data` (UTF-8, one object a line); blank lines are no rows.

    A key that a row lacks is null there. Text that looks like a date stays text. Unreadable is a
    line that isn't one JSON object, that has a key twice or half of a character in its text, or
    more than 100 levels; such lines are blanked in `data`.

    Raises DataError when most lines or the first ten are unreadable, or when there would be too
    many columns.
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
        advice = ""
        if data[:1000].lstrip().startswith(b"["):
            advice = say("It looks like one JSON document: name the file .json")
        elif b"\n}" in data[:100_000]:
            advice = say("Every object must stand on a line of its own")
        raise hopeless(path, unreadable, len(broken), count, advice)
    for line in broken:
        data[line.start : line.stop] = b" " * (line.stop - line.start)
    table = _parse(data, count - len(broken))
    if table is not None:
        return FileRows(number_rows(table, numbers), unreadable)
    lines = (line for line in data.split(b"\n") if line.strip())
    table, odd = _table([json.loads(line.decode()) for line in lines], path, numbers)
    return FileRows(table, unreadable, odd)


def read_document(data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
    """The rows of a JSON document, in one of the shapes of `json_shapes`.

    A file of one object a line is read as JSON Lines, whatever its name says.

    Unreadable is an entry that is no object, has half of a character in its text, or more than 100
    levels.

    Raises DataError when the document is broken (with line and column), has a key twice in an
    object, is of another shape, or would fill the memory; ConfigError for a list that isn't there.
    """
    if len(data) > max(LEAST_BYTES, memory_left() // TIMES):
        raise DataError(
            "{path}: a JSON document of {size:,} MiB takes more memory to read than "
            "is left on this machine; write it as JSON Lines, one object a line",
            path=path,
            size=len(data) >> 20,
        )
    try:
        document = _parsed(data)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and data[:1000].lstrip()[:1] == b"{":
            return read_lines(data, path)
        raise DataError(
            "{path}:{lineno}:{colno} is not valid JSON: {msg}",
            path=path,
            lineno=error.lineno,
            colno=error.colno,
            msg=error.msg,
        ) from error
    except KeyTwiceError as error:
        raise DataError(
            "{path}: an object {reason}; which one is meant?", path=path, reason=error
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError("{path} is not valid JSON: {error}", path=path, error=error) from error
    except RecursionError as error:
        raise DataError("{path} is nested too deeply to be a table", path=path) from error
    shaped = rows_of(document, path, options)
    everything = shaped.rows
    rows, numbers, unreadable = [], [], []
    for number, row in enumerate(everything, 1):
        reason = fault_of(row)
        if reason is None:
            rows.append(row)
        else:
            numbers.append(number)
            unreadable.append(Unreadable.of(number, shorten(row, SHOWN_TEXT), reason))
    if is_hopeless(numbers, len(everything)):
        raise hopeless(path, unreadable, len(numbers), len(everything), entries=True)
    if shaped.is_turned:  # what were keys of the document numbers its rows
        data = bytearray(json.dumps(rows).encode())
    check_keys(data, len(rows), path)
    table, odd = _table(rows, path, numbers)
    return FileRows(table, tuple(unreadable), odd, notes=shaped.notes)


def _parsed(data: bytearray) -> Any:
    """The document; of a file with a list on each line, a list of those. Raises as `json.loads`."""
    try:
        return json.loads(data, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not data[:1000].lstrip().startswith(b"["):
            raise
        with suppress(json.JSONDecodeError):
            lines = (line for line in data.split(b"\n") if line.strip())
            return [json.loads(line, object_pairs_hook=once) for line in lines]
        raise


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


def _table(
    rows: list[dict[str, Any]], path: Path, skipped: Sequence[int]
) -> tuple[pa.Table, Mapping[str, Mapping[int, str]]]:
    """A table of `rows`, and where values are of another type than the others of their column.

    `skipped` are the numbers of rows that are not among them. Raises DataError where no row has a
    key.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows and not names:
        raise DataError("{path}: every object is empty; a row needs at least one column", path=path)
    arrays: dict[str, pa.Array] = {}
    strange: dict[str, dict[int, str]] = {}
    for name in names:
        arrays[name], strange[name] = _column([row.get(name) for row in rows])
    table = number_rows(pa.table(arrays), skipped)
    numbers = table.column(ROW).to_pylist()
    return table, {
        name: {numbers[place]: kind for place, kind in places.items()}
        for name, places in strange.items()
        if places
    }


def _column(values: list[Any]) -> tuple[pa.Array, dict[int, str]]:
    """A column, and the places of values whose type is not that of most.

    Values of several types become text, as they are in JSON. NaN beside texts is a missing value.
    What chats hold is left to the chats' own rules.
    """
    try:
        return _array(values), {}
    except (pa.ArrowException, OverflowError):
        pass
    values = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    kinds = Counter(_KINDS[type(value)] for value in values if value is not None)
    most = kinds.most_common(1)[0][0] if kinds else ""
    texts = pa.array([None if value is None else canonical(value) for value in values])
    lists = (value for value in values if isinstance(value, list))
    if any(isinstance(turn, dict) for each in lists for turn in each):
        return texts, {}
    return texts, {
        place: kind
        for place, value in enumerate(values)
        if value is not None and (kind := _KINDS[type(value)]) != most
    }


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:  # ids of 64 bits without a sign
        return pa.array(values, pa.uint64())


_KINDS = {
    bool: say("true/false"),
    int: say("a number"),
    float: say("a number"),
    str: say("text"),
    list: say("a list"),
    dict: say("an object"),
}
