"""Rules over rows: what breaks one is dropped, mended, reported or refused, as its action says.

First each row by itself (`row_checks`), then the rows that are left against each other
(`row_comparisons`), then what only the model's tokenizer can tell. The order within a pass doesn't
matter: a row that breaks several rules of it has a finding for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tunesmith.data.checks import label_rules, row_checks, row_comparisons
from tunesmith.data.checks.examined import Examined
from tunesmith.data.checks.likeness import NO_PAIRS, Likeness
from tunesmith.data.checks.report import Action, CheckReport, Findings
from tunesmith.data.reading.rows import Unreadable
from tunesmith.errors import DataError
from tunesmith.tasks.base import Columns, Row, Task

TOKEN_ROWS = 2_000


@dataclass(frozen=True)
class ByTokenizer:
    """What only the model's tokenizer tells of rows, given the roles of their columns."""

    count: Callable[[Sequence[Row], Columns], list[int]]
    """The tokens that each has before any cut."""
    control: Callable[[Sequence[Row], Columns], list[str | None]]
    """The first control token of the chat format that each holds as text."""


class Rules(row_checks.LengthRules, row_comparisons.ComparisonRules, Protocol):
    """The rules that rows must keep: bounds, and what happens to rows that break one."""

    @property
    def actions(self) -> Mapping[str, Action]: ...


@dataclass(frozen=True)
class Checked:
    """The rows that are left, and what was found."""

    tables: dict[str, pa.Table]
    """Split → rows, mended, chats in one form."""
    texts: dict[str, pl.Series]
    """Split → what the model reads of each row."""
    likeness: Likeness
    report: CheckReport


def check_tables(
    tables: Mapping[str, pa.Table],
    columns: Columns,
    task: Task,
    rules: Rules,
    *,
    unreadable: Mapping[str, Sequence[Unreadable]] | None = None,
    tokens: ByTokenizer | None = None,
    max_length: int | None = None,
    compare: bool = True,
) -> Checked:
    """Hold the rows of every split against `rules`; the first split is trained on.

    Without `tokens` or `compare` the rules that need it are left out, with a note.
    Raises DataError when a column isn't there or no row is left. What breaks a rule whose action is
    `fail` is only reported.
    """
    findings, actions = Findings(), rules.actions
    sides = [Examined(split, table, actions, findings) for split, table in tables.items()]
    lost = _note_unreadable(unreadable or {}, sides, findings)
    rows_in = sum(table.num_rows for table in tables.values()) + lost
    for examined in sides:
        _check_rows(examined, columns, task, rules)
    notes: list[str] = []
    _require_rows(sides, rows_in, findings)
    likeness, texts, labels = _check_together(sides, columns, task, rules, notes, compare=compare)
    _require_rows(sides, rows_in, findings)
    if not compare:
        notes.append(
            "duplicates, conflicting_labels, leakage and the like (tunesmith data check does)"
        )
    if tokens is not None and max_length is not None:
        kept = [_check_tokens(examined, columns, task, tokens, max_length) for examined in sides]
        masks = dict(zip(tables, kept, strict=True))
        likeness = likeness.keep(masks)
        texts = {split: series.filter(masks[split]) for split, series in texts.items()}
        labels = {split: series.filter(masks[split]) for split, series in labels.items()}
        _require_rows(sides, rows_in, findings)
    elif skipped := [rule for rule in task.token_rules if actions[rule] != "ignore"]:
        notes.append(f"{', '.join(skipped)} (needs the model's tokenizer)")
    report = CheckReport(
        rows_in=rows_in,
        rows_out=sum(examined.table.num_rows for examined in sides),
        table=findings.table(),
        label_counts=label_rules.count(list(labels.values())) if labels else {},
        max_imbalance_ratio=rules.max_imbalance_ratio,
        notes=tuple(notes),
    )
    return Checked({e.split: e.table for e in sides}, texts, likeness, report)


def _note_unreadable(
    unreadable: Mapping[str, Sequence[Unreadable]], sides: Sequence[Examined], findings: Findings
) -> int:
    """Note the lines that could not be read; how many they were."""
    lost = 0
    for examined in sides:
        broken = unreadable.get(examined.split, ())
        lost += len(broken)
        findings.add(
            examined.split,
            [line.line for line in broken],
            "",
            "unreadable_rows",
            examined.actions["unreadable_rows"],
            [line.text for line in broken],
            [f"line {line.line}: {line.reason}" for line in broken],
        )
    return lost


