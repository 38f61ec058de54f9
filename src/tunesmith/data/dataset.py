"""From a source to the rows that train and the rows that judge: read, filter, check, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.config.schema import DataConfig
from tunesmith.data.checking.label_values import with_marked_labels
from tunesmith.data.checking.report import CheckReport, Findings
from tunesmith.data.checking.tables import Checked, check_tables
from tunesmith.data.checking.tokens import ByTokenizer
from tunesmith.data.content import content_hash
from tunesmith.data.drawing import Drawn
from tunesmith.data.filtering import keep_where
from tunesmith.data.layouts.laying import LaidOut, lay_out
from tunesmith.data.layouts.usage import Usage
from tunesmith.data.reading.rows import ROW
from tunesmith.data.rules.comparisons import NEAR_LEAKAGE
from tunesmith.data.sides import (
    Chosen,
    choose_splits,
    groups_of,
    naming,
    same_targets,
    sides_of,
    strata,
)
from tunesmith.data.sources import Source, as_before_the_draw, read_data
from tunesmith.data.splits import Splits, drawable, make_splits, validation_size
from tunesmith.data.texts import as_series, joined_texts
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, shorten
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Columns, Row, Task
from tunesmith.tasks.parts.columns import guessed, require_columns

LARGE = 100_000
"""Rows of which a training with `data.train_samples` looks at those alone that it can draw."""

SIDES = ("train", "validation", "evaluation")
"""What an experiment's record calls the sides; the last is the test side, which judges."""

SPARES = (1.25, 5.0, None)
"""How many times the rows asked for may be drawn, as rules drop some: the next where they drop too
many, and at last all rows."""


@dataclass(frozen=True)
class Dataset:
    """The rows that train, validate and judge, and where they come from."""

    source: Source
    train: list[Row]
    validation: list[Row]
    """Those that stop and pick; none where there are too few rows for that."""
    evaluation: list[Row]
    """The test side: those that judge, once, at the end."""
    columns: Columns
    report: CheckReport
    identity: dict[str, Any]
    """What the experiment records: name, hash, location, rows and hash of each side."""
    held_out: tuple[str, npt.NDArray[np.int64] | None]
    """The split that is trained on, and the numbers of the rows held out of it; None where the
    source has a split for evaluation."""
    groups: list[str] | None = None
    """The group of each row of `evaluation`, by `data.group_column`; "" for one without."""
    validation_groups: list[str] | None = None
    overlap: int = 0
    """Held-out rows whose text is trained on too: 0 unless that was allowed."""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The dataset's name as it was asked for."""
        return self.source.name

    @property
    def hash(self) -> str:
        """Content hash of all rows of the source, before filters, checks and splits."""
        return self.source.hash


@dataclass(frozen=True)
class _Sizes:
    """How many rows are held out of the split that is trained on."""

    judging: int
    validating: int


