"""A comparison of experiments: what differs, and whether the scores really do.

Questions over records and over the answers to evaluation rows, with no side effect. The first
experiment is the baseline; each other one is held against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunesmith.messages import joined, say
from tunesmith.schemas.enums import ExperimentStatus, Obstacle, Verdict
from tunesmith.statistics.answers import JudgedRows
from tunesmith.statistics.differences import (
    Difference,
    RowDifferences,
    SeedGroup,
    config_differences,
    data_differences,
    environment_differences,
    seed_groups,
)
from tunesmith.statistics.figures import figures_of, lacking
from tunesmith.statistics.intervals import (
    LEVEL,
    OUTDATED,
    Interval,
    by_group,
    interval_of,
    ratio_difference,
    share_difference,
    wilson,
)
from tunesmith.statistics.looks import worn_out
from tunesmith.statistics.significance import (
    POWER,
    coefficient_of_variation,
    fewest_rows_that_differ,
    holm,
    mid_p_mcnemar,
    randomization,
    ratio_gains,
    ratio_rows_needed,
    rows_needed,
)
from tunesmith.store.entities.experiments import Experiment

TEST = "mid-p McNemar"
RATIO_TEST = say("approximate randomization")
"""The test for metrics that aren't a share of right rows."""
GROUP_TEST = say("approximate randomization of groups")
"""The test where rows go together (`data.group_column`): a group's answers are exchanged as one."""

SHOWN_ROWS = 20
"""Most row numbers that are named of each kind."""


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


@dataclass(frozen=True, slots=True)
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
    coefficient_of_variation: float | None = None
    """Of what each row adds to the difference, groups having as many rows as the mean; None for
    shares, and without a difference."""
    rows_needed: int | None = None
    """Rows in all that would give a verdict with 80 % power; None with one, or no difference."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of experiments; the first is the baseline."""

    experiments: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    config: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    data: tuple[Difference, ...]
    figures: tuple[Difference, ...]
    lacks: tuple[str, ...]
    """Which of these figures an experiment lacks, in words."""
    seeds: tuple[SeedGroup, ...]
    looks: int = 0
    """How many experiments the rows that judge the first have judged, it among them."""
    note: str | None = None
    """That these rows have been looked at too often."""
    rows: tuple[RowDifferences, ...] = ()
    """Of each experiment whose data are another version than the first one's."""


def compare(
    experiments: Sequence[Experiment],
    answers: Mapping[str, JudgedRows],
    missing: Mapping[str, str],
    *,
    looks: int = 0,
) -> Comparison:
    """Hold each experiment against the first.

    `answers` are by experiment id; `missing` says, in words, why an experiment has none. `looks`
    is how many experiments these rows have judged: the verdicts allow for the comparisons that
    could be made with them, of which these may be the best.
    """
    lines = tuple(_compared(e, answers.get(e.id), missing.get(e.id)) for e in experiments)
    first = experiments[0]
    found: list[Pair] = []
    for other in experiments[1:]:
        if obstacle := _obstacle(first, other, answers, missing):
            pair = Pair(first.id, other.id, Verdict.NOT_COMPARABLE, obstacle[1], obstacle[0])
        else:
            pair = _counted(first, other, answers[first.id], answers[other.id])
        found.append(pair)
    tested = [pair for pair in found if pair.p_value is not None]
    tests = max(len(tested), looks - 1)
    adjusted = holm([pair.p_value or 0.0 for pair in tested], tests)
    judged = {
        pair.experiment_id: _judged(pair, p, tests)
        for pair, p in zip(tested, adjusted, strict=True)
    }
    return Comparison(
        experiments=lines,
        pairs=tuple(judged.get(pair.experiment_id, pair) for pair in found),
        config=config_differences(experiments),
        environment=environment_differences(experiments),
        data=data_differences(experiments),
        figures=figures_of(experiments),
        lacks=lacking(experiments),
        seeds=seed_groups(experiments),
        looks=looks,
        note=worn_out(looks),
    )


# -- scores -----------------------------------------------------------------------------------


def _compared(experiment: Experiment, answers: JudgedRows | None, missing: str | None) -> Compared:
    interval, note = _interval(experiment, answers, missing)
    if note is None and experiment.picked_by_test:
        note = say("The rows that judge it have also picked its checkpoint: its score flatters it.")
    sides = experiment.data.get("splits", {})
    evaluation = sides.get("evaluation", {})
    return Compared(
        id=experiment.id,
        name=experiment.name,
        status=experiment.status,
        metric=experiment.score_name,
        score=experiment.score,
        interval=interval,
        note=note,
        seed=experiment.config.get("training", {}).get("seed"),
        dataset=experiment.data_reference,
        data_hash=experiment.dataset_hash,
        train_rows=sides.get("train", {}).get("rows"),
        evaluation_rows=evaluation.get("rows"),
        evaluation_hash=evaluation.get("hash"),
    )


