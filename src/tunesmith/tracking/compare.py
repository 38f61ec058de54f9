"""Several experiments beside each other: what differs, and whether the scores really do.

Questions over records and over the answers to evaluation rows, with no side effect. The first
experiment is the baseline; each other one is held against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from tunesmith.tracking.answers import Answers, adds_up
from tunesmith.tracking.differences import (
    Difference,
    RowDifferences,
    SeedGroup,
    config_differences,
    data_differences,
    environment_differences,
    seed_groups,
)
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.intervals import (
    LEVEL,
    OUTDATED,
    Interval,
    interval_of,
    ratio_difference,
    share_difference,
    wilson,
)
from tunesmith.tracking.significance import (
    POWER,
    fewest_rows_that_differ,
    holm,
    mid_p_mcnemar,
    randomization,
    ratio_gains,
    ratio_rows_needed,
    rows_needed,
    unsteadiness,
)

TEST = "mid-p McNemar"
RATIO_TEST = "approximate randomization"
"""The test for metrics that aren't a share of right rows."""

SHOWN_ROWS = 20
"""Most row numbers that are named of each kind."""


class Verdict(StrEnum):
    """What can be said of an experiment against the baseline."""

    BETTER = "better"
    WORSE = "worse"
    NOT_DISTINGUISHABLE = "not distinguishable"
    NOT_COMPARABLE = "not comparable"


class Obstacle(StrEnum):
    """Why two experiments can't be held against each other."""

    NO_SCORE = "no_score"
    OTHER_METRIC = "other_metric"
    OTHER_ROWS = "other_rows"
    NO_PREDICTIONS = "no_predictions"
    NOT_A_SHARE = "not_a_share"


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the experiments."""

    id: str
    name: str
    status: ExperimentStatus
    metric: str | None
    """The task's main metric."""
    score: float | None
    interval: Interval | None
    note: str | None
    """Why there is no score, no interval, or only the recorded one."""
    seed: int | None
    dataset: str
    """The data: `reviews@3`, or the name they were asked for by."""
    data_hash: str | None
    train_rows: int | None
    evaluation_rows: int | None
    evaluation_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An experiment held against the baseline, row by row."""

    baseline_id: str
    experiment_id: str
    verdict: Verdict
    explanation: str
    obstacle: Obstacle | None = None
    difference: float | None = None
    """Score minus the baseline's."""
    interval: Interval | None = None
    """Of the difference; of this comparison alone, however many there are."""
    test: str | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    """For as many tests as were made (Holm); the verdict rests on it."""
    rows: int | None = None
    won: int | None = None
    """Rows that this one has right and the baseline wrong; else those that it does better."""
    lost: int | None = None
    """Rows that the baseline has right and this one wrong; else those that it does better."""
    won_rows: tuple[int, ...] = ()
    """Numbers of the first SHOWN_ROWS of them in the source."""
    lost_rows: tuple[int, ...] = ()
    unsteadiness: float | None = None
    """How what a row adds to the difference varies, by its mean; None for shares, and for none."""
    rows_needed: int | None = None
    """Rows in all that would tell with 80 % power; None where it was told, or nothing is there."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Experiments beside each other."""

    experiments: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    config: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    data: tuple[Difference, ...]
    seeds: tuple[SeedGroup, ...]
    rows: tuple[RowDifferences, ...] = ()
    """Of each experiment whose data are another version than the first one's."""


def compare(
    experiments: Sequence[Experiment],
    answers: Mapping[str, Answers],
    missing: Mapping[str, str],
) -> Comparison:
    """Hold each experiment against the first.

    `answers` are by experiment id; `missing` says, in words, why an experiment has none.
    """
    lines = tuple(_compared(e, answers.get(e.id), missing.get(e.id)) for e in experiments)
    first = experiments[0]
    found: list[Pair] = []
    for other in experiments[1:]:
        obstacle = _obstacle(first, other, answers, missing)
        if obstacle is not None:
            kind, reason = obstacle
            pair = Pair(
                baseline_id=first.id, experiment_id=other.id, verdict=Verdict.NOT_COMPARABLE,
                explanation=reason, obstacle=kind,
            )  # fmt: skip
        else:
            pair = _counted(first, other, answers[first.id], answers[other.id])
        found.append(pair)
    tested = [pair for pair in found if pair.p_value is not None]
    adjusted = holm([pair.p_value or 0.0 for pair in tested])
    judged = {
        pair.experiment_id: _judged(pair, p, len(tested))
        for pair, p in zip(tested, adjusted, strict=True)
    }
    return Comparison(
        experiments=lines,
        pairs=tuple(judged.get(pair.experiment_id, pair) for pair in found),
        config=config_differences(experiments),
        environment=environment_differences(experiments),
        data=data_differences(experiments),
        seeds=seed_groups(experiments),
    )


