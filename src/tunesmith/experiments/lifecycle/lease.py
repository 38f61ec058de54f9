"""The right to train one experiment, kept by a heartbeat; and every wish that it should stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from tunesmith.errors import BusyError, StorageError, TunesmithError
from tunesmith.settings import Settings
from tunesmith.store.store import Store

LONGEST_INTERVAL = 2.0
"""Most seconds between two heartbeats: how soon a wish to cancel is seen."""

RENEWALS = 10
"""Heartbeats that fit into the time after which a silent process is given up."""

GIVES_UP_AFTER = 0.7
"""Share of that time without the store after which this process stops by itself: before anybody
else may think it dead."""


def renewal_interval(settings: Settings) -> float:
    """Seconds between two heartbeats."""
    return min(settings.lease_seconds / RENEWALS, LONGEST_INTERVAL)


class Stop(StrEnum):
    """Why a training should stop."""

    INTERRUPTED = "interrupted"
    """Ctrl-C or SIGTERM, for one that was started by hand."""
    GIVEN_BACK = "given back"
    """The worker shuts down, or is gone: another one may go on."""
    CANCELLED = "cancelled"
    TIME_LIMIT = "time limit"
    LEASE_LOST = "lease lost"


@dataclass(eq=False)
class Lease:
    """Renews a lease from a thread of its own, while it is entered; notes why to stop.

    The store counts the renewals, so no clock of any machine decides who is alive. With `parent`,
    the process ends its training when that process is gone.
    """

    experiment_id: str
    token: str
    store: Store
    settings: Settings
    time_limit: float | None = None
    parent: int | None = None
    process: Mapping[str, Any] = field(default_factory=dict)
    """What tells this process apart from all others: written with the first heartbeat."""
    stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._patience = self.settings.lease_seconds * GIVES_UP_AFTER
        self._interval = renewal_interval(self.settings)
        self._done = threading.Event()
        self._begun = self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._renew(**self.process)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def ask(self, stop: Stop) -> None:
        """Ask the training to stop; the first reason stays, unless the lease is lost."""
        if self.stop is None or stop is Stop.LEASE_LOST:
            self.stop = stop

    def confirm(self) -> None:
        """Renew it now if the last heartbeat is so old that others may soon think this one dead.

        So a process that was stopped, or whose store hangs instead of failing, trains no step that
        another process may be training too.
        """
        if self.stop is not Stop.LEASE_LOST and self._is_overdue():
            self._renew()

    def _is_overdue(self) -> bool:
        return time.monotonic() - self._heard >= self._patience

    def _is_still_ours(self) -> bool:
        """Whether the store, which others keep from being written to, still says so.

        Who would take it away has to write, too; and a reconciler that had to wait for that looks
        again before it does.
        """
        try:
            known = self.store.get(self.experiment_id)
        except TunesmithError:
            return False
        return known.lease == self.token

    def _keep(self) -> None:
        while not self._done.wait(self._interval):
            if self.parent is not None and os.getppid() != self.parent:
                self.ask(Stop.GIVEN_BACK)
            if self.time_limit and time.monotonic() - self._begun >= self.time_limit:
                self.ask(Stop.TIME_LIMIT)
            if self.stop is not Stop.LEASE_LOST:
                self._renew()

    def _renew(self, **changes: Any) -> None:
        try:
            renewed = self.store.queue.renew(self.experiment_id, self.token, **changes)
        except StorageError as error:  # it may come back
            if isinstance(error, BusyError) and self._is_still_ours():
                self._heard = time.monotonic()
            elif self._is_overdue():
                self.ask(Stop.LEASE_LOST)
            return
        self._heard = time.monotonic()
        if renewed is None:
            self.ask(Stop.LEASE_LOST)
        elif renewed.cancel_requested_at is not None:
            self.ask(Stop.CANCELLED)