def _interval(
    experiment: Experiment, answers: JudgedRows | None, missing: str | None
) -> tuple[Interval | None, str | None]:
    """The score's interval, and what has to be said of it."""
    if experiment.score is None:
        return None, _no_score(experiment)
    if answers is None:
        recorded = experiment.interval
        missing = missing or say("it has no predictions")
        try:
            known = Interval(**recorded)
        except TypeError:
            return None, say("No interval: {why}.", why=missing)
        if known.method in OUTDATED:
            return None, say(
                "No interval: {why}, and the recorded one was made by a bootstrap.", why=missing
            )
        if not known.low <= experiment.score <= known.high:
            return None, say(
                "No interval: {why}, and the recorded one is of something else.", why=missing
            )
        return known, say("The interval is the recorded one: {why}.", why=missing)
    if not adds_up(experiment, answers):
        return None, say(
            "No interval: {metric} doesn't follow from what its rows add to it.",
            metric=experiment.score_name,
        )
    if answers.parts is not None or answers.groups is not None:
        found = interval_of(*answers.summed.T, bounded=answers.bounded, groups=answers.groups)
        why = None if found.reason is None else say("No interval: {why}.", why=found.reason)
        return found.interval, why
    return wilson(int(answers.correct.sum()), len(answers.correct)), None


def adds_up(experiment: Experiment, judged: JudgedRows) -> bool:
    """Whether the recorded score is what its rows give: the share of right answers, or a ratio."""
    if experiment.score is None or not len(judged.correct):
        return False
    return math.isclose(judged.score, experiment.score, rel_tol=1e-6, abs_tol=1e-9)


def _no_score(experiment: Experiment) -> str:
    who, status = experiment.id, experiment.status
    if status.is_live:
        return say("Experiment {id} is {status}: it has no score yet.", id=who, status=status)
    return say("Experiment {id} is {status}: it has no score.", id=who, status=status)


# -- pairs ------------------------------------------------------------------------------------


def _obstacle(
    first: Experiment,
    other: Experiment,
    answers: Mapping[str, JudgedRows],
    missing: Mapping[str, str],
) -> tuple[Obstacle, str] | None:
    """What keeps two experiments from being held against each other, in words."""
    for experiment in (first, other):
        if experiment.score is None:
            return Obstacle.NO_SCORE, _no_score(experiment)
    if first.score_name != other.score_name:
        return Obstacle.OTHER_METRIC, say(
            "Their scores are different metrics: {first} and {second}.",
            first=first.score_name,
            second=other.score_name,
        )
    if first.picked_by_test is not other.picked_by_test:
        return Obstacle.PICKED_BY_TEST, say(
            "The rows that judge both have also picked the checkpoint of {who}, and not that of "
            "the other: its score flatters it. Train it again, with rows that validate "
            "(data.validation_samples).",
            who=first.id if first.picked_by_test else other.id,
        )
    sides = [e.data.get("splits", {}).get("evaluation", {}) for e in (first, other)]
    if sides[0].get("hash") is None or sides[0].get("hash") != sides[1].get("hash"):
        counts = joined((f"{side.get('rows', 0):,}" for side in sides), " and ")
        return Obstacle.OTHER_ROWS, say(
            "They were judged by different evaluation rows ({n}), so their scores "
            "say nothing of each other. Train both on one version of the data, with "
            "the same data.split_seed, eval_samples and validation_rules.",
            n=counts,
        )
    for one in (first.id, other.id):
        if one not in answers:
            why = missing.get(one) or say("experiment {id} has no predictions", id=one)
            reason = say("They can't be compared row by row: {why}.", why=why)
            return Obstacle.NO_PREDICTIONS, reason
    # Row numbers may differ: the same rows, with others added before them, have higher ones.
    if not np.array_equal(answers[first.id].expected, answers[other.id].expected):
        return Obstacle.OTHER_ROWS, say(
            "Their evaluation rows are the same, but different answers were "
            "expected, as with another label column."
        )
    for experiment in (first, other):
        if not adds_up(experiment, answers[experiment.id]):
            return Obstacle.NOT_A_SHARE, say(
                "{metric} doesn't follow from what the rows of experiment {id} add to "
                "it: there is no test for it here.",
                metric=experiment.score_name,
                id=experiment.id,
            )
    return None


