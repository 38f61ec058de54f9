"""Rules over rows: what breaks one is dropped, mended, reported or refused, as its action says.

First each row by itself, then the rows that are left against each other, then what only the model's
tokenizer can tell. The order within a pass doesn't matter: a row that breaks several rules of it
has a finding for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa

from tunesmith.config.rules import RULES, ValidationRules
from tunesmith.data.checking import label_rules, label_variants
from tunesmith.data.checking.across_splits import Together
from tunesmith.data.checking.examined import Examined, Integers, Mask
from tunesmith.data.checking.form import check_form, find_form
from tunesmith.data.checking.likeness import NO_PAIRS, Likeness
from tunesmith.data.checking.report import CheckReport, Findings, NoRowsError
from tunesmith.data.checking.rule import Rule
from tunesmith.data.checking.tokens import ByTokenizer, Counted
from tunesmith.data.layouts.laying import Excluded
from tunesmith.data.layouts.usage import Usage
from tunesmith.data.reading.rows import Unreadable
from tunesmith.messages import Message, say
from tunesmith.progress import doing
from tunesmith.tasks.base import Task
from tunesmith.tasks.forms import AnswerForm


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
    task: Task,
    rules: ValidationRules,
    *,
    unreadable: Mapping[str, Sequence[Unreadable]] | None = None,
    excluded: Mapping[str, Sequence[Excluded]] | None = None,
    odd: Mapping[str, Mapping[str, Mapping[int, str]]] | None = None,
    usage: Usage | None = None,
    reading: Sequence[Message] = (),
    tokens: ByTokenizer | None = None,
    max_length: int | None = None,
    compare: bool = True,
    tokenized: Callable[[pa.Table], Integers | None] = lambda table: None,
) -> Checked:
    """Hold the rows of every split against `rules`; the first split is trained on.

    `tokenized` gives the rows of that split that the tokenizer is to look at; None: all. Without
    `tokens` or `compare` the rules that need it are left out, with a note.
    Raises DataError when a column isn't there, NoRowsError when no row is left. What breaks a rule
    whose action is `fail` is only reported.
    """
    findings, actions, usage = Findings(), rules.actions_for(task), usage or Usage()
    sides = [Examined(split, table, task, rules, findings) for split, table in tables.items()]
    lost = _note_lost("unreadable_rows", unreadable or {}, sides, findings, _unreadable)
    lost += _note_lost("marked_rows", excluded or {}, sides, findings, _marked)
    rows_in = sum(table.num_rows for table in tables.values()) + lost
    require_rows = partial(_require_rows, sides, rows_in, findings, usage, reading)
    require_rows()
    doing(say("checking {n:,} rows", n=rows_in))
    form = find_form(sides)
    for examined in sides:
        _note_odd((odd or {}).get(examined.split, {}), examined, usage)
        _check_rows(examined, form)
    notes: list[str] = []
    require_rows()
    likeness, texts, labels = _check_together(sides, notes, compare=compare)
    require_rows()
    if tokens is not None and max_length is not None:
        if (drawn := tokenized(sides[0].table)) is not None:
            notes.append(_tokenized_alone(sides[0], len(drawn), actions))
        masks = _check_all_tokens(sides, drawn, tokens, max_length)
        likeness = likeness.keep(masks)
        texts = {split: series.filter(masks[split]) for split, series in texts.items()}
        labels = {split: series.filter(masks[split]) for split, series in labels.items()}
        require_rows()
    elif skipped := [rule for rule in task.token_rules if actions[rule] != "ignore"]:
        notes.append(say("{names} (needs the model's tokenizer)", names=list(skipped)))
    report = CheckReport(
        rows_in=rows_in,
        rows_out=sum(examined.table.num_rows for examined in sides),
        table=findings.table(),
        label_counts=label_rules.count(list(labels.values())),
        max_imbalance_ratio=rules.max_imbalance_ratio,
        notes=tuple(notes),
        messages=findings.messages,
        usage=replace(usage, forms=(*usage.forms, *(form.notes if form else ()))),
        reading=reading,
    )
    return Checked({e.split: e.table for e in sides}, texts, likeness, report)


def _note_lost(
    rule: str,
    lost: Mapping[str, Sequence[Any]],
    sides: Sequence[Examined],
    findings: Findings,
    said: Callable[[Any], tuple[int, str, str]],
) -> int:
    """Note the rows that are gone before any rule looks, each with its number, its value and why,
    as `said` gives them; how many they are."""
    for examined in sides:
        found = [said(each) for each in lost.get(examined.split, ())]
        rows, values = [row for row, _, _ in found], [value for _, value, _ in found]
        advice = [why for _, _, why in found]
        findings.add(examined.split, rows, "", rule, examined.actions[rule], values, advice)
    return sum(len(lost.get(examined.split, ())) for examined in sides)


def _unreadable(line: Unreadable) -> tuple[int, str, str]:
    return line.line, line.text, say("line {line}: {reason}", line=line.line, reason=line.reason)


def _marked(row: Excluded) -> tuple[int, str, str]:
    return row.row, row.value, row.reason


def _note_odd(odd: Mapping[str, Mapping[int, str]], rows: Examined, usage: Usage) -> None:
    """Note the rows whose value in a column that is used is of another type than most there.

    What a label is, whatever its type, its own rules say; an object is none.
    """
    for column, kinds in odd.items():
        if column not in usage.uses:
            continue
        if column == rows.label:
            kinds = {row: kind for row, kind in kinds.items() if kind == say("an object")}
        found = np.flatnonzero(np.isin(rows.rows, list(kinds)))
        said = [kinds[number] for number in rows.rows[found].tolist()]
        values = None if column in rows.table.column_names else said
        advice = dict(zip(found.tolist(), said, strict=True))
        rows.note(
            "unreadable_rows",
            found,
            column,
            lambda index, advice=advice: say(  # type: ignore[misc]
                "is {kind}, which most values of this column are not: write it as they are",
                kind=advice[index],
            ),
            values,
        )
    rows.settle()


def _asked(rows: Examined) -> Iterator[Rule]:
    """The rules that are looked at."""
    for name, kind in RULES.items():
        if rows.actions[name] != "ignore":
            yield cast("type[Rule]", kind)()


def _check_rows(rows: Examined, form: AnswerForm | None) -> None:
    """The rules for each row by itself; rows that are dropped are gone afterwards."""
    check_form(rows, form)
    if not rows.task.points_into_text:
        for rule in _asked(rows):
            rule.mend(rows)
    if rows.label is not None:
        rows.read_labels()
    for rule in _asked(rows):
        rule.check(rows)
    rows.settle()


def _check_together(
    sides: Sequence[Examined], notes: list[str], *, compare: bool
) -> tuple[Likeness, dict[str, pl.Series], dict[str, pl.Series]]:
    """The rules over all rows: the likeness, texts and labels of those left.

    Without `compare` no row's text is held against another's. What is not looked at goes to
    `notes`.
    """
    first = sides[0]
    if first.label is not None:
        label_variants.join(sides)
    data = Together(sides, (first.asked or list(first.task.columns.values()))[0], notes)
    for rule in _asked(first):
        if compare or not rule.compares:
            rule.check_together(data)
    likeness = data.likeness if compare else Likeness({}, NO_PAIRS)
    texts, labels = data.texts, data.labels
    alive = {rows.split: rows.alive for rows in sides}
    for rows in sides:
        rows.settle()
    if not compare:
        notes.append(
            say("duplicates, conflicting_labels, leakage and the like (tunesmith data check does)")
        )
    return (
        likeness.keep(alive),
        {split: text.asked.filter(alive[split]) for split, text in texts.items()},
        {split: own.filter(alive[split]) for split, own in labels.items()},
    )


def _check_all_tokens(
    sides: Sequence[Examined], drawn: Integers | None, tokens: ByTokenizer, max_length: int
) -> dict[str, Mask]:
    """Split → which rows are left by the rules for tokens; of the first, those `drawn` alone."""
    parts = [drawn, *(None for _ in sides[1:])]
    return {
        side.split: _check_tokens(side, part, tokens, max_length)
        for side, part in zip(sides, parts, strict=True)
    }


def _check_tokens(
    rows: Examined, part: Integers | None, tokens: ByTokenizer, max_length: int
) -> Mask:
    """The rules that the task has for texts as the tokenizer reads them, over all rows or a `part`
    of them; which rows are left."""
    looked = rows if part is None else rows.part(part)
    counted = Counted(looked, tokens, max_length)
    for rule in _asked(looked):
        if rule.name in looked.task.token_rules:
            rule.check_tokens(looked, counted)
    if part is not None:
        rows.alive[part] = looked.alive
    alive = rows.alive
    rows.settle()
    return alive


def _tokenized_alone(rows: Examined, n: int, actions: Mapping[str, str]) -> Message:
    """That the tokenizer looked at `n` of the rows alone."""
    return say(
        "{names} in all rows but {n:,} of {total:,}, those that data.train_samples can draw",
        names=[rule for rule in rows.task.token_rules if actions[rule] != "ignore"],
        n=n,
        total=rows.table.num_rows,
    )


def _require_rows(
    sides: Sequence[Examined],
    rows_in: int,
    findings: Findings,
    usage: Usage,
    reading: Sequence[Message],
) -> None:
    """Raises NoRowsError when a split has no row left."""
    for examined in sides:
        if examined.table.num_rows == 0:
            left = sum(other.table.num_rows for other in sides)
            table, messages = findings.table(), findings.messages
            report = CheckReport(
                rows_in, left, table, messages=messages, usage=usage, reading=reading
            )
            of = say(" of {split}", split=examined.split) if len(sides) > 1 else ""
            raise NoRowsError(of, report)
