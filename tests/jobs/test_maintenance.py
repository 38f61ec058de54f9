"""The round that looks after the queue outlives its own mistakes."""

from __future__ import annotations

import logging
import threading

import pytest

from tunesmith.jobs import maintenance
from tunesmith.jobs.maintenance import Maintenance
from tunesmith.jobs.queue import Notifier
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store


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
