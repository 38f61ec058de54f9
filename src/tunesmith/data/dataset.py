"""From a source to the rows that train and the rows that judge: read, filter, check, split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pyarrow as pa

from tunesmith.data.checks import CheckReport, Rules, apply_rules, drop_labels, keep_where
from tunesmith.data.content import content_hash
from tunesmith.data.sources import Source, read_source
from tunesmith.data.splits import make_splits
from tunesmith.errors import ConfigError, DataError, Problem, nearest
from tunesmith.tasks.base import Columns, Row, Task

EVALUATION_SPLITS = ("validation", "valid", "dev", "eval", "test")
"""Splits that are taken for evaluation where none is named: the first that is there."""


class LabelRules(Rules, Protocol):
    """The rules for texts, and what to do with labels that aren't wanted."""

    @property
    def unknown_labels(self) -> Literal["fail", "drop"]: ...


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
    def validation_rules(self) -> LabelRules: ...


@dataclass(frozen=True)
class Dataset:
    """Rows to train on and rows to judge by, and where they come from."""

    name: str
    hash: str
    """Content hash of all rows of the source that were asked for, before checks and splits."""
    train: list[Row]
    evaluation: list[Row]
    columns: Columns
    report: CheckReport
    identity: dict[str, Any]
    """What the experiment records: location, rows and hash of each side."""
    commit: str | None = None
    """The hub's commit, where the data come from there."""
    overlap: int = 0
    """Held-out rows whose text is trained on too: 0 unless the source has such splits itself."""
    notes: tuple[str, ...] = ()


def load_dataset(request: DataRequest, task: Task, token: str | None = None) -> Dataset:
    """Read what `request` names, find the task's columns, apply the rules, split, and fit the task.

    The same request and content give the same rows in the same order, anywhere.
    Raises DataError when the data can't be read or used, ConfigError when a field of the request or
    an option of the task names what isn't there.
    """
    source = read_source(
        request.dataset_name, request.dataset_config, revision=request.revision, token=token
    )
    train_name, eval_name = _choose_splits(request, source)
    train = keep_where(_named_labels(source, train_name), request.where)
    columns = task.columns(train.column_names, train.slice(0, 100).to_pylist())
    train, report = _checked(train, columns, task, request.validation_rules)
    evaluation = None
    if eval_name is not None:
        evaluation = keep_where(_named_labels(source, eval_name), request.where)
        evaluation, later = _checked(evaluation, columns, task, request.validation_rules)
        report = _together(report, later)
    sides = make_splits(
        train,
        evaluation,
        key=lambda row: task.key(row, columns),
        stratum=lambda row: task.stratum(row, columns),
        train_samples=request.train_samples,
        eval_samples=request.eval_samples,
        eval_fraction=request.eval_fraction,
        seed=request.split_seed,
    )
    train_rows, eval_rows = sides.train.to_pylist(), sides.evaluation.to_pylist()
    task.fit(train_rows, eval_rows, columns)
    used = [source.tables[name] for name in (train_name, eval_name) if name is not None]
    whole = _hash_of(used)
    return Dataset(
        name=request.dataset_name,
        hash=whole,
        train=train_rows,
        evaluation=eval_rows,
        columns=columns,
        report=report,
        commit=source.location.partition("@")[2] or None if source.kind == "hub" else None,
        overlap=sides.overlap,
        notes=sides.notes,
        identity={
            "name": request.dataset_name,
            "hash": whole,
            "location": source.location,
            "rows": sum(table.num_rows for table in used),
            "columns": dict(columns),
            "splits": {
                "train": _side(train_name, sides.train),
                "evaluation": _side(eval_name or train_name, sides.evaluation),
            },
            "checks": report.totals(),
            "overlap": sides.overlap,
        },
    )


def _side(split: str, table: pa.Table) -> dict[str, Any]:
    """What is recorded of one side: the split it comes from, its rows and their hash."""
    return {"from": split, "rows": table.num_rows, "hash": content_hash(table)}


def _together(first: CheckReport, second: CheckReport) -> CheckReport:
    """The reports on two tables as one."""
    return CheckReport(
        first.rows_in + second.rows_in,
        first.rows_out + second.rows_out,
        first.findings + second.findings,
    )


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


def _named_labels(source: Source, split: str) -> pa.Table:
    """The split's rows, class numbers as class names; the hub's -1 (hidden label) as missing."""
    table = source.tables[split]
    for column, names in source.label_names.items():
        if column in table.column_names:
            numbers = table.column(column).to_pylist()
            labels = [_named(number, names) for number in numbers]
            index = table.column_names.index(column)
            table = table.set_column(index, column, pa.array(labels))
    return table


def _named(value: Any, names: Sequence[str]) -> Any:
    """The class name of a number, or of each number of a list; None for a hidden label."""
    if isinstance(value, list):
        return [_named(number, names) for number in value]
    return names[value] if value is not None and 0 <= value < len(names) else None


def _checked(
    table: pa.Table, columns: Columns, task: Task, rules: LabelRules
) -> tuple[pa.Table, CheckReport]:
    if table.num_rows == 0:
        raise DataError("the data have no rows.")
    kept, report = apply_rules(table, task.text_columns(columns), rules)
    label = task.label_column(columns)
    if label is not None:
        given = kept.column(label).to_pylist()
        parsed = [task.parse_label(value) for value in given]
        if parsed != given:
            kept = kept.set_column(kept.column_names.index(label), label, pa.array(parsed))
        kept, later = drop_labels(kept, label, task.labels_wanted(), rules.unknown_labels)
        report = report.then(later)
    return kept, report


def _hash_of(tables: Sequence[pa.Table]) -> str:
    """The content hash of a dataset: of its only table, or of the hashes of its tables in order."""
    hashes = [content_hash(table) for table in tables]
    if len(hashes) == 1:
        return hashes[0]
    return f"sha256:{hashlib.sha256(' '.join(hashes).encode()).hexdigest()}"
