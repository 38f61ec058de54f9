"""What a sweep has found: its trials, the best one with its interval, what mattered."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.config.sweep import SweepConfig
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.experiments.sweeps.driving import experiments_of, metric_names, value_of
from tunesmith.experiments.sweeps.search import importance
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus, TrialState
from tunesmith.schemas.sweeps import SweepTrial, SweepWhole, TestScore
from tunesmith.settings import Settings
from tunesmith.statistics.intervals import mean_interval
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.sweeps import Sweep, Trial
from tunesmith.store.store import Store
from tunesmith.tasks import TASKS

MOST_NAMED = 3
"""Other metrics that are named."""

_OF_SWEEP = ("id", "name", "status", "reason", "owner", "created_at", "finished_at")


def sweep_report(
    sweep: Sweep, store: Store, settings: Settings, *, whole: bool = True
) -> SweepWhole:
    """What `sweep` has found by now; not `whole` leaves out importance and verdict, which take
    longer. Raises StorageError.
    """
    asked = SweepConfig.model_validate(sweep.asked)
    trials = store.sweeps.trials(sweep.id)
    found = experiments_of(trials, store)
    reports = [_trial(trial, asked, found) for trial in trials]
    sign = -1.0 if asked.direction == "minimize" else 1.0
    best, so_far = best_trial(reports, sign)
    baseline = next((t.number for t in reports if t.is_baseline and _counts(t)), None)
    verdict = hint = test = None
    ended = [e for e in found.values() if e.status is ExperimentStatus.SUCCEEDED]
    validated = all(metric_names(asked)[0] in each.metrics for each in ended)
    if whole and best is not None and baseline is not None and best != baseline:
        verdict = _verdict(reports[baseline], reports[best], found, settings, store)
    if whole and best is not None and validated:
        test = _test_score(reports[best], found)
    if whole:
        hint = same_value_hint(str(asked.metric), metric_names(asked)[not validated], ended)
    return SweepWhole(
        **{name: getattr(sweep, name) for name in _OF_SWEEP},
        metric=str(asked.metric),
        direction=str(asked.direction),
        sampler=asked.sampler,
        pruner=asked.pruner,
        seeds=asked.seeds,
        total=asked.total,
        parameters={
            path: parameter.model_dump(mode="json", exclude_defaults=True)
            for path, parameter in asked.parameters.items()
        },
        trials=reports,
        best=best,
        baseline=baseline,
        best_so_far=so_far,
        importance=importance(asked, trials) if whole else {},
        test=test,
        verdict=verdict,
        hint=hint,
    )


def _trial(trial: Trial, asked: SweepConfig, known: Mapping[str, Experiment]) -> SweepTrial:
    mine = [known[each] for each in trial.experiments if each in known]
    ended = [each for each in mine if each.status is ExperimentStatus.SUCCEEDED]
    values = [value for each in ended if (value := value_of(each, asked)) is not None]
    spread = statistics.stdev(values) if len(values) > 1 else None
    low = high = method = None
    if trial.state is TrialState.SUCCEEDED:
        low, high, method = _interval(ended, values, spread, asked)
    return SweepTrial(
        number=trial.number,
        state=trial.state,
        is_baseline=asked.baseline and trial.number == 0,
        parameters=dict(trial.parameters),
        value=trial.value,
        low=low,
        high=high,
        method=method,
        spread=spread,
        epoch=trial.epoch,
        progress=sum(each.progress for each in mine) / max(len(trial.experiments), 1),
        runtime=sum(each.train_runtime or 0.0 for each in mine),
        reason=trial.reason,
        experiments=list(trial.experiments),
        finished_at=trial.finished_at,
    )


def _interval(
    ended: Sequence[Experiment],
    values: Sequence[float],
    spread: float | None,
    asked: SweepConfig,
) -> tuple[float | None, float | None, str | None]:
    """The 95 % interval of a trial's value, where there is one.

    Of one seed, its experiment's own; of several, Student's interval of their mean.
    """
    if spread is not None:
        return *mean_interval(np.array(values)), say("Student's t over seeds")
    found = ended[0].metrics if ended else {}
    score = found.get("validation" if metric_names(asked)[0] in found else "score")
    if not isinstance(score, Mapping) or score.get("metric") != asked.metric:
        return None, None, None
    interval = score.get("interval") or {}
    return interval.get("low"), interval.get("high"), interval.get("method")


def _test_score(best: SweepTrial, known: Mapping[str, Experiment]) -> TestScore | None:
    """The score of the best trial by the rows that picked nothing; of several seeds, their mean."""
    mine = [known[each] for each in best.experiments if each in known]
    scores = [each.score for each in mine if each.score is not None]
    if not scores or len(scores) < len(best.experiments):
        return None
    low = high = method = None
    if len(scores) > 1:
        low, high = mean_interval(np.array(scores))
        method = say("Student's t over seeds")
    elif interval := mine[0].interval:
        low, high, method = interval["low"], interval["high"], interval["method"]
    return TestScore(
        metric=str(mine[0].score_name),
        value=statistics.fmean(scores),
        low=low,
        high=high,
        method=method,
    )


def _counts(trial: SweepTrial) -> bool:
    return trial.state is TrialState.SUCCEEDED and trial.value is not None


def best_trial(
    trials: Sequence[SweepTrial], sign: float
) -> tuple[int | None, list[tuple[int, float]]]:
    """The best trial, the first of equals, and how it became so."""
    best: SweepTrial | None = None
    so_far: list[tuple[int, float]] = []
    ended = [trial for trial in trials if _counts(trial) and trial.finished_at is not None]
    for trial in sorted(ended, key=lambda each: (each.finished_at, each.number)):
        value = trial.value or 0.0
        if best is None or sign * value > sign * (best.value or 0.0):
            best = trial
        so_far.append((trial.number, best.value or 0.0))
    return (best.number if best else None), so_far


def _verdict(
    baseline: SweepTrial,
    best: SweepTrial,
    known: Mapping[str, Experiment],
    settings: Settings,
    store: Store,
) -> str | None:
    """The best held against the baseline, row by row where each was trained once."""
    if len(best.experiments) > 1:
        return None
    pair = [known.get(each.experiments[0]) for each in (baseline, best)]
    if None in pair:
        return None
    both = [each for each in pair if each]
    compared = compare_experiments(both, settings, store.looks(both[0].test_side))
    return compared.pairs[0].explanation


def same_value_hint(metric: str, field: str, ended: Sequence[Experiment]) -> str | None:
    """Why there is nothing to choose by, and what else could be; None where `metric` does differ.

    `field` is the metric's name in the results; `ended` are the experiments that succeeded.
    """
    values = [each.metrics.get(field) for each in ended]
    if len(values) < 2 or values[0] is None or len(set(values)) > 1:
        return None
    why = say("it can't tell them apart")
    if values[0] == 0:
        why = say("none learned enough to raise it, or it is too strict for these answers")
    said = say(
        "All {n} trainings that ended have {metric} {value:.3g}: {why}.",
        n=len(values),
        metric=metric,
        value=values[0],
        why=why,
    )
    if others := _that_differ(field, ended):
        shown = ", ".join(
            say("{name} ({low:.3g} to {high:.3g})", name=name, low=low, high=high)
            for name, low, high in others
        )
        said += say(
            " These differ: {shown}; a sweep uses one of them with metric: {others}.",
            shown=shown,
            others=others[0][0],
        )
    return said


def _that_differ(field: str, ended: Sequence[Experiment]) -> list[tuple[str, float, float]]:
    """Other metrics with different values: name, least and most; scores before losses."""
    found = []
    for name in sorted(set[str]().union(*(each.metrics for each in ended))):
        if name == field or not name.startswith("eval_"):
            continue
        values = [each.metrics.get(name) for each in ended]
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        if len(numbers) == len(values) and min(numbers) < max(numbers):
            found.append((name.removeprefix("eval_"), min(numbers), max(numbers)))
    task = TASKS.get(ended[0].task)
    return sorted(found, key=lambda each: task is not None and task.prefers_lower(each[0]))[
        :MOST_NAMED
    ]
