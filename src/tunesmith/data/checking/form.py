"""Rows in the form that their task can use: what a task finds wrong, then chats in one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.config.rules import RULES
from tunesmith.data.checking.examined import Examined
from tunesmith.data.filtering import require_column
from tunesmith.data.texts import is_words, turn_parts
from tunesmith.errors import DataError
from tunesmith.tasks.chats.messages import PARTS, Message, as_columns, parse_messages, plain_turns
from tunesmith.tasks.forms import AnswerForm

BATCH_ROWS = 10_000


def find_form(sides: Sequence[Examined]) -> AnswerForm | None:
    """How the answers in the rows of all splits are written, where the task looks for that.

    Raises ConfigError where only a person can say it, DataError when a column isn't there.
    """
    task = sides[0].task
    names = task.read_columns()
    for examined in sides:
        for name in names:
            require_column(examined.table, name)
    return task.form(
        dict(zip(names, values, strict=True))
        for examined in sides
        for batch in examined.table.select(names).to_batches(max_chunksize=BATCH_ROWS)
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )


def check_form(examined: Examined, form: AnswerForm | None = None) -> None:
    """Rows that the task can't use, such as chats without an answer; then chats in one form.

    Answers that are written in a `form` are in the task's own afterwards.

    Raises DataError when a column isn't there or can't hold text.
    """
    columns, task = examined.task.columns, examined.task
    for column in columns.values():
        require_column(examined.table, column)
    if task.fault_rules:
        _note_faults(examined, form)
        examined.settle()
    chats = task.chat_columns()
    for column in chats:
        kind = examined.table.column(column).type
        if columns.get("messages") == column:
            if not _is_plain_chat(kind):
                _write_plain_chats(examined, column, parse_messages)
        elif pa.types.is_nested(kind) and not _is_plain_chat(kind):
            _write_plain_chats(examined, column, plain_turns)
    for column in examined.asked:
        kind = examined.table.column(column).type
        if column in chats:
            continue
        if pa.types.is_nested(kind) and not (task.points_into_text and is_words(kind)):
            raise DataError(
                "column {column} holds {kind}, not text: name another column, or write "
                "its parts into columns of their own",
                column=column,
                kind=kind,
            )


def _is_plain_chat(kind: pa.DataType) -> bool:
    return turn_parts(kind) == {"role", "content"}


def _write_plain_chats(
    examined: Examined, column: str, read: Callable[[Any, str], list[Message]]
) -> None:
    """Chats written as JSON text, or with other names, as lists of {role, content}.

    A turn has further parts, as text, where one of the column has them.
    """
    chats = [as_columns(read(value, column)) for value in examined.table.column(column).to_pylist()]
    there = (*PARTS, "weight")
    parts = [name for name in there if any(turn[name] for turns in chats for turn in turns)]
    turn = pa.struct([(name, pa.string()) for name in ("role", "content", *parts)])
    examined.replace(column, pa.chunked_array([pa.array(chats, pa.list_(turn))]))


def _note_faults(examined: Examined, form: AnswerForm | None) -> None:
    """Note the faults that the task finds, a row at a time; write answers in the task's form."""
    columns, task = examined.task.columns, examined.task
    names = task.read_columns()
    answer = [*columns.values()][-1]  # what is learned
    found: dict[str, dict[int, str]] = {rule: {} for rule in task.fault_rules}
    written: list[pa.Array] = []
    start = 0
    for batch in examined.table.select(names).to_batches(max_chunksize=BATCH_ROWS):
        values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        answers = []
        for index, cells in enumerate(values, start):
            row = dict(zip(names, cells, strict=True))
            if form is not None:
                row[answer] = form.answer(row)
                answers.append(row[answer])
            for rule, advice in task.faults(row):
                found[rule].setdefault(index, advice)
                if form is not None and "warn" not in RULES[rule].actions:
                    answers[-1] = None  # nothing that the task could read
        if form is not None:
            written.append(pa.array(answers, pa.array([form.example]).type))
        start += batch.num_rows
    for rule, advices in found.items():
        examined.note(rule, advices, answer, advices.__getitem__)
    if form is not None:
        examined.replace(answer, pa.chunked_array(written))
