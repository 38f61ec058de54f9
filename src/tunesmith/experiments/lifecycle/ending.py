"""How one run of an experiment ends, whatever ends it early: asked to stop, failed, given back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from tunesmith.errors import (
    BusyError,
    Interrupted,
    LeaseLostError,
    ProcessKilledError,
    StateError,
    StorageError,
    TunesmithError,
)
from tunesmith.experiments.lifecycle.lease import Lease, Stop
from tunesmith.experiments.lifecycle.reconcile import Restart, give_up
from tunesmith.experiments.lifecycle.states import S, end, queue_again
from tunesmith.files.log import log
from tunesmith.files.mirror import Mirror
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

T = TypeVar("T")

SAME_WISH = 0.5
"""Seconds within which another signal says nothing new: a service manager tells the worker and its
trainings at once, and the worker passes it on."""


@contextmanager
def heard(ask: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within this, Ctrl-C and SIGTERM call `ask`."""
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Held:
    """An experiment that this process trains under a lease, in a store that may be away a while."""

    store: Store
    settings: Settings
    lease: Lease
    mirror: Mirror

    def experiment(self) -> Experiment:
        """As the store knows it now."""
        return self.patiently(lambda: self.store.get(self.lease.experiment_id))

    def patiently(
        self,
        write: Callable[[], T],
        seconds: float | None = None,
        of: type[StorageError] = StorageError,
    ) -> T:
        """`write`, tried again while a store can't be reached and the lease may still hold.

        While others keep it locked it is tried again as long as that takes.

        `seconds` are by default those after which the lease is lost; `of` is what is waited out.
        """
        until = time.monotonic() + (seconds or self.settings.lease_seconds)
        while True:
            try:
                return write()
            except of as error:
                over = time.monotonic() > until and not isinstance(error, BusyError)
                if over or self.lease.stop is Stop.LEASE_LOST:
                    raise
                time.sleep(1.0)

    @contextmanager
    def stoppable(self, warn: Callable[[str], None], *, queued: bool) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM ask the training to stop; by hand, a second one stops it at once.

        How long a queued one may take is for its worker to say.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        again = "" if queued else say(" (press Ctrl-C again to stop now)")
        asked: list[float] = []

        def ask(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if asked:
                if not queued and now - asked[0] > SAME_WISH:
                    raise KeyboardInterrupt
                return
            asked.append(now)
            self.lease.ask(Stop.GIVEN_BACK if queued else Stop.INTERRUPTED)
            warn(say("stopping: a checkpoint is saved first{again}", again=again))

        with heard(ask):
            yield

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Records how the experiment ended, whatever ends it early; the error goes on."""
        try:
            yield
        except BaseException as error:
            expected = not isinstance(error, Exception) or isinstance(error, TunesmithError)
            cause = None if expected else error
            log.error("%s", str(error) or type(error).__name__, exc_info=cause)
            if not isinstance(error, LeaseLostError):
                self._record(error)
            raise

    def _record(self, error: BaseException) -> None:
        try:
            self.patiently(lambda: self._record_end(error))
        except (StorageError, StateError, LeaseLostError) as unrecorded:
            # What went wrong is raised all the same; that it ended will be found out by others.
            log.error("%s", unrecorded)

    def _record_end(self, error: BaseException) -> None:
        experiment, lease = self.experiment(), self.lease.token
        if isinstance(error, ProcessKilledError) and experiment.queue is not None:
            self.mirror.try_to_update()  # before another machine may go on
            give_up(experiment, str(error), self.store, restart=Restart.COUNTED)
            return
        status, where = S.CANCELLED, f": {error}" if str(error) else ""
        reason: str
        if not isinstance(error, (Interrupted, KeyboardInterrupt)):
            status, reason = S.FAILED, str(error)
            if not isinstance(error, TunesmithError):
                reason = say(
                    "Tunesmith made a mistake ({kind}: {error}); logs.txt has the details.",
                    kind=type(error).__name__,
                    error=error,
                )
        elif self.lease.stop is Stop.GIVEN_BACK:
            reason = say(
                "Given back by worker {worker}{where}.", worker=experiment.worker, where=where
            )
            self.mirror.try_to_update()  # before another machine may go on
            queue_again(self.store, experiment, last=False, lease=lease, reason=reason)
            return
        elif self.lease.stop is Stop.TIME_LIMIT:
            status, limit = S.FAILED, experiment.config["job"]["time_limit"]
            reason = say(
                "Its time was over (job.time_limit, {limit:g} seconds){where}.",
                limit=limit,
                where=where,
            )
        elif self.lease.stop is Stop.CANCELLED:
            reason = (experiment.reason or "Cancelled.").rstrip(".") + f"{where}."
        else:
            reason = say("Stopped by the user{where}.", where=where)
        end(self.store, experiment, status, lease=lease, reason=reason)
