"""What all routes share, made once for a process: store, broker, who may do what, measurements."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tunesmith.api.access.auth import Authenticator
from tunesmith.api.computing.processes import Computing
from tunesmith.api.computing.reports import Reports
from tunesmith.api.computing.turns import MOST_LIGHT, MOST_SHORT, SHORT_PATIENCE, Turns
from tunesmith.api.http.prometheus import Measurements
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.jobs.queue import Notifier
from tunesmith.jobs.workers.maintenance import Maintenance
from tunesmith.messages import say
from tunesmith.models.hub_search import HubSearch
from tunesmith.schemas.experiments import Broker
from tunesmith.serving.answering_process import Companion
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

STALE_UPLOAD = 24 * 3600.0
"""Seconds after which what an interrupted upload left is deleted."""


@dataclass(frozen=True)
class Service:
    """The parts of a running API."""

    settings: Settings
    store: Store
    authenticator: Authenticator
    measurements: Measurements
    notifier: Notifier
    maintenance: Maintenance
    turns: Turns
    """Of requests that read whole datasets."""
    light_turns: Turns
    """Of those that look at a text or a few rows: never behind the others."""
    short_turns: Turns
    """Of those that submit: never behind the others."""
    computing: Computing
    """Runs what reads whole datasets, beside this process."""
    reports: Reports
    copies: Copies | None
    """The object store in which other machines' experiments are."""
    companion: Companion
    """Answers for adapters, in a process of its own."""
    hub: HubSearch

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Open the store and reach for the broker.

        Raises ServiceError when the API may not be started like this, StorageError when the store
        can't be used, UserError when the object store's address can't be one.
        """
        copies = Copies.of(settings)
        store = Store(settings.store_url)
        try:
            authenticator = Authenticator(settings, store)
            measurements = Measurements(store)
        except BaseException:
            store.close()
            raise
        notifier = Notifier(settings)

        def also() -> None:
            measurements.look()
            authenticator.tokens.write_uses()

        maintenance = Maintenance(store, settings, notifier, also=also)
        turns, computing = Turns(), Computing(settings.check_seconds)
        short_turns = Turns(MOST_SHORT, SHORT_PATIENCE)
        return cls(
            settings, store, authenticator, measurements, notifier, maintenance,
            turns, Turns(MOST_LIGHT), short_turns, computing, Reports(settings, turns, computing),
            copies, Companion(settings), HubSearch(),
        )  # fmt: skip

    def start(self) -> None:
        """Begin to look after the queue. Raises StorageError when the folder can't be written."""
        if self.authenticator.open:
            self.authenticator.local.make()
        _sweep(self.uploads)
        self.computing.start()
        self.maintenance.start()

    def close(self) -> None:
        """End threads and connections."""
        self.computing.close()
        self.companion.close()
        self.hub.close()
        self.maintenance.close()
        self.notifier.close()
        self.store.close()

    def folder_of(self, experiment: Experiment) -> ExperimentFolder:
        """The experiment's folder, wherever it lies."""
        return ExperimentFolder.of(experiment, self.settings, self.copies)

    @property
    def uploads(self) -> Path:
        """Folder in which uploads lie until they are imported."""
        return self.settings.results_dir / "uploads"

    def notify(self, queue: str | None) -> Broker:
        """Tell workers of new work, without waiting for it; what is known of the broker."""
        if queue is not None:
            self.notifier.notify(queue)
        return self.broker()

    def broker(self) -> Broker:
        """What is known of the broker."""
        if self.notifier.live:
            return Broker(live=True, message=say("Workers hear of new work at once."))
        return Broker(
            live=False,
            message=say(
                "The broker can't be reached: experiments are kept and taken once "
                "workers look into the store."
            ),
        )


def _sweep(uploads: Path) -> None:
    """Delete what uploads left that were interrupted by the end of the process."""
    if not uploads.is_dir() or uploads.is_symlink():
        return
    for folder in uploads.iterdir():
        if time.time() - folder.lstat().st_mtime > STALE_UPLOAD:
            shutil.rmtree(folder, ignore_errors=True)
