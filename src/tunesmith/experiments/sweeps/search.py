"""What Optuna is asked for a sweep: the next setting, which trials look bad, what mattered.

Optuna's study lives in memory alone. It is made anew from the store's trials and metrics whenever
it is asked: what happened is played to it in the order in which it happened. So every process comes
to the same answer from the same store, and none has anything to lose.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tunesmith.config.parameter import Parameter
from tunesmith.config.sweep import SweepConfig, as_field, is_whole
from tunesmith.schemas.enums import TrialState
from tunesmith.store.entities.experiments import Metric
from tunesmith.store.entities.sweeps import Trial

if TYPE_CHECKING:
    import optuna

PARTS = 1000
"""Optuna counts whole steps: evaluations are placed by thousandths of an epoch, so that trials
with batches of different sizes are held against each other where they have seen as much data."""

FEWEST_FOR_IMPORTANCE = 4
"""Trials that ended by themselves, below which nothing is said of what mattered."""


@dataclass(frozen=True)
class Evaluated:
    """The mean of a trial's metric over its experiments, at one time of their training."""

    place: int
    """Thousandths of an epoch."""
    value: float
    at: datetime


Evaluations = Mapping[int, Sequence[Evaluated]]
"""Number of a trial → its evaluations, the earliest in its training first."""


def evaluations(histories: Sequence[Sequence[Metric]]) -> list[Evaluated]:
    """The evaluations of a trial, from the histories of its experiments.

    What was measured before the first step is none; where seeds have come to different places, a
    place has the mean of those that have come there.
    """
    points: dict[int, list[Metric]] = defaultdict(list)
    for history in histories:
        for point in history:
            if place := round((point.epoch or 0.0) * PARTS):
                points[place].append(point)
    return [
        Evaluated(
            place, statistics.fmean(p.value for p in found), min(p.recorded_at for p in found)
        )
        for place, found in sorted(points.items())
    ]


def propose(
    sweep: SweepConfig, trials: Sequence[Trial], seen: Evaluations, number: int
) -> dict[str, Any]:
    """The setting of trial `number`, the first that isn't among `trials`."""
    if sweep.baseline and number == 0:
        return sweep.base_values
    if sweep.sampler == "grid":
        grid = sweep.grid()
        random.Random(sweep.seed).shuffle(grid)  # a grid that is cut short is a sample of it
        return grid[number - sweep.baseline]
    samplers = _optuna().samplers
    # Of its own for each number: who asks again gets the same answer.
    seed = random.Random(f"{sweep.seed} {number}").getrandbits(32)
    played = _play(sweep, trials, seen)
    played.study.sampler = (
        samplers.RandomSampler(seed=seed)
        if sweep.sampler == "random"
        else samplers.TPESampler(seed=seed, n_startup_trials=sweep.startup)
    )
    asked = played.study.ask(_distributions(sweep))
    return {path: _decoded(sweep, path, asked.params[path]) for path in sweep.parameters}


def to_prune(sweep: SweepConfig, trials: Sequence[Trial], seen: Evaluations) -> dict[int, float]:
    """Number of each running trial that looks bad → the epoch at which it did; no baseline."""
    if sweep.pruner == "none" or not any(seen.values()):
        return {}
    running = {trial.number for trial in trials if trial.state is TrialState.RUNNING}
    if sweep.baseline:
        running.discard(0)
    if not running & {number for number, found in seen.items() if found}:
        return {}
    doomed = _play(sweep, trials, seen).doomed
    return {number: place / PARTS for number, place in doomed.items() if number in running}


def importance(sweep: SweepConfig, trials: Sequence[Trial]) -> dict[str, float]:
    """Parameter → its share of what made trials good, 0 to 1, the largest first; empty for few.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, https://arxiv.org/abs/2304.10255): it needs no
    model of the scores, and so no further package.
    """
    ended = [trial for trial in trials if trial.state is TrialState.SUCCEEDED]
    if len(ended) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in ended}) < 2:
        return {}
    if len(sweep.parameters) == 1:
        return dict.fromkeys(sweep.parameters, 1.0)
    optuna = _optuna()
    study = _play(sweep, ended, {}).study
    # With few trials a tenth of them would be one: the better third counts as good.
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=1 / 3)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: share for name, share in found.items() if math.isfinite(share)}


@dataclass(frozen=True)
class _Played:
    """A study to which everything was played that happened."""

    study: optuna.Study
    doomed: Mapping[int, int]
    """Trial that the pruner would have ended → the place at which it first would."""


