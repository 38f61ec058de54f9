"""The life of a sweep: begun, driven forward step by step, cancelled, taken up again.

Everything that a sweep knows is in the store, and each step is an atomic update there: a trial is
recorded under its number with the ids of its experiments before they are queued, and ended only
while it runs. So any number of processes may drive a sweep at once, and any of them may be killed:
the next step, whoever makes it, finishes what was begun.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import ValidationError

from tunesmith.config.sweep import SweepConfig
from tunesmith.errors import ConfigError, NotFoundError, StateError
from tunesmith.experiments.lifecycle.control import cancel, resume
from tunesmith.experiments.lifecycle.submission import enqueue, queue_of, with_absolute_paths
from tunesmith.experiments.sweeps.search import (
    Evaluated,
    evaluations,
    propose,
    to_prune,
)
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus, SweepStatus, TrialState
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Filters, Metric, new_experiment_id
from tunesmith.store.entities.sweeps import Sweep, Trial
from tunesmith.store.store import Store

S, T = ExperimentStatus, TrialState

MOST_FAILURES = 3
"""Trials that fail before any succeeded, after which a sweep ends: all others would fail too."""

log = logging.getLogger("tunesmith")


def begin(
    asked: SweepConfig,
    store: Store,
    settings: Settings,
    *,
    owner: str = "",
    confined: bool = False,
) -> Sweep:
    """Record a sweep and queue its first trials; `confined` as in `enqueue`. Raises ConfigError."""
    sweep = Sweep(
        name=asked.sweep_name,
        owner=owner,
        confined=confined,
        asked=asked.model_dump(mode="json"),
    )
    step = _Step(sweep, store, settings)
    first = step.next_trial([], {})
    # Before the sweep is recorded: what is wrong with the first is wrong with what was asked.
    step.enqueue(first)
    store.sweeps.create(sweep, first)
    return sweep


def advance(sweep: Sweep, store: Store, settings: Settings) -> None:
    """Make one step: end, prune, queue what is next; others may do so too. Raises StorageError."""
    if sweep.status is SweepStatus.RUNNING:
        _Step(sweep, store, settings).make()
    else:
        _leave(sweep, store)


def advance_all(store: Store, settings: Settings) -> None:
    """One step of every sweep that has something to do.

    Raises StorageError, and StateError, once all others were advanced, naming the sweeps that this
    version can't read: another one, which could be on its way, may.
    """
    unreadable: list[str] = []
    for sweep in store.sweeps.unsettled():
        try:
            advance(sweep, store, settings)
        except ValidationError:
            unreadable.append(sweep.id)
    if unreadable:
        which = ", ".join(unreadable)
        raise StateError(
            "This version of Tunesmith can't read what was asked of sweep {which}.", which=which
        )


def cancel_sweep(sweep_id: str, store: Store, *, by: str = "") -> Sweep:
    """Cancel a sweep that runs, and its experiments. Raises StateError otherwise, NotFoundError."""
    reason = say("Cancelled by {by}.", by=by) if by else say("Cancelled.")
    sweep = store.sweeps.end(sweep_id, SweepStatus.CANCELLED, reason)
    _leave(sweep, store)
    return sweep


def resume_sweep(sweep_id: str, store: Store) -> Sweep:
    """Let a failed or cancelled sweep go on, its cancelled trials from their checkpoints.

    Raises NotFoundError, and StateError when it runs or has succeeded.
    """
    sweep = store.sweeps.get(sweep_id)
    if sweep.status in (SweepStatus.FAILED, SweepStatus.CANCELLED):
        stopped = [t for t in store.sweeps.trials(sweep_id) if t.state is T.CANCELLED]
        for experiment in experiments_of(stopped, store).values():
            if experiment.status is S.CANCELLED:
                resume(experiment.id, store)
    return store.sweeps.reopen(sweep_id)


def metric_names(asked: SweepConfig) -> tuple[str, str]:
    """The names under which the sweep's metric is recorded: of the rows that pick, else that judge.

    Data with too few rows for three sides have the second alone.
    """
    return f"validation_{asked.metric}", f"eval_{asked.metric}"


def value_of(experiment: Experiment, asked: SweepConfig) -> float | None:
    """What an experiment that succeeded is picked by; None where it has nothing."""
    values = (experiment.metrics.get(name) for name in metric_names(asked))
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def experiments_of(trials: Sequence[Trial], store: Store) -> dict[str, Experiment]:
    """Id → experiment, of those trials' that are recorded."""
    known = [store.known(each) for trial in trials for each in trial.experiments]
    return {each.id: each for each in known if each is not None}


