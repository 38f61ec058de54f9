"""Training processes that die, hang or can't begin: each is recognised, and recorded truly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.jobs.conftest import Queue, eventually
from tests.store.records import change

from tunesmith.experiments.lifecycle.control import cancel
from tunesmith.experiments.lifecycle.states import new_lease, this_process
from tunesmith.files.folder import ExperimentFolder
from tunesmith.jobs.devices import Slot
from tunesmith.jobs.workers.endings import TRY_AGAIN
from tunesmith.jobs.workers.hanging import HangDetector
from tunesmith.jobs.workers.process import main
from tunesmith.jobs.workers.supervisor import Supervision, _exit_code
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

SLOT = Slot(0, ("cpu",), ("cpu",))


class Supervised:
    """An experiment that a thread takes and supervises."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.stopping = threading.Event()
        taken = store.queue.take(
            ["cpu"], lease=new_lease(), worker="here", phase="preparing data", **this_process()
        )
        assert taken is not None
        self.taken = taken
        self.ended: list[Experiment] = []
        run = Supervision(taken, SLOT, store, settings, self.stopping).run
        self.thread = threading.Thread(target=lambda: self.ended.append(run()))
        self.thread.start()

    def now(self) -> Experiment:
        return self.store.get(self.taken.id)

    def process(self) -> psutil.Process:
        """The training process, once it is there."""
        pid = eventually(lambda: (pid := self.now().pid) != os.getpid() and pid)
        return psutil.Process(pid)

    def end(self) -> Experiment:
        self.thread.join(120)
        (ended,) = self.ended
        assert ended == self.now()
        return ended


@pytest.fixture
def supervised(store: Store, settings: Settings) -> Iterator[Callable[[], Supervised]]:
    started: list[Supervised] = []

    def call() -> Supervised:
        started.append(Supervised(store, settings))
        return started[-1]

    yield call
    for one in started:
        one.stopping.set()
        one.thread.join(120)


