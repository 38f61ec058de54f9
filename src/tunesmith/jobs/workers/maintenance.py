"""The round that every worker and API makes over the queue, so that no experiment is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.errors import StorageError
from tunesmith.experiments.lifecycle.control import delete_left_over
from tunesmith.experiments.lifecycle.reconcile import Reconciler
from tunesmith.experiments.notify.announcements import announce
from tunesmith.experiments.sweeps.driving import advance_all
from tunesmith.jobs.logs import about, log
from tunesmith.jobs.queue import Notifier
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import QUEUES
from tunesmith.store.store import Store

INTERVAL = 2.0
"""Seconds between two rounds."""

LEFT_OVER_INTERVAL = 600.0
"""Seconds between two looks for what was deleted elsewhere."""

FORGETS_AFTER = 20
"""Times `lease_seconds` without a heartbeat after which a worker's record is deleted."""


@dataclass(eq=False)
class Maintenance:
    """Looks after the queue from a thread, while it is started.

    A round puts experiments whose process is gone back into the queue, sends messages again where
    something waits and the broker holds none, and deletes the records of workers that are gone.
    Now and then it deletes this machine's files of deleted experiments. Webhooks and hook are
    called in a thread beside it. `also` is called at the end of each round. Many processes may do
    this at once: each step is one atomic update.
    """

    store: Store
    settings: Settings
    notifier: Notifier
    also: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._left_over_due = time.monotonic()
        self._reconciler = Reconciler(self.store, self.settings)
        self._patience = self.settings.lease_seconds * FORGETS_AFTER
        self._seen: dict[str, tuple[int, float]] = {}
        """Worker → its count of heartbeats, and when that was first seen (steady clock)."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="maintenance", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="announcements", daemon=True)
        """Calls webhooks and hook: a slow receiver must not hold up the rounds."""
        self._store_is_there = True
        self._mistake: str | None = None
        """Unexpected errors of rounds, so that each is logged once."""

    def start(self) -> None:
        """Begin, with a round at once."""
        self._thread.start()
        self._teller.start()

    def close(self) -> None:
        """End; a round that was begun is finished, and deliveries under way are finished."""
        self._done.set()
        for thread in (self._thread, self._teller):
            if thread.is_alive():
                thread.join()

    def round(self) -> None:
        """One round. Raises StorageError when the store can't be used."""
        for experiment in self._reconciler.round():
            log.warning(
                "%s is %s: %s", experiment.name, experiment.status, experiment.reason,
                extra=about(experiment.id),
            )  # fmt: skip
        for queue in QUEUES:
            if self.store.queue.takeable([queue]) and self.notifier.waiting(queue) == 0:
                self.notifier.notify(queue)
        self._forget_workers()
        self._delete_left_over()
        if self.also is not None:
            self.also()
        advance_all(self.store, self.settings)

    def _keep(self) -> None:
        while True:
            try:
                self.round()
            except StorageError as error:
                if self._store_is_there:
                    log.error("%s It is tried again until it answers.", error)
                self._store_is_there = False
            except Exception as error:  # noqa: BLE001 - as it says
                # Whatever a round stumbles over: without the next one nothing is looked after.
                if repr(error) != self._mistake:
                    log.exception("a maintenance round failed; the next one begins all the same")
                self._mistake = repr(error)
            else:
                if not self._store_is_there:
                    log.info("the store is back")
                self._store_is_there, self._mistake = True, None
            if self._done.wait(INTERVAL):
                return

    def _tell(self) -> None:
        while True:
            try:
                announce(self.store, self.settings, patience=INTERVAL)
            except Exception:  # noqa: BLE001 - as for a round
                log.exception("announcing experiments that ended failed; it is tried again")
            if self._done.wait(INTERVAL):
                return

    def _delete_left_over(self) -> None:
        """Now and then, delete what this machine has of experiments that were deleted elsewhere."""
        if time.monotonic() < self._left_over_due:
            return
        self._left_over_due = time.monotonic() + LEFT_OVER_INTERVAL
        try:
            for name in delete_left_over(self.store, self.settings):
                log.info("%s was deleted elsewhere: so is its folder here", name)
        except StorageError as error:
            log.warning("%s", error)

    def _forget_workers(self) -> None:
        now = time.monotonic()
        before, self._seen = self._seen, {}
        for worker in self.store.queue.workers():
            count, since = before.get(worker.name, (worker.heartbeat, now))
            if count != worker.heartbeat:
                since = now
            if now - since > self._patience:
                self.store.queue.forget(worker.name)
            else:
                self._seen[worker.name] = (worker.heartbeat, since)
