"""Tables as they were read → tables with the columns that the task knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tunesmith.data.layouts import LAYOUTS, NONE
from tunesmith.data.layouts.base import Layout, LeftOut
from tunesmith.data.layouts.keys import unused_keys
from tunesmith.data.layouts.usage import Unused, Usage
from tunesmith.data.reading.rows import ROW
from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.messages import Message, say
from tunesmith.progress import doing
from tunesmith.tasks.base import Row, Task
from tunesmith.tasks.parts.columns import PLACEHOLDER
from tunesmith.values import canonical, quoted

SAMPLE = 100
"""Rows by which a layout is recognized."""

BATCH_ROWS = 10_000

_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a layout raises at a value of another kind than it has there, which is its row's fault."""

OURS = frozenset((ROW, "_split", "_rule", "_reason", "_unreadable"))
"""Columns that are not the data's: the row's number, and those of rejected rows."""

HINTS: Mapping[tuple[str, ...], Message] = {
    ("system", "system_prompt", "history"): say(
        "it would be a turn before the question, if no option of the task named columns"
    ),
    ("input", "context"): say("task.prompt_template puts it into the question"),
    ("image", "images", "image_url", "video", "videos", "audio", "audios", "input_audio"): say(
        "only text is learned"
    ),
    ("name",): say("chat templates leave it out; who speaks can stand in the text"),
    ("train_detail", "training_detail"): say("an answer is learned whole or not at all"),
}
"""Usual names of columns and keys → what is to be known where they are not used."""


def hint_of(name: str) -> str:
    """What is to be known of a column or key that is not used."""
    key = re.split(r"[.\s]", name.casefold())[-1]
    return next((hint for names, hint in HINTS.items() if key in names), "")


@dataclass(frozen=True)
class Excluded:
    """A row that its own marks leave out."""

    row: int
    """Its number in the source."""
    value: str
    reason: str


@dataclass(frozen=True)
class LaidOut:
    """Tables with the columns that their task knows."""

    tables: dict[str, pa.Table]
    layout: Layout | None = None
    """The layout that they were in; None: they are as they were read."""
    excluded: Mapping[str, Sequence[Excluded]] = field(default_factory=dict)
    """Split → the rows that their own marks leave out."""

    def usage(self, task: Task, columns: Sequence[str], others: Mapping[str, Message]) -> Usage:
        """What is used of a table with these `columns` by `task`, which is bound to its columns.

        `others` are columns that are used by something else than the task, and as what.
        """
        layout = self.layout
        mine = {} if layout is None else dict(layout.used())
        uses = {name: use for name, use in mine.items() if name in columns}
        given = {column: say(role.replace("_", " ")) for role, column in task.columns.items()}
        given |= dict.fromkeys(set(task.read_columns()) - given.keys(), say("prompt"))
        for name, use in {**given, **others}.items():
            if name in columns:
                uses.setdefault(name, use)
        unused = [
            Unused(name, hint=hint_of(name))
            for name in columns
            if name not in uses and name not in OURS
        ]
        ignored = Counter() if layout is None else layout.ignored.copy()
        for laid in self.tables.values():
            ignored += unused_keys(laid, task)
        keys = [Unused(key, times, hint_of(key)) for key, times in ignored.most_common()]
        every = (*unused, *keys)
        return (
            Usage(uses=uses, unused=every)
            if layout is None
            else Usage(layout.name, layout.label, uses, every, tuple(layout.notes))
        )


def lay_out(tables: Mapping[str, pa.Table], task: Task, wanted: str | None) -> LaidOut:
    """`tables` (split → rows; the first is trained on) with the columns that `task` knows.

    `wanted` names the layout, `none` for none; None: it is recognized by columns and first rows, of
    those that recognize them the one that uses the most columns. A column that an option of the
    task names is never taken away by a layout that nobody asked for.

    Raises ConfigError when there is no such layout, or it doesn't fit the task.
    """
    table = next(iter(tables.values()))
    layout = find_layout(table, task, wanted)
    if layout is None:
        return LaidOut(dict(tables))
    excluded: dict[str, list[Excluded]] = {}
    laid = {}
    for split, each in tables.items():
        laid[split] = each if layout.stands(each) else _laid(each, layout, excluded, split)
    return LaidOut(laid, layout, excluded)


