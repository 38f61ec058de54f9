"""The round that every worker and API makes: nothing waits unheard or runs unwatched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tunesmith.errors import StorageError
from tunesmith.experiments.announcements import announce
from tunesmith.experiments.control import delete_left_over
from tunesmith.experiments.reconcile import Reconciler
from tunesmith.experiments.sweeps import advance_all
from tunesmith.jobs.logs import about, log
from tunesmith.jobs.queue import Notifier
from tunesmith.settings import Settings
from tunesmith.tracking.entities import QUEUES
from tunesmith.tracking.store import Store

INTERVAL = 2.0
"""Seconds between two rounds."""

LEFT_OVER_INTERVAL = 600.0
"""Seconds between two looks for what was deleted elsewhere."""

FORGETS_AFTER = 20
"""Times `lease_seconds` without a sign of life after which a worker's record is deleted."""


class Maintenance:
    """Looks after the queue from a thread, while it is started.

    A round gives experiments back whose process is gone, sends messages again when something could
    be taken and the broker holds none, and deletes records of workers that are gone, and now and
    then this machine's files of experiments that are. Beside the rounds, webhooks and hook are told
    of experiments that ended. `also` is called at the end of each round.
    Many may do this at once: each step is one atomic update.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        notifier: Notifier,
        also: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._left_over_due = time.monotonic()
        self._notifier = notifier
        self._also = also
        self._reconciler = Reconciler(store, settings)
        self._patience = settings.lease_seconds * FORGETS_AFTER
        self._seen: dict[str, tuple[int, float]] = {}
        """Worker → its count of signs of life, and when that was first seen (steady clock)."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="maintenance", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="announcements", daemon=True)
        """Beside the rounds: a receiver that is slow to answer must not hold them up."""
        self._store_is_there = True
        self._mistake: str | None = None
        """What a round failed with that nobody expected, so that each is told once."""

    def start(self) -> None:
        """Begin, with a round at once."""
        self._thread.start()
        self._teller.start()

    def close(self) -> None:
        """End; a round that was begun is finished, and what is being told is told."""
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
            if self._store.jobs.takeable([queue]) and self._notifier.waiting(queue) == 0:
                self._notifier.notify(queue)
        self._forget_workers()
        self._delete_left_over()
        if self._also is not None:
            self._also()
        advance_all(self._store, self._settings)

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
                announce(self._store, self._settings, patience=INTERVAL)
            except Exception:  # noqa: BLE001 - as for a round
                log.exception("telling of experiments that ended failed; it is tried again")
            if self._done.wait(INTERVAL):
                return

    def _delete_left_over(self) -> None:
        """Now and then, delete what this machine has of experiments that were deleted elsewhere."""
        if time.monotonic() < self._left_over_due:
            return
        self._left_over_due = time.monotonic() + LEFT_OVER_INTERVAL
        try:
            for name in delete_left_over(self._store, self._settings):
                log.info("%s was deleted elsewhere: so is its folder here", name)
        except StorageError as error:
            log.warning("%s", error)

    def _forget_workers(self) -> None:
        now = time.monotonic()
        before, self._seen = self._seen, {}
        for worker in self._store.jobs.workers():
            count, since = before.get(worker.name, (worker.heartbeat, now))
            if count != worker.heartbeat:
                since = now
            if now - since > self._patience:
                self._store.jobs.forget(worker.name)
            else:
                self._seen[worker.name] = (worker.heartbeat, since)
