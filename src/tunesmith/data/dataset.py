"""From a source to the rows that train and the rows that judge: read, filter, check, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.data.checks.label_rules import as_text, row_labels
from tunesmith.data.checks.report import CheckReport, Findings
from tunesmith.data.checks.row_comparisons import NEAR_LEAKAGE
from tunesmith.data.checks.tables import ByTokenizer, Checked, Rules, check_tables
from tunesmith.data.content import content_hash
from tunesmith.data.filtering import keep_where
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import Source, read_source
from tunesmith.data.splits import Drawn, Splits, make_splits
from tunesmith.data.versions.store import Versions
from tunesmith.errors import ConfigError, DataError, Problem, nearest, shorten
from tunesmith.tasks.base import Columns, Row, Task

EVALUATION_SPLITS = ("validation", "valid", "dev", "eval", "test")
"""Splits that are taken for evaluation where none is named: the first that is there."""


class DataRequest(Protocol):
    """What is asked of the data: the `data` section of a configuration."""

    @property
    def dataset_name(self) -> str: ...
    @property
    def dataset_config(self) -> str | None: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def train_split(self) -> str | None: ...
    @property
    def eval_split(self) -> str | None: ...
    @property
    def where(self) -> Mapping[str, Sequence[Any]]: ...
    @property
    def train_samples(self) -> int | None: ...
    @property
    def eval_samples(self) -> int | None: ...
    @property
    def eval_fraction(self) -> float: ...
    @property
    def split_seed(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def validation_rules(self) -> Rules: ...


@dataclass(frozen=True)
class Dataset:
    """Rows to train on and rows to judge by, and where they come from."""

    source: Source
    train: list[Row]
    evaluation: list[Row]
    columns: Columns
    report: CheckReport
    identity: dict[str, Any]
    """What the experiment records: name, hash, location, rows and hash of each side."""
    held_out: tuple[str, npt.NDArray[np.int64] | None]
    """The split that is trained on, and the numbers of the rows held out of it; None where the
    source has a split for evaluation."""
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

    @property
    def commit(self) -> str | None:
        """The hub's commit, where the data come from there."""
        if self.source.kind != "hub":
            return None
        return self.source.location.partition("@")[2] or None


@dataclass(frozen=True)
class Examination:
    """A source as it was checked, before anything is held out."""

    source: Source
    columns: Columns
    checked: Checked
    train_split: str
    eval_split: str | None

    def held_out(self, sides: Splits) -> tuple[str, npt.NDArray[np.int64] | None]:
        """The split that is trained on, and the numbers of the rows held out of it, if any."""
        if self.eval_split is not None:
            return self.train_split, None
        numbers = self.checked.tables[self.train_split].column(ROW).to_numpy()
        return self.train_split, np.asarray(numbers[sides.evaluation], dtype=np.int64)


def examine(
    request: DataRequest,
    task: Task,
    source: Source,
    *,
    tokens: ByTokenizer | None = None,
    compare: bool = True,
) -> Examination:
    """Choose the splits, filter, find the task's columns, and hold every row against the rules.

    Raises DataError when the data can't be used, ConfigError when a field of the request or an
    option of the task names what isn't there. Rules whose action is `fail` are only reported.
    """
    train_name, eval_name = _choose_splits(request, source)
    names = [train_name] if eval_name is None else [train_name, eval_name]
    tables = {name: keep_where(source.tables[name], request.where) for name in names}
    train = tables[train_name]
    if not train.num_rows:
        raise DataError("the data have no rows.")
    columns = task.columns(train.column_names, train.slice(0, 100).to_pylist())
    checked = check_tables(
        tables,
        columns,
        task,
        request.validation_rules,
        unreadable=source.unreadable,
        tokens=tokens,
        max_length=request.max_length,
        compare=compare,
    )
    return Examination(source, columns, checked, train_name, eval_name)