# -- scores -----------------------------------------------------------------------------------


def _compared(experiment: Experiment, answers: Answers | None, missing: str | None) -> Compared:
    interval, note = _interval(experiment, answers, missing)
    sides = experiment.data.get("splits", {})
    evaluation = sides.get("evaluation", {})
    version = experiment.dataset_version
    name = experiment.data.get("dataset") or experiment.dataset_name
    return Compared(
        id=experiment.id,
        name=experiment.name,
        status=experiment.status,
        metric=experiment.score_name,
        score=experiment.score,
        interval=interval,
        note=note,
        seed=experiment.config.get("training", {}).get("seed"),
        dataset=str(name) if version is None else f"{name}@{version}",
        data_hash=experiment.dataset_hash,
        train_rows=sides.get("train", {}).get("rows"),
        evaluation_rows=evaluation.get("rows"),
        evaluation_hash=evaluation.get("hash"),
    )


def _interval(
    experiment: Experiment, answers: Answers | None, missing: str | None
) -> tuple[Interval | None, str | None]:
    """The score's interval, and what has to be said of it."""
    if experiment.score is None:
        return None, _no_score(experiment)
    if answers is None:
        recorded = experiment.metrics.get("score", {}).get("interval") or {}
        missing = missing or "it has no predictions"
        try:
            known = Interval(**recorded)
        except TypeError:
            return None, f"No interval: {missing}."
        if known.method in OUTDATED:
            return None, f"No interval: {missing}, and the recorded one was made by a bootstrap."
        if not known.low <= experiment.score <= known.high:
            return None, f"No interval: {missing}, and the recorded one is of something else."
        return known, f"The interval is the recorded one: {missing}."
    if not adds_up(experiment, answers):
        return None, (
            f"No interval: {experiment.score_name} doesn't follow from what its rows add to it."
        )
    if answers.parts is not None:
        found = interval_of(*answers.parts.T, bounded=answers.bounded)
        return found.interval, None if found.reason is None else f"No interval: {found.reason}."
    return wilson(int(answers.correct.sum()), len(answers.correct)), None


def _no_score(experiment: Experiment) -> str:
    yet = " yet" if experiment.status.is_live else ""
    return f"Experiment {experiment.id} is {experiment.status}: it has no score{yet}."


# -- pairs ------------------------------------------------------------------------------------


def _obstacle(
    first: Experiment,
    other: Experiment,
    answers: Mapping[str, Answers],
    missing: Mapping[str, str],
) -> tuple[Obstacle, str] | None:
    """What keeps two experiments from being held against each other, in words."""
    for experiment in (first, other):
        if experiment.score is None:
            return Obstacle.NO_SCORE, _no_score(experiment)
    if first.score_name != other.score_name:
        return Obstacle.OTHER_METRIC, (
            f"Their scores are different metrics: {first.score_name} and {other.score_name}."
        )
    sides = [e.data.get("splits", {}).get("evaluation", {}) for e in (first, other)]
    if sides[0].get("hash") is None or sides[0].get("hash") != sides[1].get("hash"):
        counts = " and ".join(f"{side.get('rows', 0):,}" for side in sides)
        return Obstacle.OTHER_ROWS, (
            f"They were judged by different evaluation rows ({counts}), so their scores say "
            "nothing of each other. Train both on one version of the data, with the same "
            "data.split_seed, eval_samples and validation_rules."
        )
    for experiment in (first, other):
        if experiment.id not in answers:
            why = missing.get(experiment.id, f"experiment {experiment.id} has no predictions")
            return Obstacle.NO_PREDICTIONS, f"They can't be compared row by row: {why}."
    # Row numbers may differ: the same rows, with others added before them, have higher ones.
    if not np.array_equal(answers[first.id].expected, answers[other.id].expected):
        return Obstacle.OTHER_ROWS, (
            "Their evaluation rows are the same, but different answers were expected, as with "
            "another label column."
        )
    for experiment in (first, other):
        if not adds_up(experiment, answers[experiment.id]):
            return Obstacle.NOT_A_SHARE, (
                f"{experiment.score_name} doesn't follow from what the rows of experiment "
                f"{experiment.id} add to it: there is no test for it here."
            )
    return None


