"""Keys inside columns that the task reads, such as those of turns and spans, that nothing uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts.turns import as_list
from tunesmith.tasks.base import Task
from tunesmith.tasks.chats.messages import PARTS
from tunesmith.tasks.parts.spans import read_span

_OF_TURNS = frozenset(
    ("role", "content", "from", "value", "weight", "train", "function_call", *PARTS)
)


def unused_keys(table: pa.Table, task: Task) -> Counter[str]:
    """Key, as `column[].key`, → how many times it was found, of those that `task` doesn't use."""
    found: Counter[str] = Counter()
    readers: dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
        **dict.fromkeys(task.chat_columns(), _beside_turn),
        **({task.columns["spans"]: _beside_span} if "spans" in task.columns else {}),
    }
    for column, beside in readers.items():
        if column in table.column_names and not _is_plain(table.schema.field(column).type):
            for one in _objects(table.column(column)):
                found.update(f"{column}[].{key}" for key in beside(one))
    return found


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type holds no objects, or objects without further keys."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        of = kind.value_type
        return not pa.types.is_struct(of) or {part.name for part in of} <= {"role", "content"}
    return not (pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _objects(column: pa.ChunkedArray) -> Iterator[Mapping[str, Any]]:
    for chunk in column.chunks:
        for start in range(0, len(chunk), 10_000):
            for value in chunk.slice(start, 10_000).to_pylist():
                yield from (one for one in as_list(value) or () if isinstance(one, Mapping))


def _beside_turn(turn: Mapping[str, Any]) -> Iterator[str]:
    return (key for key, value in turn.items() if key not in _OF_TURNS and value is not None)


def _beside_span(span: Mapping[str, Any]) -> Iterator[str]:
    """The keys without which a span says the same."""
    given = {key: value for key, value in span.items() if value is not None}
    if len(given) < 4 or (whole := read_span(given)) is None:
        return
    for key in given:
        if read_span({name: value for name, value in given.items() if name != key}) == whole:
            yield key