def _play(sweep: SweepConfig, trials: Sequence[Trial], seen: Evaluations) -> _Played:
    library = _optuna()
    distributions = _distributions(sweep)
    study = library.create_study(
        direction=sweep.direction,
        sampler=library.samplers.RandomSampler(seed=0),
        pruner=_pruner(sweep, seen),
    )
    asked: dict[int, optuna.trial.Trial] = {}
    for trial in trials:
        if all(_holds(sweep.parameters[path], value) for path, value in trial.parameters.items()):
            coded = {path: _coded(value, sweep, path) for path, value in trial.parameters.items()}
            study.enqueue_trial(coded)
            asked[trial.number] = study.ask(fixed_distributions=distributions)
    doomed: dict[int, int] = {}
    reported: set[int] = set()
    for trial, evaluated in _events(trials, seen):
        if trial.number not in asked or trial.number in reported:
            continue  # a baseline outside of what is searched; a pruned one that hasn't heard of it
        if evaluated is not None:
            asked[trial.number].report(evaluated.value, evaluated.place)
            if asked[trial.number].should_prune():
                doomed.setdefault(trial.number, evaluated.place)
        else:
            _tell(study, asked[trial.number], trial)
            reported.add(trial.number)
    return _Played(study, doomed)


def _events(trials: Sequence[Trial], seen: Evaluations) -> Iterator[tuple[Trial, Evaluated | None]]:
    """Evaluations, and None for the end of a trial, in the order in which they came."""
    events: list[tuple[datetime, int, int, Trial, Evaluated | None]] = []
    for trial in trials:
        for found in seen.get(trial.number, ()):
            events.append((found.at, trial.number, found.place, trial, found))
        if trial.finished_at is not None:
            events.append((trial.finished_at, trial.number, 10**9, trial, None))
    for *_, trial, evaluated in sorted(events, key=lambda event: event[:3]):
        yield trial, evaluated


def _tell(study: optuna.Study, asked: optuna.trial.Trial, trial: Trial) -> None:
    states = _optuna().trial.TrialState
    if trial.state is TrialState.SUCCEEDED and trial.value is not None:
        study.tell(asked, trial.value)
    else:
        pruned = trial.state is TrialState.PRUNED
        study.tell(asked, state=states.PRUNED if pruned else states.FAIL)


def _pruner(sweep: SweepConfig, seen: Evaluations) -> optuna.pruners.BasePruner:
    pruners = _optuna().pruners
    pruner: optuna.pruners.BasePruner = pruners.NopPruner()
    if sweep.pruner == "median":
        pruner = pruners.MedianPruner(n_startup_trials=sweep.startup)
    elif sweep.pruner == "asha":
        first = min((found[0].place for found in seen.values() if found), default=1)
        pruner = pruners.SuccessiveHalvingPruner(
            min_resource=first, reduction_factor=sweep.reduction_factor
        )
    return pruner


def _holds(parameter: Parameter, value: Any) -> bool:
    """Whether `value` is one of those that are searched: a base configuration's may not be."""
    if parameter.choices is not None:
        return _choice(parameter.choices, value) is not None
    low, high = parameter.low or 0.0, parameter.high or 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return False
    steps = (value - low) / (parameter.step or 1.0)
    return parameter.step is None or math.isclose(steps, round(steps), abs_tol=1e-8)


def _distributions(sweep: SweepConfig) -> dict[str, Any]:
    return {path: _distribution(sweep, path, each) for path, each in sweep.parameters.items()}


def _distribution(sweep: SweepConfig, path: str, parameter: Parameter) -> Any:
    kinds = _optuna().distributions
    if parameter.choices is not None:  # they may be lists, which Optuna's own may not
        return kinds.CategoricalDistribution([json.dumps(each) for each in parameter.choices])
    low, high = parameter.low or 0.0, parameter.high or 0.0
    if is_whole(path, sweep.experiment.task_name):
        step = int(parameter.step or 1)
        return kinds.IntDistribution(int(low), int(high), log=parameter.log, step=step)
    return kinds.FloatDistribution(low, high, log=parameter.log, step=parameter.step)


def _coded(value: Any, sweep: SweepConfig, path: str) -> Any:
    choices = sweep.parameters[path].choices
    return value if choices is None else _choice(choices, value)


def _choice(choices: Sequence[Any], value: Any) -> str | None:
    """The one that `value` is, as JSON: a file says 1 where the configuration holds 1.0."""
    is_bool = isinstance(value, bool)
    same = (each for each in choices if each == value and isinstance(each, bool) is is_bool)
    return next(map(json.dumps, same), None)


def _decoded(sweep: SweepConfig, path: str, value: Any) -> Any:
    if sweep.parameters[path].choices is not None:
        return json.loads(value)
    return as_field(value, path, sweep.experiment.task_name)


def _optuna() -> Any:
    """Optuna, which talks to nobody; imported when a sweep needs it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
