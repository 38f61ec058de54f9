"""What a sweep has found: its trials, the best one with its interval, what mattered."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from tunesmith.config.sweep import SweepConfig
from tunesmith.experiments.comparison import compare_experiments
from tunesmith.experiments.sweep_hints import same_value_hint
from tunesmith.experiments.sweep_search import importance
from tunesmith.experiments.sweeps import experiments_of, metric_name, value_of
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.intervals import mean_interval
from tunesmith.tracking.store import Store
from tunesmith.tracking.sweep_entities import Sweep, SweepStatus, Trial, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialReport:
    """One trial."""

    number: int
    state: TrialState
    is_baseline: bool
    parameters: Mapping[str, Any]
    value: float | None
    """Mean of the metric over its seeds; of a pruned one the last one known, at `epoch`."""
    low: float | None
    high: float | None
    """Ends of the value's 95 % interval: over evaluation rows, with several seeds over these."""
    method: str | None
    """How that interval is made."""
    spread: float | None
    """Standard deviation over its seeds; None below two."""
    epoch: float | None
    progress: float
    """Share of its trainings that is done, 0 to 1."""
    runtime: float
    """Seconds of training so far recorded."""
    reason: str | None
    experiments: tuple[str, ...]
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """A sweep and its trials."""

    id: str
    name: str
    status: SweepStatus
    reason: str | None
    owner: str
    created_at: datetime
    finished_at: datetime | None
    metric: str
    direction: str
    sampler: str
    pruner: str
    seeds: int
    total: int
    """Trials that it will have."""
    parameters: Mapping[str, Mapping[str, Any]]
    """Dotted field → what is searched, as in the sweep's file."""
    trials: tuple[TrialReport, ...]
    best: int | None
    """Number of the best trial that ended by itself."""
    baseline: int | None
    """Number of the trial of the base configuration, once it succeeded."""
    best_so_far: tuple[tuple[int, float], ...]
    """Trial that ended by itself → the best value until then, in the order of their ends."""
    importance: Mapping[str, float]
    """Parameter → share of what made trials good; empty for few trials."""
    verdict: str | None
    """Whether the best is better than the baseline, or lucky, in words; None where both are one."""
    hint: str | None = None
    """Why the metric can't tell the trials apart, and what could; None where it does."""


def sweep_report(
    sweep: Sweep, store: Store, settings: Settings, *, whole: bool = True
) -> SweepReport:
    """What `sweep` has found by now; not `whole` leaves out importance and verdict, which take
    longer. Raises StorageError.
    """
    asked = SweepConfig.model_validate(sweep.asked)
    trials = store.sweeps.trials(sweep.id)
    found = experiments_of(trials, store)
    reports = tuple(_trial(trial, asked, found) for trial in trials)
    sign = -1.0 if asked.direction == "minimize" else 1.0
    best, so_far = _best(reports, sign)
    baseline = next((t.number for t in reports if t.is_baseline and _counts(t)), None)
    verdict = None
    if whole and best is not None and baseline is not None and best != baseline:
        verdict = _verdict(reports[baseline], reports[best], asked, found, settings)
    hint = None
    if whole:
        succeeded = [e for e in found.values() if e.status is ExperimentStatus.SUCCEEDED]
        hint = same_value_hint(str(asked.metric), metric_name(asked), succeeded)
    return SweepReport(
        id=sweep.id,
        name=sweep.name,
        status=sweep.status,
        reason=sweep.reason,
        owner=sweep.owner,
        created_at=sweep.created_at,
        finished_at=sweep.finished_at,
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
        verdict=verdict,
        hint=hint,
    )


def _trial(trial: Trial, asked: SweepConfig, known: Mapping[str, Experiment]) -> TrialReport:
    mine = [known[each] for each in trial.experiments if each in known]
    ended = [each for each in mine if each.status is ExperimentStatus.SUCCEEDED]
    values = [value for each in ended if (value := value_of(each, asked)) is not None]
    spread = statistics.stdev(values) if len(values) > 1 else None
    low = high = method = None
    if trial.state is TrialState.SUCCEEDED:
        low, high, method = _interval(ended, values, spread, asked)
    return TrialReport(
        number=trial.number,
        state=trial.state,
        is_baseline=asked.baseline and trial.number == 0,
        parameters=trial.parameters,
        value=trial.value,
        low=low,
        high=high,
        method=method,
        spread=spread,
        epoch=trial.epoch,
        progress=sum(each.progress for each in mine) / max(len(trial.experiments), 1),
        runtime=sum(each.train_runtime or 0.0 for each in mine),
        reason=trial.reason,
        experiments=trial.experiments,
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
        return *mean_interval(np.array(values)), "Student's t over seeds"
    score = ended[0].metrics.get("score") if ended else None
    if not isinstance(score, Mapping) or score.get("metric") != asked.metric:
        return None, None, None
    interval = score.get("interval") or {}
    return interval.get("low"), interval.get("high"), interval.get("method")


def _counts(trial: TrialReport) -> bool:
    return trial.state is TrialState.SUCCEEDED and trial.value is not None


def _best(
    trials: Sequence[TrialReport], sign: float
) -> tuple[int | None, tuple[tuple[int, float], ...]]:
    """The best trial, the first of equals, and how it became so."""
    best: TrialReport | None = None
    so_far: list[tuple[int, float]] = []
    ended = [trial for trial in trials if _counts(trial) and trial.finished_at is not None]
    for trial in sorted(ended, key=lambda each: (each.finished_at, each.number)):
        value = trial.value or 0.0
        if best is None or sign * value > sign * (best.value or 0.0):
            best = trial
        so_far.append((trial.number, best.value or 0.0))
    return (best.number if best else None), tuple(so_far)


def _verdict(
    baseline: TrialReport,
    best: TrialReport,
    asked: SweepConfig,
    known: Mapping[str, Experiment],
    settings: Settings,
) -> str | None:
    """The best held against the baseline, row by row where each was trained once."""
    if asked.seeds > 1:
        return None
    pair = [known.get(each.experiments[0]) for each in (baseline, best)]
    if None in pair:
        return None
    return compare_experiments([each for each in pair if each], settings).pairs[0].explanation