@dataclass(frozen=True)
class Examination:
    """A source as it was checked, before anything is held out."""

    source: Source
    columns: Columns
    checked: Checked
    train_split: str
    eval_split: str | None
    """The split that judges; None: rows are held out of `train_split`. The same of the next."""
    validation_split: str | None = None
    layout: str | None = None
    """The layout that the rows were in; None: their columns are the task's as they are."""
    together: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Number of a row → those of all rows of the source that it was made of."""
    sizes: _Sizes | None = None
    """Rows to hold out where only those were looked at that can be drawn; None: all were."""

    @property
    def splits(self) -> tuple[str, str, str]:
        """The splits that the rows of the sides are of, in the order of SIDES."""
        train = self.train_split
        return train, self.validation_split or train, self.eval_split or train

    def held_out(self, sides: Splits) -> tuple[str, npt.NDArray[np.int64] | None]:
        """The split that is trained on, and the numbers of the rows held out of it, if any."""
        if self.eval_split is not None:
            return self.train_split, None
        numbers = self.checked.tables[self.train_split].column(ROW).to_numpy()[sides.evaluation]
        every = [each for number in numbers for each in self.together.get(number, (number,))]
        return self.train_split, np.asarray(every, dtype=np.int64)


def examine(
    request: DataConfig,
    task: Task,
    source: Source,
    *,
    tokens: ByTokenizer | None = None,
    compare: bool = True,
    spare: float | None = None,
    tokenize_all: bool = True,
) -> Examination:
    """Choose the splits, filter, bind the task to its columns, hold every row against the rules.

    With `spare`, of far more rows than `data.train_samples` asks for only so many times as many;
    without `tokenize_all`, the tokenizer looks at those alone that can be drawn of the rows left.

    Raises DataError when the data can't be used, ConfigError when a field of the request or an
    option of the task names what isn't there. Rules whose action is `fail` are only reported.
    """
    source = as_before_the_draw(source) if request.test_draw else source
    chosen = choose_splits(request, source)
    train_name = chosen.train
    tables = _filtered(source, request, chosen)
    laid = bind(tables, task, request)
    eval_name, validation_name, notes = sides_of(laid.tables, chosen, task, request, source)
    names = (train_name, eval_name, validation_name)
    sides = {name: laid.tables[name] for name in names if name is not None}
    sizes = _sizes(sides[train_name].num_rows, request, eval_name, validation_name)
    drawn = _drawable(sides[train_name], task, request, spare, sizes)
    if drawn is not None:
        sides[train_name] = sides[train_name].take(pa.array(drawn))
    checked = check_tables(
        sides,
        task,
        request.validation_rules,
        unreadable=source.unreadable,
        excluded=laid.excluded,
        odd=source.odd,
        reading=source.reading(),
        usage=_usage(laid, task, request, tables[train_name].column_names, notes),
        tokens=tokens,
        max_length=request.max_length,
        compare=compare,
        tokenized=lambda table: _drawable(
            table, task, request, None if tokenize_all else SPARES[0], sizes
        ),
    )
    if drawn is not None:
        checked = _noting_rows_left_out(checked, len(drawn), laid.tables[train_name].num_rows)
    layout = laid.layout
    return Examination(
        source,
        task.columns,
        checked,
        train_name,
        eval_name,
        validation_name,
        None if layout is None else layout.name,
        {} if layout is None else layout.together,
        None if drawn is None else sizes,
    )


def _filtered(source: Source, request: DataConfig, chosen: Chosen) -> dict[str, pa.Table]:
    """The rows of the chosen splits that `data.where` keeps. Raises DataError when none trains."""
    tables = {}
    for name in chosen.names:
        with naming(source.place(name)) if len(source.tables) > 1 else nullcontext():
            tables[name] = keep_where(source.tables[name], request.where)
    if not tables[chosen.train].num_rows:
        raise DataError("the data have no rows.")
    return tables


def _noting_rows_left_out(checked: Checked, drawn: int, total: int) -> Checked:
    note = say(
        "{n:,} of {total:,} rows, which data.train_samples leaves out (tunesmith data check "
        "looks at all)",
        n=total - drawn,
        total=total,
    )
    return replace(checked, report=replace(checked.report, notes=(*checked.report.notes, note)))


def _usage(
    laid: LaidOut, task: Task, request: DataConfig, columns: list[str], notes: list[Message]
) -> Usage:
    """What is used of the `columns`, and what is said of what was decided.

    Raises ConfigError where there is no such column as the groups' is to be.
    """
    others = dict.fromkeys(request.where, say("choice of rows"))
    if request.group_column is not None:
        require_columns("data.group_column", [request.group_column], columns)
        others[request.group_column] = say("group")
    others |= dict.fromkeys(getattr(task, "mark_columns", tuple)(), say("label"))
    usage = laid.usage(task, columns, others)
    said = (*notes, *guessed(task.options, task.column_names, task.columns))
    return replace(usage, notes=said)


def _sizes(rows: int, request: DataConfig, judging: str | None, validating: str | None) -> _Sizes:
    """How many of the `rows` of the split that is trained on are to be held out of it."""
    held_out = request.eval_samples or max(1, round(rows * request.eval_fraction))
    held_out = 0 if judging is not None else held_out
    wanted = request.validation_samples
    if wanted is None:
        wanted = validation_size(rows - held_out, request.train_samples)
    return _Sizes(held_out, 0 if validating is not None else wanted)


def _drawable(
    table: pa.Table, task: Task, request: DataConfig, spare: float | None, sizes: _Sizes
) -> npt.NDArray[np.int64] | None:
    """The rows of `table` that can be drawn for sides of these `sizes`; None: all can."""
    wanted, by_group = request.train_samples, request.group_column is not None
    if spare is None or wanted is None or table.num_rows <= LARGE or by_group:
        return None
    held_out = sizes.judging + sizes.validating
    if spare * (wanted + held_out) >= table.num_rows:
        return None
    texts = [as_series(table.column(name)) for name in task.text_columns()]
    drawn = Drawn(joined_texts(texts), strata(table, task))
    return drawable(drawn, round(spare * wanted), round(spare * held_out), request.split_seed)


def bind(tables: Mapping[str, pa.Table], task: Task, request: DataConfig) -> LaidOut:
    """`tables` (split → rows, the first trained on) as `task` knows them, bound to its columns.

    Raises ConfigError when there is no such layout, or a column isn't there.
    """
    laid = lay_out(tables, task, request.layout)
    train = next(iter(laid.tables.values()))
    named = task.options.model_dump().values()
    # A group that has a column of its own is neither text nor label, whatever it looks like.
    apart = {request.group_column} - {name for name in named if isinstance(name, str)}
    columns = [name for name in train.column_names if name not in apart]
    task.bind(task.find_columns(columns, train.slice(0, 100).to_pylist()))
    marked = {split: with_marked_labels(table, task) for split, table in laid.tables.items()}
    return replace(laid, tables=marked)


def load_dataset(
    request: DataConfig,
    task: Task,
    token: str | None = None,
    *,
    versions: Versions | None = None,
    tokens: ByTokenizer | None = None,
) -> Dataset:
    """Read what `request` names, find the task's columns, apply the rules, split, and fit the task.

    The same request and content give the same rows in the same order, anywhere.
    Raises DataError when the data can't be read or used, ConfigError when a field of the request or
    an option of the task names what isn't there.
    """
    source = read_data(request, token=token, versions=versions)
    for spare in SPARES:
        examination = examine(request, task, source, tokens=tokens, spare=spare)
        sides, report = hold_out(request, task, examination)
        if examination.sizes is None or len(sides.train) >= (request.train_samples or 0):
            break
    report.raise_failures()
    source, splits = examination.source, examination.splits
    tables = [
        examination.checked.tables[split].take(pa.array(rows))
        for split, rows in zip(splits, sides.rows, strict=True)
    ]
    train_rows, validation_rows, eval_rows = (table.to_pylist() for table in tables)
    task.fit(train_rows, [*validation_rows, *eval_rows])
    same = None if examination.eval_split else same_targets(tables[-1], task)
    return Dataset(
        source=source,
        train=train_rows,
        validation=validation_rows,
        evaluation=eval_rows,
        columns=examination.columns,
        report=report,
        held_out=examination.held_out(sides),
        groups=groups_of(source.tables[splits[-1]], tables[-1], request.group_column),
        validation_groups=groups_of(source.tables[splits[1]], tables[1], request.group_column),
        overlap=sides.overlap,
        notes=(*sides.notes, *([same] if same else [])),
        identity={
            "name": source.name,
            "hash": source.hash,
            "location": source.location,
            "rows": sum(table.num_rows for table in source.tables.values()),
            "columns": dict(examination.columns),
            "layout": examination.layout,
            "splits": {
                name: _side(split, table)
                for name, split, table in zip(SIDES, splits, tables, strict=True)
                if table.num_rows
            },
            "checks": report.totals(),
            "overlap": sides.overlap,
            "near_overlap": _near_overlap(examination, sides),
        },
    )


def hold_out(
    request: DataConfig, task: Task, examination: Examination
) -> tuple[Splits, CheckReport]:
    """The rows of all sides, and the report with the training rows that leak.

    Raises DataError when there are too few different texts for two sides.
    """
    checked = examination.checked
    name = examination.train_split
    action = request.validation_rules.actions["near_leakage"]
    findings = Findings()
    leaked = 0

    def leaking(held_out: np.ndarray) -> np.ndarray:
        nonlocal leaked
        numbers = checked.likeness.numbers[name]
        found = checked.likeness.near(numbers, numbers[held_out]) & ~held_out
        indices = np.flatnonzero(found)
        table = checked.tables[name]
        values = [shorten(text) for text in checked.texts[name].gather(indices).to_list()]
        rows = table.column(ROW).to_numpy()[indices]
        column = next(iter(task.text_columns()), "")
        findings.add(name, rows, column, "near_leakage", action, values, NEAR_LEAKAGE)
        leaked = len(indices) if action == "drop" else 0
        return found if action == "drop" else np.zeros_like(found)

    def drawn(split: str) -> Drawn:
        table = checked.tables[split]
        groups = groups_of(examination.source.tables[split], table, request.group_column)
        return Drawn(checked.texts[split], strata(table, task), groups)

    compared, sizes = name in checked.likeness.numbers, examination.sizes
    others = (examination.eval_split, examination.validation_split)
    sides = make_splits(
        drawn(name),
        *(None if split is None else drawn(split) for split in others),
        train_samples=request.train_samples,
        eval_samples=request.eval_samples if sizes is None else sizes.judging or None,
        validation_samples=request.validation_samples if sizes is None else sizes.validating,
        eval_fraction=request.eval_fraction,
        seed=request.split_seed,
        test_draw=request.test_draw,
        leaking=leaking if compared and action != "ignore" else None,
    )
    report = checked.report
    table = pl.concat([report.table, findings.table()])
    messages = {**report.messages, **findings.messages}
    rows_out = report.rows_out - leaked
    return sides, replace(report, table=table, rows_out=rows_out, messages=messages)


def _near_overlap(examination: Examination, sides: Splits) -> int:
    """Held-out rows that are nearly, and not equally, the text of a row that is trained on."""
    likeness, train = examination.checked.likeness, examination.train_split
    if train not in likeness.numbers:
        return 0
    judged = likeness.numbers[examination.eval_split or train][sides.evaluation]
    return int(likeness.near(judged, likeness.numbers[train][sides.train]).sum())


def _side(split: str, table: pa.Table) -> dict[str, Any]:
    """What is recorded of one side: the split it comes from, its rows and their hash."""
    return {"from": split, "rows": table.num_rows, "hash": content_hash(table)}