def _check_rows(examined: Examined, columns: Columns, task: Task, rules: Rules) -> None:
    """The rules for each row by itself; rows that are dropped are gone afterwards."""
    row_checks.check_form(examined, columns, task)
    asked = task.text_columns(columns)
    if not task.points_into_text:
        row_checks.mend_texts(examined, asked, [*asked, *task.answer_columns(columns)])
    row_checks.check_texts(examined, asked, rules)
    label = task.label_column(columns)
    if label is not None:
        given = examined.table.column(label).to_pylist()
        parsed = [task.parse_label(value) for value in given]
        if parsed != given:
            examined.replace(label, pa.chunked_array([pa.array(parsed)]))
        labels = label_rules.row_labels(examined.table.column(label))
        row_checks.check_labels(examined, label, task.labels_wanted(), labels)
    examined.settle()


def _check_together(
    sides: Sequence[Examined],
    columns: Columns,
    task: Task,
    rules: Rules,
    notes: list[str],
    *,
    compare: bool,
) -> tuple[Likeness, dict[str, pl.Series], dict[str, pl.Series]]:
    """The rules over all rows: the likeness, texts and labels of those left.

    Without `compare` no row's text is held against another's. What is not looked at goes to
    `notes`.
    """
    label = task.label_column(columns)
    column = (task.text_columns(columns) or list(columns.values()))[0]
    texts = {e.split: row_comparisons.row_texts_of(e, task, columns) for e in sides}
    labels = {}
    if label is not None:
        labels = {e.split: label_rules.row_labels(e.table.column(label)) for e in sides}
        row_comparisons.check_label_counts(sides, label, labels, rules)
    for examined in sides:
        notes += row_comparisons.check_private(examined, texts[examined.split].written, column)
    likeness = Likeness({}, NO_PAIRS)
    if compare:
        likeness = row_comparisons.check_likeness(sides, texts, labels, column, label, rules)
    alive = {examined.split: examined.alive for examined in sides}
    for examined in sides:
        examined.settle()
    return (
        likeness.keep(alive),
        {split: text.asked.filter(alive[split]) for split, text in texts.items()},
        {split: own.filter(alive[split]) for split, own in labels.items()},
    )


def _check_tokens(
    examined: Examined, columns: Columns, task: Task, tokens: ByTokenizer, max_length: int
) -> npt.NDArray[np.bool_]:
    """Note the rows with more than `max_length` tokens, and those with control tokens in them.

    Returns which rows are left after it.
    """
    rules = [rule for rule in task.token_rules if examined.actions[rule] != "ignore"]
    counts: list[int] = []
    control: list[str | None] = []
    names = task.read_columns(columns)
    for batch in examined.table.select(names).to_batches(max_chunksize=TOKEN_ROWS):
        rows = batch.to_pylist()
        if {"cut_texts", "cut_answers"} & set(rules):
            counts += tokens.count(rows, columns)
        if "control_tokens" in rules:
            control += tokens.control(rows, columns)
    column = (task.text_columns(columns) or names)[0]
    if counts:
        _note_cut(examined, rules[0], column, counts, max_length)
    examined.note(
        "control_tokens",
        np.flatnonzero([found is not None for found in control]),
        column,
        lambda index: (
            f"holds {control[index]}, a control token of the model, which is read as plain text: "
            "take it out, and where the data are in a chat format already, give turns instead"
        ),
    )
    alive = examined.alive
    examined.settle()
    return alive


def _note_cut(
    examined: Examined, rule: str, column: str, counts: Sequence[int], max_length: int
) -> None:
    """Note the rows of which the model sees a part: the text's begin, or no end of the answer."""
    long = np.array(counts, dtype=np.int64) > max_length
    share = long.mean() if len(long) else 0.0
    longest = max(counts)

    def advice(index: int) -> str:
        seen = f"{counts[index]:,} tokens, of which the model sees {max_length:,}"
        if rule == "cut_texts":
            return (
                f"{seen} ({share:.1%} of the rows are cut): raise data.max_length, or shorten the "
                "text"
            )
        return (
            f"{seen}: the answer loses its end ({share:.1%} of the rows do), from which no model "
            f"learns to stop; set data.max_length={longest}, or drop such rows"
        )

    examined.note(rule, long, column, advice)


def _require_rows(sides: Sequence[Examined], rows_in: int, findings: Findings) -> None:
    """Raises DataError when a split has no row left."""
    for examined in sides:
        if examined.table.num_rows == 0:
            left = sum(other.table.num_rows for other in sides)
            report = CheckReport(rows_in, left, findings.table())
            of = f" of {examined.split}" if len(sides) > 1 else ""
            raise DataError(
                f"no row{of} is left after data.validation_rules:\n{report.summary()}\n"
                "Loosen the rules, or name the right columns"
            )