def find_layout(table: pa.Table, task: Task, wanted: str | None = None) -> Layout | None:
    """The layout of `table` for `task`, as `lay_out` finds it; None: its columns are the task's.

    Raises as `lay_out`.
    """
    columns = [name for name in table.column_names if name != ROW]
    sample = table.slice(0, SAMPLE).select(columns).to_pylist()
    named = _named_columns(task)
    if wanted is not None:
        return None if wanted == NONE else _called(wanted, columns, sample, task.name, named)
    found = [
        layout(columns, sample, task.name, named)
        for layout in LAYOUTS.values()
        if task.name in layout.tasks and layout.recognizes(columns, sample)
    ]
    fitting = [layout for layout in found if _leaves(named, layout, task)]
    return max(fitting, key=lambda layout: len(layout.used()), default=None)


def likely_tasks(table: pa.Table) -> Iterator[str]:
    """The tasks of the layouts that recognize `table`."""
    columns = [name for name in table.column_names if name != ROW]
    sample = table.slice(0, SAMPLE).select(columns).to_pylist()
    for layout in LAYOUTS.values():
        if layout.recognizes(columns, sample):
            yield from layout.tasks


def laid_question(given: str | Row, task: Task, layout: str | None) -> str | Row:
    """What is asked, as `task.question` takes it, where rows are laid out as in training.

    Raises DataError for a row that is written as no row of the layout.
    """
    if layout is None or layout not in LAYOUTS:
        return given
    kind = LAYOUTS[layout]
    row = {"text": given} if isinstance(given, str) else given
    if isinstance(given, str) and not kind.recognizes(["text"], [row]):
        return given
    try:
        return kind(list(row), [row], task.name).question(row)
    except _ODD as error:
        raise DataError("is not written as {layout} is", layout=kind.label) from error


def _called(
    wanted: str,
    columns: Sequence[str],
    sample: Sequence[Row],
    task: str,
    named: frozenset[str],
) -> Layout:
    """The layout called `wanted`.

    Raises ConfigError when there is none of that name for `task`, or it has none of the columns.
    """
    accepted = [name for name, layout in LAYOUTS.items() if task in layout.tasks]
    if wanted not in accepted:
        near = nearest(wanted, accepted)
        message = say("no such layout for task {task}", task=task)
        listed = ", ".join([*accepted, NONE])
        raise ConfigError([Problem("data.layout", message, wanted, listed, near)])
    layout = LAYOUTS[wanted](columns, sample, task, named)
    if not (layout.recognizes(columns, sample) or layout.used().keys() & {*columns}):
        message = say("the data have none of this layout's columns, but {names}", names=columns)
        raise ConfigError([Problem("data.layout", message, wanted)])
    return layout


def _named_columns(task: Task) -> frozenset[str]:
    """The columns that options of `task` name."""
    return frozenset(
        name
        for option, value in task.options.model_dump().items()
        if option.endswith(("_column", "_columns")) and value
        for name in ([value] if isinstance(value, str) else value)
    )


def _leaves(named: frozenset[str], layout: Layout, task: Task) -> bool:
    """Whether the columns that options of `task` name are still what they were, or are given."""
    template = getattr(task.options, "prompt_template", None) or ""
    if set(PLACEHOLDER.findall(template)) & layout.used().keys():
        return False
    return named & layout.used().keys() <= layout.types().keys()