def load_dataset(
    request: DataRequest,
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
    source = read_source(
        request.dataset_name,
        request.dataset_config,
        revision=request.revision,
        token=token,
        versions=versions,
    )
    examination = examine(request, task, source, tokens=tokens)
    sides, report = hold_out(request, task, examination)
    report.raise_failures()
    train, evaluation = sides.train, sides.evaluation
    tables = examination.checked.tables
    train_table = tables[examination.train_split].take(pa.array(train))
    eval_split = examination.eval_split or examination.train_split
    eval_table = tables[eval_split].take(pa.array(evaluation))
    train_rows, eval_rows = train_table.to_pylist(), eval_table.to_pylist()
    task.fit(train_rows, eval_rows, examination.columns)
    return Dataset(
        source=source,
        train=train_rows,
        evaluation=eval_rows,
        columns=examination.columns,
        report=report,
        held_out=examination.held_out(sides),
        overlap=sides.overlap,
        notes=sides.notes,
        identity={
            "name": source.name,
            "hash": source.hash,
            "location": source.location,
            "rows": sum(table.num_rows for table in source.tables.values()),
            "columns": dict(examination.columns),
            "splits": {
                "train": _side(examination.train_split, train_table),
                "evaluation": _side(eval_split, eval_table),
            },
            "checks": report.totals(),
            "overlap": sides.overlap,
            "near_overlap": _near_overlap(examination, sides),
        },
    )


def hold_out(
    request: DataRequest, task: Task, examination: Examination
) -> tuple[Splits, CheckReport]:
    """The rows of both sides, and the report with the training rows that leak.

    Raises DataError when there are too few different texts for two sides.
    """
    checked, columns = examination.checked, examination.columns
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
        column = next(iter(task.text_columns(columns)), "")
        findings.add(name, rows, column, "near_leakage", action, values, NEAR_LEAKAGE)
        leaked = len(indices) if action == "drop" else 0
        return found if action == "drop" else np.zeros_like(found)

    def drawn(split: str) -> Drawn:
        return Drawn(checked.texts[split], _strata(checked.tables[split], task, columns))

    compared = name in checked.likeness.numbers
    sides = make_splits(
        drawn(name),
        None if examination.eval_split is None else drawn(examination.eval_split),
        train_samples=request.train_samples,
        eval_samples=request.eval_samples,
        eval_fraction=request.eval_fraction,
        seed=request.split_seed,
        leaking=leaking if compared and action != "ignore" else None,
    )
    report = checked.report
    table = pl.concat([report.table, findings.table()])
    return sides, replace(report, table=table, rows_out=report.rows_out - leaked)


def _near_overlap(examination: Examination, sides: Splits) -> int:
    """Held-out rows that are nearly, and not equally, the text of a row that is trained on."""
    likeness, train = examination.checked.likeness, examination.train_split
    if train not in likeness.numbers:
        return 0
    judged = likeness.numbers[examination.eval_split or train][sides.evaluation]
    return int(likeness.near(judged, likeness.numbers[train][sides.train]).sum())


def _strata(table: pa.Table, task: Task, columns: Columns) -> list[str]:
    """The group of each row whose share a split keeps equal on both sides."""
    label = task.label_column(columns)
    if label is not None:
        return list(as_text(row_labels(table.column(label))))
    answers = task.answer_columns(columns)
    if not answers:
        return [""] * table.num_rows
    return [task.stratum(row, columns) for row in table.select(answers).to_pylist()]


def _side(split: str, table: pa.Table) -> dict[str, Any]:
    """What is recorded of one side: the split it comes from, its rows and their hash."""
    return {"from": split, "rows": table.num_rows, "hash": content_hash(table)}


def _choose_splits(request: DataRequest, source: Source) -> tuple[str, str | None]:
    """The names of the split to train on and of the one to evaluate on, if the source has one."""
    names = list(source.tables)
    problems = []
    for field, wanted in (("train_split", request.train_split), ("eval_split", request.eval_split)):
        if wanted is not None and wanted not in names:
            problems.append(
                Problem(
                    f"data.{field}",
                    "no such split",
                    wanted,
                    ", ".join(names),
                    nearest(wanted, names),
                )
            )
    if problems:
        raise ConfigError(problems)
    train = request.train_split or ("train" if "train" in names else names[0])
    if request.train_split is None and "train" not in names and len(names) > 1:
        raise ConfigError(
            [
                Problem(
                    "data.train_split",
                    "there is no split called train: name one",
                    accepted=", ".join(names),
                )
            ]
        )
    if request.eval_split is not None:
        return train, request.eval_split
    return train, next(
        (name for name in EVALUATION_SPLITS if name in names and name != train), None
    )
