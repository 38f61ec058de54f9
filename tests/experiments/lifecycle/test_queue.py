"""An experiment in the queue: taken, stopped, given back, cancelled, resumed, deleted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.yaml import read_draft
from tunesmith.errors import ConfigError, Interrupted, LeaseLostError
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.lease import Lease, Stop
from tunesmith.experiments.lifecycle.states import new_lease, this_process
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.reporting.reporter import Reporter

S = ExperimentStatus
Asked = dict[str, Any]

LONG: Asked = {
    "training.num_train_epochs": 400,
    "training.save_strategy": "epoch",
    "training.eval_strategy": "no",
}
"""Longer than any test waits."""

TRAIN = """
import sys
from tunesmith.errors import Interrupted
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.settings import Settings
from tunesmith.store.store import Store
settings = Settings.read()
with Store(settings.store_url) as store:
    try:
        execute(sys.argv[1], store, settings, lease=sys.argv[2])
    except Interrupted:
        pass
"""


def queued(asked: Asked, store: Store, settings: Settings, **fields: Any) -> Experiment:
    return enqueue(read_draft(asked, fields=fields), store, settings)


def take(store: Store) -> Experiment:
    taken = store.queue.take(
        ["cpu"], lease=new_lease(), worker="w", phase="preparing data", **this_process()
    )
    assert taken is not None
    return taken


class StopAt(Reporter):
    """Acts once training has done some steps."""

    def __init__(self, step: int, act: Any) -> None:
        self.step, self.act = step, act

    def progress(self, done: int, total: int) -> None:
        if done == self.step and self.act is not None and total > 50:
            act, self.act = self.act, None
            act()


@contextmanager
def training_process(experiment: Experiment, settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """The experiment, trained by a process of its own; ended at the end."""
    environment = {
        **os.environ,
        "TUNESMITH_RESULTS_DIR": str(settings.results_dir),
        "TUNESMITH_DATABASE_URL": settings.store_url,
        "TUNESMITH_CACHE_DIR": str(settings.cache_dir),
        "TUNESMITH_LEASE_SECONDS": "5",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, experiment.id, str(experiment.lease)],
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_for(condition: Any, what: str, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if process is not None and process.poll() is not None and process.stderr is not None:
            pytest.fail(f"the process ended: {process.stderr.read()}")
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.1)


def test_a_taken_experiment_reads_its_data_resolves_its_configuration_and_succeeds(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings, **{"training.num_train_epochs": 1})
    assert (experiment.status, experiment.queue) == (S.QUEUED, "cpu")
    assert experiment.dataset_hash is None
    assert (Path(str(experiment.directory)) / "config.yaml").is_file()
    taken = take(store)
    ended = execute(taken.id, store, settings, lease=taken.lease)
    assert ended.status is S.SUCCEEDED
    assert ended.lease is None
    assert ended.time_left is None
    assert ended.config["lora"]["target_modules"]
    assert ended.dataset_version == 1
    assert store.datasets()[0].hash == ended.dataset_hash


def test_what_a_configuration_shows_by_itself_is_refused_at_once(
    classification: Asked, settings: Settings, store: Store
) -> None:
    with pytest.raises(ConfigError) as caught:
        queued(
            classification, store, settings,
            **{"lora.r": 0, "training.metric_for_best_model": "acuracy", "job.queue": "tpu"},
        )  # fmt: skip
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"lora.r", "training.metric_for_best_model", "job.queue"}
    with pytest.raises(ConfigError, match="runs_after"):
        enqueue(read_draft(classification), store, settings, runs_after="nothing")
    assert store.count() == 0


def test_data_that_are_not_there_fail_the_experiment_with_that_reason(
    classification: Asked, settings: Settings, store: Store
) -> None:
    queued(classification, store, settings, **{"data.dataset_name": "gone.csv"})
    taken = take(store)
    with pytest.raises(ConfigError, match=r"gone\.csv"):
        execute(taken.id, store, settings, lease=taken.lease)
    ended = store.get(taken.id)
    assert ended.status is S.FAILED
    assert "gone.csv" in str(ended.reason)


def test_a_cancelled_one_saves_a_checkpoint_and_goes_on_from_it_with_the_same_end(
    classification: Asked, settings: Settings, store: Store
) -> None:
    whole = queued(classification, store, settings)
    taken = take(store)
    expected = execute(whole.id, store, settings, lease=taken.lease)
    experiment = queued(classification, store, settings)
    taken = take(store)

    def cancel() -> None:
        control.cancel(experiment.id, store, by="anna")
        wait_for(lambda: listener_stops(), "the wish to stop")

    lease = store.get(experiment.id).lease
    assert lease == taken.lease

    def listener_stops() -> bool:
        return store.get(experiment.id).heartbeat > beat + 1

    beat = taken.heartbeat
    with pytest.raises(Interrupted):
        execute(experiment.id, store, settings, lease=lease, listener=StopAt(40, cancel))
    ended = store.get(experiment.id)
    assert ended.status is S.CANCELLED
    assert "Cancelled by anna" in str(ended.reason)
    assert control.resume(experiment.id, store).status is S.QUEUED
    taken = take(store)
    again = execute(experiment.id, store, settings, lease=taken.lease)
    assert again.status is S.SUCCEEDED
    assert again.metrics["train_loss"] == pytest.approx(expected.metrics["train_loss"], rel=1e-6)
    assert again.score == expected.score


def test_sigterm_gives_a_taken_experiment_back_with_its_checkpoint(
    classification: Asked, settings: Settings, store: Store
) -> None:
    queued(classification, store, settings, **LONG)
    taken = take(store)
    with training_process(taken, settings) as process:
        wait_for(lambda: store.get(taken.id).progress > 0, "progress", process)
        assert store.get(taken.id).time_left is None or store.get(taken.id).time_left
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # a service manager tells the worker and its trainings
        # The second one may come when all is done, and nobody listens any more.
        assert process.wait(60) in (0, -signal.SIGTERM)
    given_back = store.get(taken.id)
    assert given_back.status is S.QUEUED
    assert given_back.lease is None
    assert given_back.restarts == 0
    assert list((Path(str(given_back.directory)) / "checkpoints").glob("checkpoint-*"))


def test_by_hand_a_second_ctrl_c_ends_at_once_also_what_was_cancelled_before(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings, **LONG)

    def stop() -> None:
        control.cancel(experiment.id, store, by="anna")
        for pause in (0.6, 0.0):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(pause)

    with pytest.raises(KeyboardInterrupt):
        execute(experiment.id, store, settings, listener=StopAt(30, stop))
    assert store.get(experiment.id).status is S.CANCELLED


def test_why_it_begins_once_more_stands_in_its_log(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings, **{"training.num_train_epochs": 1})
    take(store)
    store.queue.requeue(experiment.id, {S.RUNNING}, last=False, reason="The lights went out.")
    taken = take(store)
    assert taken.reason == "The lights went out.", "until it begins"
    ended = execute(taken.id, store, settings, lease=taken.lease)
    assert ended.reason is None
    log = Path(str(ended.directory)) / "logs.txt"
    assert "before: The lights went out." in log.read_text()


def test_a_process_that_was_silent_for_too_long_asks_before_it_trains_on(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings)
    taken = take(store)
    hurried = settings.model_copy(update={"lease_seconds": 0.1})
    lease = Lease(experiment.id, str(taken.lease), store, hurried)  # its thread doesn't run
    lease.confirm()
    assert store.get(experiment.id).heartbeat == taken.heartbeat, "it was heard of just now"
    time.sleep(0.1)
    lease.confirm()
    assert store.get(experiment.id).heartbeat == taken.heartbeat + 1
    store.queue.requeue(experiment.id, {S.RUNNING}, last=False)
    time.sleep(0.1)
    lease.confirm()
    assert lease.stop is Stop.LEASE_LOST


def test_its_time_over_an_experiment_fails_with_a_checkpoint(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings, **LONG, **{"job.time_limit": 8})
    taken = take(store)
    with training_process(taken, settings) as process:
        assert process.wait(120) == 0
    ended = store.get(experiment.id)
    assert ended.status is S.FAILED
    assert "job.time_limit, 8 seconds" in str(ended.reason)


def test_who_lost_the_lease_stops_and_writes_nothing_more(
    classification: Asked, settings: Settings, store: Store
) -> None:
    queued(classification, store, settings, **LONG)
    taken = take(store)

    def take_away() -> None:
        store.queue.requeue(taken.id, {S.RUNNING}, last=False)

    with pytest.raises(LeaseLostError):
        execute(taken.id, store, settings, lease=taken.lease, listener=StopAt(30, take_away))
    after = store.get(taken.id)
    assert (after.status, after.lease) == (S.QUEUED, None)
    assert max((m.step for m in store.metrics(taken.id)), default=0) <= 30
