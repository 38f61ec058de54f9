"""The rows that train, validate and test: repeatable, stratified, with no text on two sides.

Which side a text goes to is decided by the order of a hash of the seed and the text. So the order
of the rows doesn't matter, and rows added later move few others. The test side takes texts from the
low end of that order, validation the next ones, and training takes them from the high end: asking
for more rows to judge by doesn't change which training rows a sample takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunesmith.data.drawing import (
    Drawn,
    Integers,
    Mask,
    Rows,
    commonest_stratum,
    draw,
    rows_of,
    sample,
    strata_of,
)
from tunesmith.errors import ConfigError, DataError, Problem
from tunesmith.messages import say, say_plural

VALIDATION_SHARE = 0.1
"""Share of the rows which the test side leaves that validates, where nothing says how many do."""

LEAST_VALIDATION, MOST_VALIDATION = 30, 500
"""Rows between which that lies: fewer pick a checkpoint by chance, and more cost time."""

MOST_OF_TRAINING = 0.15
"""Largest share of the rows that could train which is taken from them to validate."""


@dataclass(frozen=True)
class Splits:
    """The three sides, as indices of rows in their tables, ascending."""

    train: Integers
    validation: Integers
    """None where there are too few rows for a side of their own."""
    evaluation: Integers
    """The test side."""
    overlap: int
    """Texts that stand on both sides; 0 unless the evaluation rows came as a table of their own."""
    notes: tuple[str, ...] = ()
    """Where less was there than was asked for: one sentence each, for people."""

    @property
    def rows(self) -> tuple[Integers, Integers, Integers]:
        """The rows of all sides: of training, validation and the test."""
        return self.train, self.validation, self.evaluation


def make_splits(
    train: Drawn,
    evaluation: Drawn | None,
    validation: Drawn | None = None,
    *,
    train_samples: int | None,
    eval_samples: int | None,
    eval_fraction: float,
    seed: int,
    validation_samples: int | None = None,
    test_draw: int = 0,
    leaking: Callable[[Mask], Mask] | None = None,
) -> Splits:
    """Choose the rows to train on, to validate and to test by.

    Without `evaluation`, `eval_samples` rows are held out, or `eval_fraction` of all; with it,
    `eval_samples` of its rows are taken, or all; `test_draw` counts the times before that rows were
    held out, and none of these is held out again. Then `validation_samples` rows are taken of
    `validation`, or held out (None: as `validation_size` says). `train_samples` of the remaining
    rows are trained on, or all. `leaking` gets the rows held out, and says which rows must then not
    be trained on. Asking for more than there is takes what there is, with a note.

    Raises DataError when there are too few different texts for two sides.
    """
    rows = Rows(train, seed)
    notes: list[str] = []
    nobody, others = np.zeros(len(rows), dtype=bool), None
    if evaluation is None:
        judging = _hold_out(rows, eval_samples, eval_fraction, test_draw, notes)
        asked, free = np.flatnonzero(judging), ~judging
    else:
        others = Rows(evaluation, seed)
        if not len(rows) or not len(others):
            raise DataError(
                "there is no row for {kind}",
                kind=say("evaluation") if len(rows) else say("training"),
            )
        judging, free = nobody, _apart(rows, others, notes)
        asked = sample(others, np.arange(len(others)), eval_samples, "eval_samples", notes)
    if validation is None:
        stopping = _also_hold_out(rows, free, validation_samples, train_samples, notes)
        validating, held_out = np.flatnonzero(stopping), judging | stopping
    else:
        validating, kept = _validating(
            rows, Rows(validation, seed), others, validation_samples, notes
        )
        free, held_out = free & kept, judging
    barred = leaking(held_out) if leaking is not None and held_out.any() else nobody
    rest = np.flatnonzero(free & ~held_out & ~barred)
    if not len(rest):
        raise DataError(
            "every row that is not held out is nearly a held-out one, so there is "
            "nothing to train on; data.validation_rules.near_leakage: warn lets such "
            "rows be trained on"
        )
    chosen = sample(rows, rest, train_samples, "train_samples", notes, from_high=True)
    overlap = 0
    if others is not None:
        overlap = len({rows.texts[i] for i in chosen} & {others.texts[i] for i in asked})
    return Splits(chosen, validating, asked, overlap, tuple(notes))


def validation_size(rows: int, train_samples: int | None) -> int:
    """How many of the `rows` that the test side leaves are to validate; 0: too few for that.

    A tenth of what would be trained on, LEAST_VALIDATION to MOST_VALIDATION; never one of the
    `train_samples` rows that were asked for, nor more than MOST_OF_TRAINING of all.
    """
    trained = rows if train_samples is None else min(rows, train_samples)
    wanted = min(max(round(trained * VALIDATION_SHARE), LEAST_VALIDATION), MOST_VALIDATION)
    room = int(rows * MOST_OF_TRAINING)
    if train_samples is not None:
        room = max(rows - train_samples, 0)
    return wanted if wanted <= room else 0


def drawable(drawn: Drawn, train: int, evaluation: int, seed: int) -> Integers:
    """The rows that `make_splits` takes first for `train` and `evaluation` rows, ascending."""
    rows, notes = Rows(drawn, seed), list[str]()
    every = np.arange(len(rows))
    chosen = sample(rows, every, train, "train_samples", notes, from_high=True)
    return np.union1d(chosen, sample(rows, every, evaluation, "eval_samples", notes))


def make_folds(drawn: Drawn, folds: int, seed: int) -> Integers:
    """The fold of each row, from 0: every fold is judged once by what the others teach.

    Equal texts and groups stay together, and each label keeps its share, as for the sides. Raises
    DataError where there are fewer texts, or groups, than folds.
    """
    rows = Rows(drawn, seed)
    sizes = np.bincount(rows.text_of)
    if len(sizes) < folds:
        raise DataError(
            "{n:,} different texts (or groups) are too few for {folds} folds",
            n=len(sizes),
            folds=folds,
        )
    strata = commonest_stratum(rows)
    fold_of_text = np.zeros(len(sizes), dtype=np.int64)
    filled = np.zeros((int(strata.max()) + 1, folds), dtype=np.int64)
    for text in np.lexsort((np.arange(len(sizes)), -sizes)):
        of_label = filled[strata[text]]
        fold = int(np.lexsort((filled.sum(axis=0), of_label))[0])
        fold_of_text[text] = fold
        of_label[fold] += sizes[text]
    return np.asarray(fold_of_text[rows.text_of])


def _grouped_with(rows: Rows, others: Rows) -> Mask:
    """Which rows have a group that some of the `others` are of, too."""
    theirs = {group for group in others.groups or () if group}
    return np.array([group in theirs for group in rows.groups or ()] or [False] * len(rows))


def _apart(rows: Rows, others: Rows, notes: list[str]) -> Mask:
    """The rows whose group is not among the `others`, which judge.

    Raises DataError where there are none.
    """
    kept = ~_grouped_with(rows, others)
    if not kept.any():
        raise DataError("every group of data.group_column judges, so there is nothing to train on")
    if not kept.all():
        notes.append(
            say_plural(
                "{n:,} row is not trained on: its group (data.group_column) judges",
                "{n:,} rows are not trained on: their groups (data.group_column) judge",
                n=int((~kept).sum()),
            )
        )
    return kept


def _hold_out(
    rows: Rows, eval_samples: int | None, eval_fraction: float, test_draw: int, notes: list[str]
) -> Mask:
    """Which rows are for evaluation: every text's rows are all in or all out."""
    total = len(rows)
    sizes = np.bincount(rows.text_of)
    if len(sizes) < 2 and len({*rows.texts}) > 1:
        raise DataError("data.group_column has a single group, which can't stand on two sides")
    if len(sizes) < 2:
        raise DataError(
            "the data has too few rows to train on some and evaluate on others: "
            "{rows:,}, with {n} different texts; at least two different texts are "
            "needed",
            rows=total,
            n=len(sizes),
        )
    wanted = max(1, round(total * eval_fraction)) if eval_samples is None else eval_samples
    if eval_samples is not None and eval_samples >= total:
        wanted = max(1, round(total * eval_fraction))
        notes.append(
            say(
                "eval_samples is {n:,}, and there are {total:,} rows for training and "
                "evaluation together; {wanted:,} were held out",
                n=eval_samples,
                total=total,
                wanted=wanted,
            )
        )
    left = np.arange(len(sizes))
    for number in range(test_draw + 1):
        texts = draw(strata_of(rows, left, sizes, wanted), sizes, wanted)
        left = np.setdiff1d(left, texts)
        if number < test_draw and sizes[left].sum() <= wanted:
            raise ConfigError([_no_rows_left(number, test_draw)])
    found = int(sizes[texts].sum())
    if found < wanted and wanted == eval_samples:
        notes.append(
            say(
                "{n:,} rows were held out for evaluation, not {wanted:,}: rows with the "
                "same text or group stay together, and every label keeps a text to train on",
                n=found,
                wanted=wanted,
            )
        )
    return rows_of(rows, texts)


