"""Values of a column of labels, read as the labels that they stand for, one spelling for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tunesmith.data.content import is_list
from tunesmith.errors import DataError
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.label_texts import (
    MARKED,
    certain_key,
    clean,
    is_missing,
    likely_key,
)
from tunesmith.tasks.parts.texts import TextTask
from tunesmith.values import canonical


@dataclass(frozen=True)
class Parsed:
    """A column of labels as its task reads it."""

    column: pa.ChunkedArray
    faults: Mapping[int, str] = field(default_factory=dict)
    """Index of a row whose value can be no label → why."""
    cleaned: Mapping[int, str] = field(default_factory=dict)
    """Index of a row whose text was read as another → the label."""
    blanked: Mapping[int, str] = field(default_factory=dict)
    """Index of a row whose text was read as no label → the text."""


def parsed(column: pa.ChunkedArray, parse: Callable[[Any], Any]) -> Parsed:
    """Every value of `column` as `parse` reads it; what it raises DataError for stays, as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded, values = None, column
    if not pa.types.is_nested(column.type):
        encoded = column.unify_dictionaries().combine_chunks().dictionary_encode()
        values = encoded.dictionary
    given = values.to_pylist()
    found: list[Any] = []
    faults: dict[int, str] = {}
    for number, value in enumerate(given):
        try:
            found.append(parse(value))
        except DataError as error:
            faults[number] = error.args[0]
            found.append(canonical(value))
    if found == given and not faults:
        return Parsed(column)
    labels = pa.array(_of_one_type(found))
    if encoded is None:
        return Parsed(pa.chunked_array([labels]), faults)
    texts = [(n, before) for n, before in enumerate(given) if isinstance(before, str)]
    changed = {n: found[n] for n, text in texts if isinstance(found[n], str) and found[n] != text}
    blank = {n: text for n, text in texts if found[n] is None and text.strip()}
    codes = encoded.indices.to_pylist()
    whole = pa.chunked_array([labels.take(encoded.indices)])
    return Parsed(whole, *(_by_row(codes, of) for of in (faults, changed, blank)))


def _by_row(codes: Sequence[int | None], of: Mapping[int, str]) -> dict[int, str]:
    """Row → what holds for the value that its code stands for."""
    found = ((row, code) for row, code in enumerate(codes) if code is not None and code in of)
    return {row: of[code] for row, code in found} if of else {}


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """`values` as they are where they are of one type, else as lists of text, or as texts."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 and list not in kinds:
        return list(values)
    if list in kinds:
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        return [None if one is None else [canonical(label) for label in one] for one in lists]
    return [None if value is None else canonical(value) for value in values]


def with_marked_labels(table: pa.Table, task: Task) -> pa.Table:
    """`table` with the column `MARKED` where the task's labels are columns of 0 and 1.

    A row where one holds nothing has none; what holds another value is `COLUMN=VALUE` there.
    """
    columns = task.mark_columns() if isinstance(task, TextTask) else ()
    if not columns or any(name not in table.column_names for name in columns):
        return table
    marked = [_marked(table.column(name), name) for name in columns]
    rows = [
        None if None in row else [label for label in row if label]
        for row in zip(*marked, strict=True)
    ]
    return table.append_column(MARKED, pa.array(rows, pa.list_(pa.string())))


def _marked(column: pa.ChunkedArray, name: str) -> list[str | None]:
    """For each value the label `name` where it marks it, "" where it doesn't, None where neither is
    known."""

    def mark(value: Any) -> str | None:
        if is_missing(value):
            return None
        text = certain_key(clean(canonical(value)))
        return {"0": "", "false": "", "1": name, "true": name}.get(text, f"{name}={text}")

    found: list[str | None] = parsed(column, mark).column.to_pylist()
    return found


def one_spelling(
    counts: Mapping[str, int], known: Iterable[str], *, likely: bool = False
) -> dict[str, str]:
    """Label → the spelling it shares with others: one of `known`, else the commonest.

    `likely`: also where labels differ by capitals, width, spaces or hyphens. Labels that stand
    alone, or are the spelling themselves, are left out.
    """
    key = likely_key if likely else certain_key
    groups: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[key(label)].append(label)
    wanted, found = {*known}, {}
    for labels in groups.values():
        best = min(
            labels, key=lambda label: (label not in wanted, -counts[label], label.swapcase())
        )
        found.update({label: best for label in labels if label != best and label not in wanted})
    return found


def respelled(column: pa.ChunkedArray, spelling: Mapping[str, str]) -> pa.ChunkedArray:
    """`column` with its labels in their one spelling, as text."""
    if is_list(column.type):
        return pa.chunked_array([pa.array([
            None if row is None
            else [*dict.fromkeys(spelling.get(text := canonical(label), text) for label in row)]
            for row in column.to_pylist()
        ], pa.list_(pa.string()))])  # fmt: skip
    return parsed(column, lambda value: None if value is None
                  else spelling.get(text := canonical(value), text)).column  # fmt: skip