def _counted(first: Experiment, other: Experiment, before: Answers, after: Answers) -> Pair:
    """Two experiments' answers to the same rows; the verdict waits for the other tests."""
    if before.parts is not None and after.parts is not None:
        return _weighed(first, other, before, after)
    won, lost = after.correct & ~before.correct, before.correct & ~after.correct
    won_count, lost_count, rows = int(won.sum()), int(lost.sum()), len(won)
    return Pair(
        baseline_id=first.id,
        experiment_id=other.id,
        verdict=Verdict.NOT_DISTINGUISHABLE,
        explanation="",
        difference=(won_count - lost_count) / rows,
        interval=share_difference(lost_count, won_count, rows),
        test=TEST,
        p_value=float(mid_p_mcnemar(lost_count, won_count)),
        rows=rows,
        won=won_count,
        lost=lost_count,
        won_rows=tuple(after.rows[won][:SHOWN_ROWS].tolist()),
        lost_rows=tuple(after.rows[lost][:SHOWN_ROWS].tolist()),
    )


def _weighed(first: Experiment, other: Experiment, before: Answers, after: Answers) -> Pair:
    """The same where the metric is a ratio of what rows add to it, such as F1 or R²."""
    assert before.parts is not None
    assert after.parts is not None
    gains = ratio_gains(before.parts, after.parts)
    won, lost = gains > 0, gains < 0
    return Pair(
        baseline_id=first.id,
        experiment_id=other.id,
        verdict=Verdict.NOT_DISTINGUISHABLE,
        explanation="",
        difference=after.score - before.score,
        interval=ratio_difference(before.parts, after.parts, bounded=after.bounded),
        test=RATIO_TEST,
        p_value=randomization(before.parts, after.parts),
        rows=len(gains),
        won=int(won.sum()),
        lost=int(lost.sum()),
        won_rows=tuple(after.rows[won][:SHOWN_ROWS].tolist()),
        lost_rows=tuple(after.rows[lost][:SHOWN_ROWS].tolist()),
        unsteadiness=unsteadiness(gains),
    )


def _judged(pair: Pair, adjusted: float, tests: int) -> Pair:
    """`pair` with its verdict, given its p-value adjusted for `tests` tests."""
    won, lost, rows = pair.won or 0, pair.lost or 0, pair.rows or 0
    found = adjusted <= 1 - LEVEL
    if found:
        better = (pair.difference or 0.0) > 0
        verdict, needed = (Verdict.BETTER if better else Verdict.WORSE), None
    else:
        verdict = Verdict.NOT_DISTINGUISHABLE
        # The strictest of Holm's levels: then it is told whatever the other tests say.
        level = 1 - (1 - LEVEL) / tests
        if pair.test == TEST:
            needed = rows_needed(lost, won, rows, level)
        else:
            needed = ratio_rows_needed(pair.unsteadiness, level)
        needed = None if needed is None else max(needed, rows + 1)
    p_value = _p(pair.p_value or 0.0)
    if tests > 1:
        p_value += f", {_p(adjusted)} adjusted for {tests} comparisons (Holm)"
    counts = (
        f"{won:,} of {rows:,} rows right that the first has wrong, {lost:,} wrong that it has right"
    )
    if pair.test != TEST:
        counts = f"{won:,} of {rows:,} rows done better than by the first, {lost:,} worse"
    text = f"{counts} ({pair.test}, {p_value})."
    if found:
        text = f"{verdict.capitalize()} than the first: {text}"
    else:
        text = f"Not distinguishable from the first with this much data: {text}"
        text += _what_would_tell(pair.test, won, lost, needed)
    return replace(
        pair, verdict=verdict, explanation=text, adjusted_p_value=adjusted, rows_needed=needed
    )


def _what_would_tell(test: str | None, won: int, lost: int, needed: int | None) -> str:
    if needed is None:
        return " There is no difference to find."
    text = ""
    if test == TEST and won + lost < (fewest := fewest_rows_that_differ()):
        text = f" Fewer than {fewest} rows tell them apart, too few for any test."
    return (
        f"{text} If the difference is as large as it looks, about {needed:,} evaluation rows in "
        f"all would tell with {POWER:.0%} power."
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
