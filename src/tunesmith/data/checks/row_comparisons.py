"""The rules that hold rows against each other: duplicates, contradictions, leakage, rare labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from tunesmith.data.checks import label_rules
from tunesmith.data.checks.examined import Examined
from tunesmith.data.checks.likeness import Likeness, compare, contradictions, repeats
from tunesmith.data.checks.personal import find_personal_data, find_secrets
from tunesmith.data.texts import as_series, is_chat
from tunesmith.tasks.base import Columns, Task
from tunesmith.tasks.values import canonical


class ComparisonRules(Protocol):
    """Bounds of what counts as nearly equal, and as balanced."""

    @property
    def near_duplicate_similarity(self) -> float: ...
    @property
    def max_imbalance_ratio(self) -> float: ...


@dataclass(frozen=True)
class Texts:
    """The texts of one split's rows."""

    asked: pl.Series
    """What the model reads; several columns with a line break between them."""
    written: pl.Series
    """The same and the answer."""


def row_texts_of(examined: Examined, task: Task, columns: Columns) -> Texts:
    """The texts of the rows under examination."""
    read = [examined.table.column(name) for name in task.text_columns(columns)]
    learned = [examined.table.column(name) for name in task.answer_columns(columns)]
    asked = joined([as_series(column) for column in read])
    if not learned and not any(is_chat(column.type) for column in read):
        return Texts(asked, asked)
    written = joined([as_series(column, answers=True) for column in (*read, *learned)])
    return Texts(asked, written)


def joined(parts: Sequence[pl.Series]) -> pl.Series:
    """The texts of several columns, row by row, a line break between them."""
    if len(parts) == 1:
        return parts[0]
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    return frame.select(pl.concat_str(pl.all(), separator="\n")).to_series()


def check_likeness(
    sides: Sequence[Examined],
    texts: Mapping[str, Texts],
    labels: Mapping[str, pl.Series],
    column: str,
    label: str | None,
    rules: ComparisonRules,
) -> Likeness:
    """Duplicates, contradictions and leakage; which rows have equal or nearly equal texts.

    `labels` are those of each split's rows, where `label` names their column.
    """
    actions = sides[0].actions
    nearly = {actions["near_duplicates"], actions["near_leakage"]} != {"ignore"}
    likeness = compare(
        {split: text.written for split, text in texts.items()},
        rules.near_duplicate_similarity if nearly else None,
    )
    conflicting: dict[str, set[int]] = {}
    if label is not None and actions["conflicting_labels"] != "ignore":
        conflicting = check_contradictions(sides, likeness, label, labels)
    for examined in sides:
        own = labels.get(examined.split)
        known = check_duplicates(examined, texts[examined.split], column, own)
        if nearly:
            known |= conflicting.get(examined.split, set())
            check_near_duplicates(examined, likeness, known, column)
    if len(sides) > 1:
        check_leakage(sides[0], sides[1], likeness, texts, column)
    return likeness


def check_duplicates(
    examined: Examined, texts: Texts, column: str, labels: pl.Series | None
) -> set[int]:
    """Rows that repeat an earlier one character for character, label or answer included.

    Returns their indices.
    """
    values = [texts.written] if labels is None else [texts.written, label_rules.as_text(labels)]
    again, first = repeats(values)
    rows = examined.rows
    earlier = dict(zip(again.tolist(), rows[first].tolist(), strict=True))
    what = "text and label" if labels is not None else "text"
    examined.note(
        "duplicates", again, column, lambda index: f"the same {what} as row {earlier[index]}"
    )
    return set(earlier)


MOST_NUMBERS = 2_000
"""Likely phone numbers that are looked at closely where nothing depends on it but a warning."""


def check_private(examined: Examined, written: pl.Series, column: str) -> list[str]:
    """Likely secrets and personal data; only enough of them is shown to find them.

    Returns what was not looked at, in words: of very many likely phone numbers, those after the
    first, where the rule only warns.
    """
    actions, notes = examined.actions, []
    if actions["secrets"] != "ignore":
        advice = "take the secret out, and change it where it is in use"
        _note_private(examined, "secrets", column, find_secrets(written), advice)
    if actions["personal_data"] != "ignore":
        most = MOST_NUMBERS if actions["personal_data"] == "warn" else None
        found, passed_over = find_personal_data(written, most)
        advice = "replace it, unless the model may learn it"
        _note_private(examined, "personal_data", column, found, advice)
        if passed_over:
            notes.append(
                f"phone numbers in {passed_over:,} texts of {examined.split} after the first "
                f"{MOST_NUMBERS:,} that may hold one (personal_data: drop looks at all)"
            )
    return notes


