"""The round that every worker and API makes, and its own mistakes, which it outlives."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from tests.jobs.conftest import Queue

from tunesmith.experiments.lifecycle import control
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.mirror import Mirror
from tunesmith.jobs.queue import Notifier
from tunesmith.jobs.workers import maintenance
from tunesmith.jobs.workers.maintenance import Maintenance
from tunesmith.settings import Settings
from tunesmith.store.store import Store


def test_what_was_deleted_on_another_machine_is_deleted_on_this_one(
    settings: Settings, store: Store, queue: Queue, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"artifacts": f"file://{tmp_path}/copies"})
    here = elsewhere.model_copy(update={"results_dir": tmp_path / "here"})
    experiment = queue()
    folder = Path(str(experiment.directory))
    Mirror(ExperimentFolder(folder, Copies.of(elsewhere))).update()
    ExperimentFolder(here.results_dir / folder.name, Copies.of(here)).fetch()
    control.cancel(experiment.id, store)
    control.delete(experiment.id, store, elsewhere)
    notifier = Notifier(here)
    Maintenance(store, here, notifier).round()
    notifier.close()
    assert list(here.results_dir.iterdir()) == []


def test_rounds_go_on_after_one_failed_in_an_unforeseen_way_which_is_told_once(
    settings: Settings,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(maintenance, "INTERVAL", 0.01)
    rounds, third = 0, threading.Event()

    def stumble() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            third.set()
        raise KeyError("port")

    notifier = Notifier(settings)
    kept = Maintenance(store, settings, notifier, also=stumble)
    with caplog.at_level(logging.ERROR, "tunesmith.jobs"):
        kept.start()
        assert third.wait(30)
        kept.close()
    notifier.close()
    (told,) = [record for record in caplog.records if "maintenance round" in record.message]
    assert told.exc_info is not None