def test_an_experiment_is_trained_in_a_process_of_its_own(
    queue: Queue, supervised: Callable[[], Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_LOG_FORMAT", "json")
    queue()
    running = supervised()
    assert running.process().ppid() == os.getpid()
    ended = running.end()
    assert ended.status == "succeeded"
    assert ended.restarts == 0
    assert ended.lease is None
    printed = ExperimentFolder(Path(str(ended.directory))).process.read_text().splitlines()
    logged = [json.loads(line) for line in printed if line.startswith("{")]
    assert {(line["component"], line["experiment"]) for line in logged} == {("training", ended.id)}
    assert any(line["message"].startswith("succeeded") for line in logged)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed from outside (SIGKILL"),
        (signal.SIGSEGV, "crashed in native code (SIGSEGV, a segmentation fault)"),
        (signal.SIGABRT, "crashed in native code (SIGABRT"),
        (signal.SIGUSR1, "ended by a signal from outside (SIGUSR1)"),
    ],
)
def test_a_process_that_a_signal_ended_is_explained_and_waits_again(
    number: signal.Signals, words: str, queue: Queue, supervised: Callable[[], Supervised]
) -> None:
    queue()
    running = supervised()
    running.process().send_signal(number)
    ended = running.end()
    assert ended.status == "queued"
    assert ended.restarts == 1
    assert words in str(ended.reason)
    assert "Restart 1 of 3." in str(ended.reason)


def test_after_max_restarts_it_failed_for_the_last_reason(
    queue: Queue, supervised: Callable[[], Supervised]
) -> None:
    queue(job={"max_restarts": 1})
    for _ in range(2):
        running = supervised()
        running.process().kill()
        ended = running.end()
    assert ended.status == "failed"
    assert "killed from outside" in str(ended.reason)
    assert "job.max_restarts" in str(ended.reason)


def test_a_process_that_ends_by_itself_is_quoted_and_not_started_again(
    queue: Queue, supervised: Callable[[], Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue()
    monkeypatch.setenv("TUNESMITH_LEASE_SECONDS", "soon")
    ended = supervised().end()
    assert ended.status == "failed"
    assert "ended by itself with exit code 2" in str(ended.reason)
    assert "TUNESMITH_LEASE_SECONDS" in str(ended.reason)
    assert "soon" in ExperimentFolder(Path(str(ended.directory))).process.read_text()


def test_a_shutdown_gives_back_what_has_not_begun_and_counts_no_restart(
    queue: Queue, supervised: Callable[[], Supervised]
) -> None:
    queue()
    running = supervised()
    running.process()
    running.stopping.set()
    ended = running.end()
    assert ended.status == "queued"
    assert ended.restarts == 0
    assert "Given back by worker here" in str(ended.reason)


def test_a_shutdown_gives_back_what_trains_with_a_checkpoint(
    queue: Queue, supervised: Callable[[], Supervised]
) -> None:
    queue(training={"num_train_epochs": 500})
    running = supervised()
    eventually(lambda: running.now().phase == "training" and running.now().progress > 0)
    running.stopping.set()
    ended = running.end()
    assert ended.status == "queued"
    assert ended.restarts == 0
    assert list((Path(str(ended.directory)) / "checkpoints").iterdir())


def test_what_does_not_obey_is_killed_and_that_is_recorded(
    queue: Queue, settings: Settings, store: Store
) -> None:
    impatient = settings.model_copy(update={"cancel_grace_seconds": 0.5})
    queue()
    running = Supervised(store, impatient)
    running.process().suspend()
    running.stopping.set()
    ended = running.end()
    assert ended.status == "queued"
    assert "did not stop within 0.5 seconds although the worker shut down" in str(ended.reason)
    assert ended.restarts == 0, "the experiment did nothing wrong"


def test_a_cancelled_one_that_does_not_obey_is_killed_and_cancelled(
    queue: Queue, settings: Settings, store: Store
) -> None:
    impatient = settings.model_copy(update={"cancel_grace_seconds": 0.5, "lease_seconds": 10.0})
    experiment = queue()
    running = Supervised(store, impatient)
    process = running.process()
    process.suspend()
    cancel(experiment.id, store)
    ended = running.end()
    assert ended.status == "cancelled"
    assert "it was cancelled" in str(ended.reason)
    assert not process.is_running()


def test_a_cancelled_one_that_hangs_is_killed_long_before_its_time_to_save_is_over(
    queue: Queue, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.jobs.workers.hanging.HANGS_AFTER", 2.0)
    patient = settings.model_copy(update={"cancel_grace_seconds": 600.0, "lease_seconds": 60.0})
    experiment = queue()
    running = Supervised(store, patient)
    process = running.process()
    process.suspend()
    cancel(experiment.id, store, by="maria")
    running.thread.join(60)
    ended = running.end()
    assert ended.status == "cancelled"
    assert "it was stopped, as by SIGSTOP" in str(ended.reason)
    assert "although it was cancelled" in str(ended.reason)
    assert not process.is_running()


@pytest.mark.parametrize("to", [ExperimentStatus.QUEUED, ExperimentStatus.FAILED])
def test_one_that_was_taken_from_a_hung_process_frees_its_slot_within_seconds(
    queue: Queue, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch,
    to: ExperimentStatus,
) -> None:  # fmt: skip
    monkeypatch.setattr("tunesmith.jobs.workers.supervisor.LOST_GRACE", 1.0)
    experiment = queue()
    running = Supervised(store, settings.model_copy(update={"lease_seconds": 2.0}))
    process = running.process()
    eventually(lambda: running.now().directory)
    process.suspend()
    time.sleep(2.0)  # for so long it had no heartbeat
    reason = "The process has had no heartbeat."
    if to is ExperimentStatus.QUEUED:
        store.queue.requeue(experiment.id, {ExperimentStatus.RUNNING}, last=False, reason=reason)
    else:
        store.change_status(experiment.id, to, {ExperimentStatus.RUNNING}, reason=reason)
    running.thread.join(60)
    assert not running.thread.is_alive()
    assert not process.is_running()
    assert (running.now().status, running.now().reason) == (to, reason)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import time; time.sleep(600)", "it hung"),
        ("import threading; a = threading.Lock(); a.acquire(); a.acquire()", "it hung"),
        ("while True: pass", None),
        (
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])",
            None,
        ),
    ],
)
def test_what_hangs_is_told_from_what_works(
    code: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.jobs.workers.hanging.HANGS_AFTER", 1.0)
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        try:
            time.sleep(1.0)
            hangs = HangDetector(process.pid)
            until = time.monotonic() + 2.5
            found = None
            while found is None and time.monotonic() < until:
                time.sleep(0.1)
                found = hangs.found(time.monotonic())
            assert (found is None) if expected is None else str(found).startswith(expected)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_what_outlives_its_time_limit_is_killed_and_failed(
    queue: Queue, settings: Settings, store: Store
) -> None:
    impatient = settings.model_copy(update={"cancel_grace_seconds": 0.5})
    queue(job={"time_limit": 1.0})
    running = Supervised(store, impatient)
    running.process().suspend()
    ended = running.end()
    assert ended.status == "failed"
    assert "job.time_limit" in str(ended.reason)


def test_one_that_is_deleted_as_soon_as_it_ended_harms_nobody(
    queue: Queue, supervised: Callable[[], Supervised], store: Store
) -> None:
    experiment = queue()
    running = supervised()
    running.process()
    store.change_status(experiment.id, ExperimentStatus.FAILED, {ExperimentStatus.RUNNING})
    store.delete(experiment.id)
    running.thread.join(120)
    assert [ended.id for ended in running.ended] == [experiment.id]


def test_a_process_that_loses_its_lease_asks_to_be_started_again(
    queue: Queue, store: Store, settings: Settings
) -> None:
    experiment = queue()
    store.queue.take(["cpu"], lease="a", worker="here", phase="preparing data", **this_process())
    assert main(experiment.id, "another", os.getppid()) == TRY_AGAIN
    now = store.get(experiment.id)
    assert (now.status, now.lease, now.dataset_hash) == (ExperimentStatus.RUNNING, "a", None)


def test_what_this_machine_cant_even_begin_waits_for_another_one_and_counts_no_restart(
    queue: Queue, supervised: Callable[[], Supervised], settings: Settings
) -> None:
    queue()
    settings.results_dir.rename(settings.results_dir.with_name("elsewhere"))
    settings.results_dir.write_text("no folder any more")
    ended = supervised().end()
    assert (ended.status, ended.restarts) == ("queued", 0)
    assert "can't be started" in str(ended.reason)


def test_a_configuration_of_another_version_fails_that_experiment_alone(
    queue: Queue, supervised: Callable[[], Supervised], store: Store
) -> None:
    experiment = queue()
    change(store, experiment.id, config={**experiment.config, "job": {"invented_later": 1}})
    ended = supervised().end()
    assert ended.status == "failed"
    assert "job.invented_later" in str(ended.reason)


@pytest.mark.slow
def test_one_of_several_processes_that_is_killed_is_resumed_like_the_first(
    queue: Queue, supervised: Callable[[], Supervised]
) -> None:
    queue(training={"num_train_epochs": 500, "processes": 2})
    running = supervised()
    eventually(lambda: running.now().phase == "training" and running.now().progress > 0)
    (second,) = running.process().children()
    second.kill()
    ended = running.end()
    assert (ended.status, ended.restarts) == ("queued", 1)
    assert "training process 2 of 2" in str(ended.reason)


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="this system can't wait without reaping")
@pytest.mark.parametrize(("code", "expected"), [("exit 3", 3), ("kill -9 $$", -9)])
def test_until_its_end_is_told_an_ended_process_keeps_its_number(code: str, expected: int) -> None:
    process = subprocess.Popen(["sh", "-c", code])
    assert _exit_code(process) == expected
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert process.wait() == expected


def test_one_whose_lease_went_to_another_writes_nothing_more(
    queue: Queue, supervised: Callable[[], Supervised], store: Store
) -> None:
    experiment = queue(training={"num_train_epochs": 500})
    running = supervised()
    eventually(lambda: running.now().phase == "training")
    store.queue.requeue(experiment.id, {running.now().status}, last=False)
    other = store.queue.take(
        ["cpu"], lease="other", worker="other", phase="training", **this_process()
    )
    assert other is not None
    running.thread.join(120)
    now = store.get(experiment.id)
    assert now.lease == "other"
    assert now.heartbeat == other.heartbeat