def _counted(first: Experiment, other: Experiment, before: JudgedRows, after: JudgedRows) -> Pair:
    """Two experiments' answers to the same rows; the verdict waits for the other tests.

    The metric is the share of right answers, or a ratio of what rows add to it, as F1 and R².
    Where either experiment knows of groups, the rows go together in both.
    """
    groups = before.groups if after.groups is None else after.groups
    by_share = groups is None and before.parts is None
    parts = before.summed, after.summed
    drawn = parts if groups is None else (by_group(parts[0], groups), by_group(parts[1], groups))
    gains = parts[1][:, 0] - parts[0][:, 0] if by_share else ratio_gains(*parts)
    won, lost = gains > 0, gains < 0
    counts = int(lost.sum()), int(won.sum())
    rows = len(gains)
    variation = None if by_share else coefficient_of_variation(ratio_gains(*drawn))
    return Pair(
        baseline_id=first.id,
        experiment_id=other.id,
        verdict=Verdict.NOT_DISTINGUISHABLE,
        explanation="",
        difference=(counts[1] - counts[0]) / rows if by_share else after.score - before.score,
        interval=share_difference(*counts, rows)
        if by_share
        else ratio_difference(*parts, bounded=after.bounded, groups=groups),
        test=TEST if by_share else RATIO_TEST if groups is None else GROUP_TEST,
        p_value=float(mid_p_mcnemar(*counts)) if by_share else randomization(*drawn),
        rows=rows,
        won=counts[1],
        lost=counts[0],
        won_rows=tuple(after.rows[won][:SHOWN_ROWS].tolist()),
        lost_rows=tuple(after.rows[lost][:SHOWN_ROWS].tolist()),
        coefficient_of_variation=variation and variation * math.sqrt(rows / len(drawn[0])),
    )


def _judged(pair: Pair, adjusted: float, tests: int) -> Pair:
    """`pair` with its verdict, given its p-value adjusted for `tests` tests."""
    won, lost, rows = pair.won or 0, pair.lost or 0, pair.rows or 0
    p_value = _p(pair.p_value or 0.0)
    if tests > 1:
        p_value += say(", {p} adjusted for {tests} comparisons (Holm)", p=_p(adjusted), tests=tests)
    figures = {"won": won, "rows": rows, "lost": lost}
    counts = say(
        "{won:,} of {rows:,} rows right that the first has wrong, {lost:,} wrong that it has right",
        **figures,
    )
    if pair.test != TEST:
        counts = say(
            "{won:,} of {rows:,} rows done better than by the first, {lost:,} worse", **figures
        )
    text = say("{counts} ({test}, {p_value}).", counts=counts, test=pair.test, p_value=p_value)
    needed = None
    if adjusted > 1 - LEVEL:
        verdict = Verdict.NOT_DISTINGUISHABLE
        # The strictest of Holm's levels: then the verdict holds whatever the other tests say.
        level = 1 - (1 - LEVEL) / tests
        if pair.test == TEST:
            needed = rows_needed(lost, won, rows, level)
        else:
            needed = ratio_rows_needed(pair.coefficient_of_variation, level)
        needed = None if needed is None else max(needed, rows + 1)
        text = say("Not distinguishable from the first with this much data: {rest}", rest=text)
        text += _what_would_tell(pair.test, won, lost, needed)
    elif (pair.difference or 0.0) > 0:
        verdict, text = Verdict.BETTER, say("Better than the first: {rest}", rest=text)
    else:
        verdict, text = Verdict.WORSE, say("Worse than the first: {rest}", rest=text)
    return replace(
        pair, verdict=verdict, explanation=text, adjusted_p_value=adjusted, rows_needed=needed
    )


def _what_would_tell(test: str | None, won: int, lost: int, needed: int | None) -> str:
    if needed is None:
        return say(" There is no difference to find.")
    text = say("")
    if test == TEST and won + lost < (fewest := fewest_rows_that_differ()):
        text = say(
            " Fewer than {fewest} rows tell them apart, too few for any test.", fewest=fewest
        )
    return text + say(
        " If the difference is as large as it looks, about {n:,} evaluation rows in all would "
        "tell with {power:.0%} power.",
        n=needed,
        power=POWER,
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
