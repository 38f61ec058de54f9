"""Which split of a source is trained on and which judges; one without labels judges nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.config.schema import DataConfig
from tunesmith.data.content import canonical_strings
from tunesmith.data.sources import Source
from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.label_texts import MISSING, certain_key, clean

EVALUATION_SPLITS = ("validation", "valid", "dev", "eval", "test")
"""Splits that are taken for evaluation where none is named: the first that is there."""

NO_LABEL = frozenset({"-1", "-100"})
"""What datasets of the hub, and PyTorch, write where a row's label is kept secret."""


@dataclass(frozen=True)
class Chosen:
    """The splits that are asked for, before anybody has looked into them."""

    train: str
    judging: Sequence[str]
    """Those that may judge, the likeliest first; none: rows are held out of `train`."""


def choose_splits(request: DataConfig, source: Source) -> Chosen:
    """The split to train on and those that may judge.

    Raises ConfigError where the request names one that isn't there, or nothing says which one is
    trained on.
    """
    names = list(source.tables)
    problems = []
    for field, wanted in (("train_split", request.train_split), ("eval_split", request.eval_split)):
        if wanted is not None and wanted not in names:
            near = nearest(wanted, names)
            message = say("no such split")
            problems.append(Problem(f"data.{field}", message, wanted, ", ".join(names), near))
    if problems:
        raise ConfigError(problems)
    train = request.train_split or ("train" if "train" in names else names[0])
    if request.train_split is None and "train" not in names and len(names) > 1:
        message = say("there is no split called train: name one")
        raise ConfigError([Problem("data.train_split", message, accepted=", ".join(names))])
    judging = EVALUATION_SPLITS if request.eval_split is None else (request.eval_split,)
    return Chosen(train, [name for name in judging if name in names and name != train])


def judging_split(
    tables: Mapping[str, pa.Table], chosen: Chosen, task: Task, request: DataConfig, source: Source
) -> tuple[str | None, list[Message]]:
    """The first of the splits that may judge and has labels, and what is said of the others.

    None: rows are held out of the split that is trained on. Raises DataError where the split that
    the request names has no labels, or one has labels and no text.
    """
    notes = []
    if request.eval_split == chosen.train:
        notes.append(
            say("data.eval_split names the split that is trained on: rows are held out of it")
        )
    train = tables[chosen.train]
    for split in chosen.judging:
        reason = _why_unlabelled(tables[split], train, task)
        place = source.place(split)
        if reason is None:
            _require_texts(tables[split], train, task, chosen.train, place)
            return split, notes
        if request.eval_split is not None:
            raise DataError(
                "data.eval_split names {split}, which can judge nothing: {reason}. Without "
                "data.eval_split, rows are held out of {train}",
                split=place,
                reason=reason,
                train=chosen.train,
            )
        notes.append(say("{split} is left out: {reason}", split=place, reason=reason))
    if notes and chosen.judging:
        notes.append(say("rows are held out of {split} instead", split=chosen.train))
    return None, notes


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Errors of the data that say in which split they are."""
    try:
        yield
    except DataError as error:
        raise DataError("{place}: {error}", place=place, error=error.args[0]) from error


def same_targets(table: pa.Table, task: Task) -> Message | None:
    """What is said where all rows that judge have the same answer; None where they differ."""
    for name in _learned(task):
        if name not in table.column_names or pa.types.is_nested(table.column(name).type):
            continue
        values = canonical_strings(table.column(name)).unique()
        if len(values) == 1 and table.num_rows > 1:
            return say(
                "all {n:,} rows that judge have {value} in column {column}: they can't tell a good "
                "model from a bad one",
                n=table.num_rows,
                value=repr(values[0].as_py()[:80]),
                column=name,
            )
    return None


def _learned(task: Task) -> list[str]:
    """The columns with what is learned."""
    label = task.label_column()
    return task.answer_columns() if label is None else [label]


def _why_unlabelled(table: pa.Table, train: pa.Table, task: Task) -> Message | None:
    """Why a split has no answers to judge by; None where it has some."""
    for name in _learned(task):
        if name not in train.column_names:
            return None
        if name not in table.column_names:
            there = [column for column in table.column_names if not column.startswith("_")]
            return say("it has no column {name}; it has: {names}", name=repr(name), names=there)
        values = _values(table.column(name))
        if not values:
            return say("column {name} holds nothing there", name=repr(name))
        if values <= NO_LABEL and not values & _values(train.column(name)):
            return say(
                "column {name} holds {values} alone there, which marks rows without a label",
                name=repr(name),
                values=sorted(values),
            )
    return None


def _values(column: pa.ChunkedArray) -> set[str]:
    """The different values of a column, or in its lists, as text; without missing ones."""
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_flatten(column)
    different = canonical_strings(column).unique().to_pylist()
    return {certain_key(clean(text)) for text in different} - MISSING


def _require_texts(
    table: pa.Table, train: pa.Table, task: Task, train_split: str, place: str
) -> None:
    """Raise DataError where a split lacks columns that the one trained on has."""
    missing = [
        name
        for name in task.read_columns()
        if name in train.column_names and name not in table.column_names
    ]
    if missing:
        raise DataError(
            "{split} has no column {missing}; it has: {names}. Call its columns as in {train}, or "
            "set data.eval_split: {train} to hold rows out of that instead",
            split=place,
            missing=list(map(repr, missing)),
            names=[name for name in table.column_names if not name.startswith("_")],
            train=train_split,
        )