def _note_private(
    examined: Examined, rule: str, column: str, found: Mapping[int, str], advice: str
) -> None:
    indices = np.array(list(found), dtype=np.int64)
    examined.note(rule, indices, column, advice, list(found.values()))


def check_near_duplicates(
    examined: Examined, likeness: Likeness, repeated: set[int], column: str
) -> None:
    """Rows whose text is nearly an earlier row's; those `repeated` exactly are known already."""
    numbers = likeness.numbers[examined.split]
    rows = examined.rows
    advice = {}
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    earliest = first[inverse]
    for index in np.flatnonzero(earliest != np.arange(len(numbers))).tolist():
        advice[index] = f"the text of row {rows[earliest[index]]} but for capitals and spaces"
    later, earlier, similarity = likeness.nearest_earlier(examined.split)
    for index, other, alike in zip(
        later.tolist(), rows[earlier].tolist(), similarity.tolist(), strict=True
    ):
        advice[index] = f"{alike:.0%} of the words are those of row {other}"
    found = np.array(sorted(advice.keys() - repeated), dtype=np.int64)
    examined.note("near_duplicates", found, column, advice.__getitem__)


def check_contradictions(
    sides: Sequence[Examined], likeness: Likeness, column: str, labels: Mapping[str, pl.Series]
) -> dict[str, set[int]]:
    """Rows whose text stands elsewhere with another label. Split → their indices."""
    order = [examined.split for examined in sides]
    numbers = [likeness.numbers[split] for split in order]
    found = contradictions(numbers, [labels[split] for split in order])
    wrong = np.array(sorted(found), dtype=np.int64)
    indices = {}
    for examined, own in zip(sides, numbers, strict=True):
        broken = np.flatnonzero(np.isin(own, wrong))
        indices[examined.split] = set(broken.tolist())

        def advice(index: int, own: np.ndarray = own) -> str:
            return f"the same text stands with {found[int(own[index])]}: decide for one"

        examined.note("conflicting_labels", broken, column, advice)
    return indices


def check_leakage(
    train: Examined,
    evaluation: Examined,
    likeness: Likeness,
    texts: Mapping[str, Texts],
    column: str,
) -> None:
    """Training rows with equally or nearly the text of an evaluation row."""
    equal = likeness
    if texts[train.split].asked is not texts[train.split].written:
        # Another answer to the same question gives the question away too.
        equal = compare({split: text.asked for split, text in texts.items()}, None)
    leaking = np.isin(equal.numbers[train.split], equal.numbers[evaluation.split])
    near = likeness.near(likeness.numbers[train.split], likeness.numbers[evaluation.split])
    train.note("leakage", leaking, column, "the model is judged by this text: don't train on it")
    train.note("near_leakage", near & ~leaking, column, NEAR_LEAKAGE)


NEAR_LEAKAGE = "the model is judged by nearly this text, so its score flatters it"


def check_label_counts(
    sides: Sequence[Examined],
    column: str,
    labels: Mapping[str, pl.Series],
    rules: ComparisonRules,
) -> None:
    """Suspiciously rare labels, and labels out of balance."""
    counts = label_rules.count(list(labels.values()))
    rare = label_rules.rare(counts)
    for examined in sides:
        own = labels[examined.split]
        lists = own.to_list() if rare else []

        def advice(index: int, lists: list[list[str]] = lists) -> str:
            return next(rare[label] for label in lists[index] if label in rare)

        examined.note("rare_labels", label_rules.holding(own, list(rare)), column, advice)
    # Those of rare labels count too, unless they are left out: nothing is rarer than one row.
    leaves = sides[0].actions["rare_labels"] == "drop"
    left = {label: rows for label, rows in counts.items() if not (leaves and label in rare)}
    if len(left) < 2:
        return
    ratio = max(left.values()) / min(left.values())
    action = sides[0].actions["label_imbalance"]
    if ratio > rules.max_imbalance_ratio and action != "ignore":
        most, least = max(left, key=left.__getitem__), min(left, key=left.__getitem__)
        value = f"{left[most]:,} rows {canonical(most)!r}, {left[least]:,} rows {least!r}"
        remedy = (
            f"{ratio:,.1f} to 1, more than {rules.max_imbalance_ratio:g} to 1: give more rows "
            "of the rare label, or set task.class_weights: balanced"
        )
        sides[0].findings.add(
            sides[0].split, [None], column, "label_imbalance", action, [value], remedy
        )
