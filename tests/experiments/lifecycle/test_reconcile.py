"""Experiments whose process is gone, silent, or only seems so because a clock was set."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest
import time_machine

from tunesmith.config.yaml import read_draft
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.reconcile import (
    Reconciler,
    Restart,
    give_up,
    is_alive,
    reconcile,
)
from tunesmith.experiments.lifecycle.states import new_lease, seconds_after_boot, this_process
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

S = ExperimentStatus
Asked = dict[str, Any]
ELSEWHERE: dict[str, Any] = {"pid": 1, "host": "another-machine", "process_started": 1.0}


@pytest.fixture
def brief(settings: Settings) -> Settings:
    """Settings under which a process is thought dead after a second of silence."""
    return settings.model_copy(update={"lease_seconds": 1.0})


def taken(asked: Asked, store: Store, settings: Settings, **process: Any) -> Experiment:
    enqueue(read_draft(asked), store, settings)
    found = store.queue.take(
        ["cpu"], lease=new_lease(), worker="w", phase="training", **(process or this_process())
    )
    assert found is not None
    return found


def test_one_whose_process_was_killed_here_is_queued_again_at_once(
    classification: Asked, settings: Settings, store: Store
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = seconds_after_boot(psutil.Process(process.pid))
    mine = {**this_process(), "pid": process.pid, "process_started": started}
    experiment = taken(classification, store, settings, **mine)
    assert reconcile(store, settings) == []
    process.kill()
    process.wait()
    (again,) = reconcile(store, settings)
    assert (again.id, again.status, again.restarts) == (experiment.id, S.QUEUED, 1)
    assert "ended without a word" in str(again.reason)
    assert "Restart 1 of 3" in str(again.reason)
    assert reconcile(store, settings) == []


def test_after_the_last_restart_it_fails_and_says_how_often_it_was_tried(
    classification: Asked, settings: Settings, store: Store
) -> None:
    asked = {**classification, "job": {"max_restarts": 1}}
    experiment = taken(asked, store, settings)
    give_up(experiment, "It was killed.", store, restart=Restart.COUNTED)
    (second,) = [store.queue.take(["cpu"], lease="b", worker="w", phase="", **ELSEWHERE)]
    assert second is not None
    ended = give_up(second, "It was killed.", store, restart=Restart.COUNTED)
    assert ended.status is S.FAILED
    assert "It was restarted 1 times before (job.max_restarts)" in str(ended.reason)
    assert f"tunesmith experiments resume {experiment.id}" in str(ended.reason)


def test_a_machine_of_the_same_name_does_not_judge_by_its_own_processes(
    classification: Asked, settings: Settings, store: Store
) -> None:
    gone = {**this_process(), "pid": 2**22 + 1}  # beyond what Linux gives
    taken(classification, store, settings, **{**gone, "machine": "0123456789abcdef"})
    assert reconcile(store, settings) == []
    of_before = taken(classification, store, settings, **{**gone, "machine": None})
    assert [e.id for e in reconcile(store, settings)] == [of_before.id]


def test_one_that_is_silent_for_the_time_of_its_lease_is_taken_up(
    classification: Asked, brief: Settings, store: Store
) -> None:
    experiment = taken(classification, store, brief, **ELSEWHERE)
    watcher = Reconciler(store, brief)
    assert watcher.round() == []
    time.sleep(1.1)
    (again,) = watcher.round()
    assert (again.id, again.status) == (experiment.id, S.QUEUED)
    assert "no heartbeat" in str(again.reason)


def test_signs_of_life_keep_it_whatever_the_clocks_say(
    classification: Asked, brief: Settings, store: Store
) -> None:
    experiment = taken(classification, store, brief, **ELSEWHERE)
    watcher = Reconciler(store, brief)
    now = datetime.datetime.now(datetime.UTC)
    for hours in (0, 1, -1, 5):
        with time_machine.travel(now + datetime.timedelta(hours=hours)):
            assert store.queue.renew(experiment.id, str(experiment.lease)) is not None
            assert watcher.round() == []
        time.sleep(0.5)
    assert store.get(experiment.id).status is S.RUNNING


def test_a_process_of_this_machine_is_known_again_after_the_clock_was_set(
    classification: Asked, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = taken(classification, store, settings)
    boot = psutil.boot_time()
    created = psutil.Process.create_time
    # What the kernel tells when its clock was set forward by an hour: it can't be set in a test.
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert is_alive(store.get(experiment.id))


def test_a_cancelled_one_whose_process_died_is_cancelled(
    classification: Asked, brief: Settings, store: Store
) -> None:
    experiment = taken(classification, store, brief, **ELSEWHERE)
    assert control.cancel(experiment.id, store, by="anna").status is S.RUNNING
    watcher = Reconciler(store, brief)
    watcher.round()
    time.sleep(1.1)
    (ended,) = watcher.round()
    assert ended.status is S.CANCELLED


def test_of_two_watchers_one_takes_it_up(
    classification: Asked, brief: Settings, store: Store
) -> None:
    taken(classification, store, brief, **ELSEWHERE)
    watchers = [Reconciler(store, brief) for _ in range(2)]
    for watcher in watchers:
        watcher.round()
    time.sleep(1.1)
    assert sum(len(watcher.round()) for watcher in watchers) == 1
    assert store.list()[0].restarts == 1
