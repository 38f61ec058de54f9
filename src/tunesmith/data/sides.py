"""Which split of a source trains, validates and judges: one without labels only trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.config.schema import DataConfig
from tunesmith.data.checking.label_rules import as_text, row_labels
from tunesmith.data.checking.label_values import parsed
from tunesmith.data.content import canonical_strings
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import Source
from tunesmith.data.versions.held_out import HELD_OUT
from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.label_texts import MISSING, certain_key, clean

VALIDATION_SPLITS = ("validation", "valid", "dev", "eval")
"""Splits that validate where a test split judges, and judge where there is none."""

TEST_SPLITS = (HELD_OUT, "test")
"""Splits that judge where none is named."""

NO_LABEL = frozenset({"-1", "-100"})
"""What datasets of the hub, and PyTorch, write where a row's label is kept secret."""


@dataclass(frozen=True)
class Chosen:
    """The splits that are asked for, before anybody has looked into them."""

    train: str
    judging: Sequence[str]
    """Those that may judge, the likeliest first; none: rows are held out of `train`."""
    validating: Sequence[str] = ()
    """Those that may validate beside the one that judges, the likeliest first."""

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        return [*dict.fromkeys((self.train, *self.judging, *self.validating))]


def choose_splits(request: DataConfig, source: Source) -> Chosen:
    """The split to train on, those that may judge and those that may validate.

    Raises ConfigError where the request names one that isn't there, or nothing says which one is
    trained on.
    """
    names = list(source.tables)
    problems = []
    for field in ("train_split", "eval_split", "validation_split"):
        wanted = getattr(request, field)
        if wanted is not None and wanted not in names:
            near = nearest(wanted, names)
            message = say("no such split")
            problems.append(Problem(f"data.{field}", message, wanted, ", ".join(names), near))
    if request.validation_split is not None and request.validation_split == request.eval_split:
        message = say("judges, and can't validate too: what it picks by it must not judge")
        others = ", ".join(name for name in names if name != request.eval_split)
        problems.append(Problem("data.validation_split", message, request.eval_split, others))
    if problems:
        raise ConfigError(problems)
    train = request.train_split or ("train" if "train" in names else names[0])
    if request.train_split is None and "train" not in names and len(names) > 1:
        message = say("there is no split called train: name one")
        raise ConfigError([Problem("data.train_split", message, accepted=", ".join(names))])
    judging: Sequence[str] = (*TEST_SPLITS, *VALIDATION_SPLITS)
    judging = judging if request.eval_split is None else (request.eval_split,)
    asked = request.validation_split
    validating = VALIDATION_SPLITS if asked is None else (asked,)

    def there(wanted: Sequence[str], *others: str | None) -> list[str]:
        return [name for name in wanted if name in names and name not in (train, *others)]

    return Chosen(train, there(judging, asked), there(validating, request.eval_split))


def sides_of(
    tables: Mapping[str, pa.Table], chosen: Chosen, task: Task, request: DataConfig, source: Source
) -> tuple[str | None, str | None, list[Message]]:
    """The splits that judge and validate, and what is said of others.

    Each is the first of those that may and has labels; None: rows are held out of the split that is
    trained on. Raises DataError where a split that the request names has no labels, or one has
    labels and no text.
    """
    asked = {f"data.{name}": getattr(request, name) for name in ("eval_split", "validation_split")}
    notes = [
        say("{field} names the split that is trained on: rows are held out of it", field=field)
        for field, split in asked.items()
        if split == chosen.train
    ]
    named = {split: field for field, split in asked.items()}
    judging = validating = None
    for split in dict.fromkeys((*chosen.judging, *chosen.validating)):
        judges = judging is None and split in chosen.judging
        if not judges and (validating is not None or split not in chosen.validating):
            continue
        train, place = tables[chosen.train], source.place(split)
        reason = _why_unlabelled(tables[split], train, task)
        if reason is None:
            _require_texts(tables[split], train, task, chosen.train, place)
            judging, validating = (split, validating) if judges else (judging, split)
        elif split in named:
            raise DataError(
                "{field} names {split}, which can judge nothing: {reason}. Without "
                "{field}, rows are held out of {train}",
                field=named[split],
                split=place,
                reason=reason,
                train=chosen.train,
            )
        else:
            notes.append(say("{split} is left out: {reason}", split=place, reason=reason))
    if judging is None and notes and chosen.judging:
        notes.append(say("rows are held out of {split} instead", split=chosen.train))
    if judging is not None and (same := same_targets(tables[judging], task)):
        notes.append(same)
    if request.test_draw and judging is not None:
        message = say(
            "the data have a split that judges, {split}: data.eval_split: {train} holds rows out "
            "instead",
            split=judging,
            train=chosen.train,
        )
        raise ConfigError([Problem("data.test_draw", message, request.test_draw, "0")])
    return judging, validating, notes


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


def groups_of(source: pa.Table, table: pa.Table, column: str | None) -> list[str] | None:
    """The group of each row of `table`, which are rows of `source`; "" where it has none."""
    if column is None or column not in source.column_names:
        return None
    places = np.searchsorted(source.column(ROW).to_numpy(), table.column(ROW).to_numpy())
    groups: list[str] = canonical_strings(source.column(column).take(pa.array(places))).to_pylist()
    return [group.strip() for group in groups]


def strata(table: pa.Table, task: Task) -> pl.Series:
    """The group of each row whose share a split keeps equal on both sides."""
    label = task.label_column()
    if label is not None:
        return as_text(row_labels(parsed(table.column(label), task.parse_label).column))
    answers = task.answer_columns()
    if not answers:
        return pl.repeat("", table.num_rows, eager=True)
    # What both answers of a preference pair begin with stands in a column that is read, too.
    columns = [*dict.fromkeys([*answers, *task.chat_columns()])]
    rows = table.select(columns).to_pylist()
    return pl.Series([task.stratum(row) for row in rows], dtype=pl.String)
