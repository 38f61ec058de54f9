"""Finds experiments whose process is gone, and gives them back to the queue or ends them.

No clock decides: a process that trains counts its heartbeats in the store, and a watcher calls
it dead when the count has not moved for `lease_seconds` of the watcher's own steady clock. On the
machine where it ran, the operating system knows at once.
"""

from __future__ import annotations

import time
from enum import Enum, auto

import psutil

from tunesmith.errors import LeaseLostError, StateError, StorageError
from tunesmith.experiments.lifecycle.states import S, end, job_of, queue_again, seconds_after_boot
from tunesmith.files.machine import is_this_machine
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

LONG_WAIT = 0.5
"""Seconds after which a store was locked by others: no process could write its heartbeat."""


class Restart(Enum):
    """Whether an experiment whose process is gone may be restarted without anybody asking."""

    NEVER = auto()
    COUNTED = auto()
    """As often as its `max_restarts` allow: it may be what kills its processes."""
    FREE = auto()
    """Always: nothing was wrong with it, but with what is around it."""


class Reconciler:
    """Watches the running experiments of a store, from round to round."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._patience = settings.lease_seconds
        self._seen: dict[tuple[str, str | None], tuple[int, float]] = {}
        """Experiment and lease → its count of heartbeats, and when that was first seen."""

    def round(self) -> list[Experiment]:
        """Take up what nobody runs; returns what changed its status. Raises StorageError."""
        now = time.monotonic()
        running = self._store.running()
        before, self._seen = self._seen, {}
        changed = []
        for experiment in running:
            key = (experiment.id, experiment.lease)
            count, since = before.get(key, (experiment.heartbeat, now))
            if count != experiment.heartbeat:
                count, since = experiment.heartbeat, now
            self._seen[key] = (count, since)
            reason = _why_dead(experiment, now - since, self._patience)
            if reason and not _ended_here(experiment) and self._store.queue.wait() > LONG_WAIT:
                # Others kept the store locked: a missing heartbeat means nothing.
                self._seen[key] = (count, time.monotonic())
            elif reason:
                changed += _given_up(experiment, reason, self._store)
        for experiment in self._store.queue.outside_queues():
            if _ended_here(experiment):
                reason = _ended(say("was about to train it"), experiment)
                changed += _given_up(experiment, reason, self._store)
        return changed


def reconcile(store: Store, settings: Settings) -> list[Experiment]:
    """One round, as at the start of a command: what died on this machine is taken up."""
    return Reconciler(store, settings).round()


def give_up(experiment: Experiment, reason: str, store: Store, *, restart: Restart) -> Experiment:
    """Take the experiment from the process that trained it, for `reason`, in one atomic update.

    One that somebody cancelled is cancelled; a queued one is put back to be resumed where `restart`
    allows it; any other failed.

    Raises StateError or LeaseLostError when somebody was faster.
    """
    experiment = store.get(experiment.id) if not experiment.config else experiment
    lease = experiment.lease
    if experiment.cancel_requested_at is not None:
        return end(
            store,
            experiment,
            S.CANCELLED,
            lease=lease,
            reason=say("Cancelled. {reason}", reason=reason),
        )
    if experiment.queue is None:
        hint = say(" Resume it with: tunesmith train --resume {id}", id=experiment.id)
        return end(store, experiment, S.FAILED, lease=lease, reason=reason + hint)
    if restart is Restart.FREE:
        return queue_again(store, experiment, last=False, lease=lease, reason=reason)
    most = job_of(experiment).max_restarts
    if restart is Restart.COUNTED and experiment.restarts < most:
        restarts = experiment.restarts + 1
        return queue_again(
            store,
            experiment,
            last=False,
            lease=lease,
            restarts=restarts,
            reason=say(
                "{reason} Restart {restarts} of {most}.",
                reason=reason,
                restarts=restarts,
                most=most,
            ),
        )
    if restart is Restart.COUNTED and most:
        reason += say(" It was restarted {most} times before (job.max_restarts).", most=most)
    hint = say(" Resume it with: tunesmith experiments resume {id}", id=experiment.id)
    return end(store, experiment, S.FAILED, lease=lease, reason=reason + hint)


def is_alive(experiment: Experiment) -> bool:
    """Whether the process that the record names lives here; a queued one's worker knows best."""
    if experiment.pid is None or not psutil.pid_exists(experiment.pid):
        return False
    try:
        process = psutil.Process(experiment.pid)
        started = seconds_after_boot(process)
        if experiment.process_started and abs(started - experiment.process_started) >= 1.5:
            return False
        # Of one that was queued a worker is about to say how it ended.
        return experiment.queue is not None or process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _given_up(experiment: Experiment, reason: str, store: Store) -> list[Experiment]:
    try:
        known = store.get(experiment.id)
        if known.heartbeat != experiment.heartbeat:
            return []  # it lives
        return [give_up(known, reason, store, restart=Restart.COUNTED)]
    except (StateError, LeaseLostError, StorageError):
        return []  # another process was faster, or its folder can't be written


def _ended_here(experiment: Experiment) -> bool:
    return is_this_machine(experiment.machine, experiment.host) and not is_alive(experiment)


def _why_dead(experiment: Experiment, silent: float, patience: float) -> str | None:
    if _ended_here(experiment):
        return _ended(say("trained it"), experiment)
    if silent < patience:
        return None
    return say(
        "The process that trained it (pid {pid} on {host}) has had no "
        "heartbeat for {seconds:.0f} seconds.",
        pid=experiment.pid,
        host=experiment.host,
        seconds=silent,
    )


def _ended(doing: str, experiment: Experiment) -> str:
    return say(
        "The process that {what} (pid {pid}) ended without a word, as after kill "
        "-9, when memory ran out, or when the machine lost power.",
        what=doing,
        pid=experiment.pid,
    )