def _laid(
    table: pa.Table, layout: Layout, excluded: dict[str, list[Excluded]], split: str
) -> pa.Table:
    """`table` in the columns that `layout` gives; rows that are left out go to `excluded`."""
    table = layout.gathered(table)
    types = layout.types()
    parts: list[pa.Table] = []
    texts: set[str] = set()
    done = 0
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        rows, kept = [], []
        total = table.num_rows
        doing(say("putting rows in columns: {done:,} of {total:,}", done=done, total=total))
        done += len(batch)
        if (whole := layout.column(batch)) is not None:
            parts.append(_replaced(pa.Table.from_batches([batch]), layout, [whole]))
            continue
        for number, row in enumerate(batch.to_pylist()):
            try:
                rows.append(layout.convert(row))
                kept.append(number)
            except (LeftOut, *_ODD) as error:
                why = error if isinstance(error, LeftOut) else None
                said = str(why or say("is not written as {layout} is", layout=layout.label))
                place = int(row.get(ROW, number + 1))
                found = Excluded(place, quoted(_shown(layout, row)), said)
                excluded.setdefault(split, []).append(found)
        part = pa.Table.from_batches([batch]).take(pa.array(kept, pa.int64()))
        given = [_array([row.get(name) for row in rows], kind) for name, kind in types.items()]
        texts |= {name for name, each in zip(types, given, strict=True) if each.type != types[name]}
        parts.append(_replaced(part, layout, given))
    return _together(parts, texts, [name for name in types if layout.optional], layout.optional)


def _replaced(part: pa.Table, layout: Layout, given: Sequence[pa.Array]) -> pa.Table:
    """`part` with the columns of `layout` in place of those that it uses."""
    types = layout.types()
    part = part.drop_columns(sorted({*layout.used(), *types} & {*part.column_names}))
    for name, column in zip(types, given, strict=True):
        part = part.append_column(name, column)
    return part


def _shown(layout: Layout, row: Row) -> Any:
    """What of a row tells people which it is: the first column that the layout uses."""
    return next((row[name] for name in layout.used() if row.get(name) is not None), "")


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`values` as an array of `kind`, or of text where they don't fit."""
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array(list(map(_text, values)), pa.large_string())


def _text(value: Any) -> str | None:
    return None if value is None else canonical(value)


def _together(
    parts: Sequence[pa.Table], texts: set[str], given: Sequence[str], optional: frozenset[str]
) -> pa.Table:
    """The parts of one table; columns of `texts` are text in all of them, and of those `given`
    `optional` ones that no row has are left out, and so are `optional` fields of lists of objects.
    """
    one = [_with(part, texts, _array_of_texts) for part in parts]
    table = pa.concat_tables(one, promote_options="default")
    empty = [name for name in given if name in optional and _is_empty(table.column(name))]
    table = table.drop_columns(empty)
    return _with(table, given, lambda column: _without_empty(column, optional))


def _is_empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column))


def _with(
    table: pa.Table,
    names: Sequence[str] | set[str],
    change: Callable[[pa.ChunkedArray], pa.ChunkedArray],
) -> pa.Table:
    """`table` with columns changed."""
    for name in names:
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, change(table.column(name)))
    return table


def _array_of_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_large_string(column.type):
        return column
    return pa.chunked_array([pa.array(list(map(_text, column.to_pylist())), pa.large_string())])


def _without_empty(column: pa.ChunkedArray, optional: frozenset[str]) -> pa.ChunkedArray:
    """A column of lists of objects without those `optional` fields that are null in every row."""
    kind = column.type
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return column
    empty = {
        part.name
        for part in kind.value_type
        if part.name in optional
        and all(
            chunk.flatten().field(part.name).null_count == len(chunk.flatten())
            for chunk in column.chunks
        )
    }
    if not empty:
        return column
    kept = pa.list_(pa.struct([part for part in kind.value_type if part.name not in empty]))
    return pa.chunked_array([_narrowed(chunk, kept) for chunk in column.chunks], type=kept)


def _narrowed(chunk: pa.ListArray, kind: pa.DataType) -> pa.ListArray:
    objects = chunk.values
    parts = [objects.field(part.name) for part in kind.value_type]
    narrow = pa.StructArray.from_arrays(parts, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(
        chunk.offsets, narrow, mask=chunk.is_null() if chunk.null_count else None
    ).cast(kind)