def _no_rows_left(draws: int, asked: int) -> Problem:
    message = say("all rows have judged before: bring new ones, or set data.eval_samples to fewer")
    return Problem("data.test_draw", message, asked, say("at most {n}", n=draws))


def _also_hold_out(
    rows: Rows, free: Mask, asked: int | None, train_samples: int | None, notes: list[str]
) -> Mask:
    """Which of the rows that are `free` validate: `asked`, or as many as `validation_size` says."""
    wanted = validation_size(int(free.sum()), train_samples) if asked is None else asked
    sizes = np.bincount(rows.text_of)
    texts = np.flatnonzero(np.bincount(rows.text_of[free]))
    if not wanted or len(texts) < 2:
        return np.zeros(len(rows), dtype=bool)
    most = int(sizes[texts].sum()) - 1
    taken = draw(strata_of(rows, texts, sizes, wanted), sizes, min(wanted, most))
    found = rows_of(rows, taken) & free
    if asked is not None and (n := int(found.sum())) < asked:
        notes.append(
            say(
                "{n:,} rows validate, not {wanted:,}: rows with the same text or group stay "
                "together, and every label keeps a text to train on",
                n=n,
                wanted=asked,
            )
        )
    return found


def _validating(
    rows: Rows, third: Rows, others: Rows | None, asked: int | None, notes: list[str]
) -> tuple[Integers, Mask]:
    """The rows of a split of their own that validate, and which of the `rows` may train then."""
    apart = np.ones(len(third), bool) if others is None else ~_grouped_with(third, others)
    every = np.flatnonzero(apart)
    wanted = min(MOST_VALIDATION, len(every)) if asked is None else asked
    found = sample(third, every, wanted, "validation_samples", notes)
    return found, ~_grouped_with(rows, third)