def tag_of(sweep_id: str) -> str:
    """The tag of the sweep's experiments, by which lists find them."""
    return say("sweep {sweep_id}", sweep_id=sweep_id)


@dataclass
class _Step:
    """One look at a sweep, and what follows from it."""

    sweep: Sweep
    store: Store
    settings: Settings
    asked: SweepConfig = field(init=False)
    experiments: dict[str, Experiment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.asked = SweepConfig.model_validate(self.sweep.asked)

    def make(self) -> None:
        """Make the step."""
        trials = self._trials()
        _stop_what_ended(self.sweep, trials, self.store)
        running = [trial for trial in trials if trial.state is T.RUNNING]
        self.experiments = experiments_of(running, self.store)
        settled = [self._settle(trial) for trial in running]
        if any(settled):
            trials = self._trials()
        seen = self._seen(trials)
        if self._prune(trials, seen):
            trials = self._trials()
        for trial in trials:
            if trial.state is T.RUNNING:
                self._queue(trial)
        self._go_on(seen)

    def next_trial(self, trials: Sequence[Trial], seen: Mapping[int, Sequence[Evaluated]]) -> Trial:
        """The trial that comes after `trials`, of new experiments."""
        number = len(trials)
        return Trial(
            sweep_id=self.sweep.id,
            number=number,
            parameters=propose(self.asked, trials, seen, number),
            experiments=tuple(new_experiment_id() for _ in range(self.asked.seeds)),
        )

    def enqueue(self, trial: Trial) -> None:
        """Queue those of a trial's experiments that aren't recorded. Raises ConfigError."""
        for repetition, each in enumerate(trial.experiments):
            if each in self.experiments:
                continue
            asked = self.asked.setting(trial.parameters, trial.number, repetition)
            with suppress(StateError):  # another process was faster
                enqueue(
                    with_absolute_paths(asked), self.store, self.settings,
                    owner=self.sweep.owner, confined=self.sweep.confined,
                    experiment_id=each, tags=[tag_of(self.sweep.id)],
                )  # fmt: skip

    def _trials(self) -> list[Trial]:
        return self.store.sweeps.trials(self.sweep.id)

    def _settle(self, trial: Trial) -> bool:
        """End a trial whose experiments have ended; whether it did."""
        known = [self.experiments.get(each) for each in trial.experiments]
        ended = [each for each in known if each is not None and each.status.is_finished]
        for status, state in ((S.FAILED, T.FAILED), (S.CANCELLED, T.CANCELLED)):
            bad = next((each for each in ended if each.status is status), None)
            if bad is not None:
                return self.store.sweeps.end_trial(trial, state, reason=bad.reason)
        if len(ended) < len(known):
            return False
        values = [value_of(each, self.asked) for each in ended]
        numbers = [value for value in values if value is not None]
        if len(numbers) < len(values):
            reason = say("Its results have no {metric}.", metric=self.asked.metric)
            return self.store.sweeps.end_trial(trial, T.FAILED, reason=reason)
        return self.store.sweeps.end_trial(trial, T.SUCCEEDED, value=statistics.fmean(numbers))

    def _seen(self, trials: Sequence[Trial]) -> dict[int, list[Evaluated]]:
        if self.asked.pruner == "none":
            return {}
        return {
            trial.number: evaluations([self._history(each) for each in trial.experiments])
            for trial in trials
        }

    def _history(self, experiment_id: str) -> Sequence[Metric]:
        """What an experiment was evaluated to be while it trains."""
        picks, judges = metric_names(self.asked)
        return self.store.metrics(experiment_id, picks) or self.store.metrics(experiment_id, judges)

    def _prune(self, trials: Sequence[Trial], seen: Mapping[int, Sequence[Evaluated]]) -> bool:
        doomed = to_prune(self.asked, trials, seen)
        done = False
        for trial in trials:
            if trial.number not in doomed or self._is_nearly_done(trial):
                continue
            last = seen[trial.number][-1]
            epoch = doomed[trial.number]
            reason = say(
                "Pruned at epoch {epoch:.2f}: others had a better {metric} there.",
                epoch=epoch,
                metric=self.asked.metric,
            )
            done |= self.store.sweeps.end_trial(
                trial, T.PRUNED, value=last.value, epoch=last.place / 1000, reason=reason
            )
            _stop(trial.experiments, self.store, reason)
        return done

    def _is_nearly_done(self, trial: Trial) -> bool:
        """Whether nothing of its training is left that pruning could save."""
        known = [self.experiments.get(each) for each in trial.experiments]
        return all(each is not None and each.progress >= 1.0 for each in known)

    def _queue(self, trial: Trial) -> None:
        try:
            self.enqueue(trial)
        except ConfigError as error:
            self.store.sweeps.end_trial(trial, T.FAILED, reason=str(error))

    def _go_on(self, seen: Mapping[int, Sequence[Evaluated]]) -> None:
        """Begin the next trials where there is room, or end the sweep."""
        trials = self._trials()
        running = sum(trial.state is T.RUNNING for trial in trials)
        if reason := _hopeless(trials):
            self._end(SweepStatus.FAILED, reason)
            return
        if len(trials) >= self.asked.total:
            if not running:
                self._end(*_outcome(trials))
            return
        room = self.asked.parallel or _slots(self.store, self.settings)
        while running < room and len(trials) < self.asked.total:
            trial = self.next_trial(trials, seen)
            if self.store.sweeps.get(self.sweep.id).status is not SweepStatus.RUNNING:
                return
            if not self.store.sweeps.add_trial(trial):
                return  # another process was faster: it goes on
            self._queue(trial)
            trials.append(trial)
            running += 1

    def _end(self, status: SweepStatus, reason: str | None) -> None:
        try:
            _leave(self.store.sweeps.end(self.sweep.id, status, reason), self.store)
        except StateError:
            return  # another process was faster
        log.info("sweep %s (%s) is %s", self.sweep.id, self.sweep.name, status)


def _leave(sweep: Sweep, store: Store) -> None:
    """End the trials of a sweep that has ended, and their experiments."""
    reason = sweep.reason or say("Its sweep has ended.")
    for trial in store.sweeps.trials(sweep.id):
        if trial.state is T.RUNNING:
            store.sweeps.end_trial(trial, T.CANCELLED, reason=reason)
            _stop(trial.experiments, store, reason)


def _stop_what_ended(sweep: Sweep, trials: Sequence[Trial], store: Store) -> None:
    """Cancel what still waits or runs of trials that have ended: who ended them may be gone."""
    reasons = {
        each: trial.reason for trial in trials if trial.state is not T.RUNNING
        for each in trial.experiments
    }  # fmt: skip
    tags = (tag_of(sweep.id),)
    for status in (S.QUEUED, S.RUNNING):
        for experiment in store.list(Filters(status=status, tags=tags), details=False):
            if experiment.id in reasons and experiment.cancel_requested_at is None:
                _stop([experiment.id], store, reasons[experiment.id])


def _stop(ids: Sequence[str], store: Store, reason: str | None) -> None:
    for each in ids:
        with suppress(StateError, NotFoundError):  # it has ended by itself, or was never queued
            cancel(each, store, reason=reason)


def _hopeless(trials: Sequence[Trial]) -> str | None:
    """Why a sweep is better ended; None where it isn't."""
    failed = [trial for trial in trials if trial.state is T.FAILED]
    good = (T.SUCCEEDED, T.PRUNED)
    if len(failed) < MOST_FAILURES or any(trial.state in good for trial in trials):
        return None
    return say(
        "Its first {n} trials failed, the last one so: {reason}",
        n=len(failed),
        reason=failed[-1].reason,
    )


def _outcome(trials: Sequence[Trial]) -> tuple[SweepStatus, str | None]:
    if any(trial.state is T.SUCCEEDED for trial in trials):
        return SweepStatus.SUCCEEDED, None
    return SweepStatus.FAILED, say("None of its trials succeeded.")


def _slots(store: Store, settings: Settings) -> int:
    """Experiments that the workers train at once; at least 1."""
    longest = timedelta(seconds=settings.lease_seconds)
    return max(1, sum(w.slots for w in store.queue.workers() if w.silence <= longest))


def queue_of_sweep(sweep: Sweep) -> str:
    """The queue in which the sweep's experiments wait, unless a trial asks for another."""
    return queue_of(SweepConfig.model_validate(sweep.asked).experiment)
