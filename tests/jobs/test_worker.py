"""A worker as it is run: with a broker, without one, stopped, and killed."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from tests.jobs.conftest import Queue, Start, eventually

from tunesmith.jobs.broker import EmbeddedBroker
from tunesmith.jobs.queue import Notifier, send_once
from tunesmith.jobs.workers.worker import next_pause
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

LONG = {"num_train_epochs": 500, "save_strategy": "steps", "save_steps": 20}


def times_begun(experiment: Experiment) -> int:
    log = Path(str(experiment.directory)) / "logs.txt"
    return log.read_text().count("phase: training")


def is_training(store: Store, experiment_id: str) -> bool:
    experiment = store.get(experiment_id)
    return experiment.phase == "training" and experiment.progress > 0


@pytest.mark.slow
def test_a_doubled_message_trains_nothing_twice_and_the_order_is_the_queues(
    settings: Settings, broker: EmbeddedBroker, store: Store, queue: Queue, start: Start
) -> None:
    short = {"num_train_epochs": 1}
    later, sooner = queue(training=short), queue(training=short, job={"priority": 5})
    for _ in range(5):
        assert send_once(settings, "cpu")
    worker = start("worker", "--name", "twins", "--slots", "1")
    (known,) = eventually(lambda: store.queue.workers())
    assert (known.name, known.devices, known.queues) == ("twins", ("cpu",), ("cpu",))
    eventually(lambda: all(store.get(e.id).status.is_finished for e in (sooner, later)))
    first, second = store.get(sooner.id), store.get(later.id)
    for ended in (first, second):
        assert (ended.status, ended.restarts, ended.worker) == ("succeeded", 0, "twins")
        assert times_begun(ended) == 1
    assert first.finished_at
    assert second.started_at
    assert first.finished_at < second.started_at, "the higher priority went first"
    notifier = Notifier(settings)
    assert eventually(lambda: notifier.waiting("cpu") == 0)
    notifier.close()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert store.queue.workers() == []


@pytest.mark.slow
def test_work_is_found_while_the_broker_is_gone_and_messages_are_heard_once_it_is_there(
    settings: Settings, store: Store, queue: Queue, start: Start, tmp_path: Path
) -> None:
    start("worker")
    experiment = queue(training={"num_train_epochs": 1})
    assert not send_once(settings, "cpu")
    assert eventually(lambda: store.get(experiment.id).status == "succeeded")
    said = (tmp_path / "worker-0.txt").read_text()
    assert "nothing listens there" in said
    assert "Traceback" not in said
    with EmbeddedBroker(settings.redis_port):
        notifier = Notifier(settings)
        assert send_once(settings, "cpu")
        assert eventually(lambda: notifier.waiting("cpu") == 0), "it listens again"
        notifier.close()


def test_a_slot_pauses_longer_and_longer_while_trainings_end_without_a_word() -> None:
    pauses, pause = [], 0.0
    for status in ("failed", "queued", "queued", "failed", "queued", *["queued"] * 9, "succeeded"):
        pause = next_pause(pause, ExperimentStatus(status))
        pauses.append(pause)
    assert pauses[:5] == [0.0, 1.0, 2.0, 2.0, 4.0]
    assert pauses[-3:] == [300.0, 300.0, 0.0]


@pytest.mark.slow
def test_a_worker_that_is_stopped_gives_back_what_trains_and_the_next_one_goes_on(
    settings: Settings, broker: EmbeddedBroker, store: Store, queue: Queue, start: Start
) -> None:
    experiment = queue(training=LONG)
    first = start("worker")
    eventually(lambda: is_training(store, experiment.id))
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 0
    given_back = store.get(experiment.id)
    assert (given_back.status, given_back.restarts) == ("queued", 0)
    assert "Given back" in str(given_back.reason)
    start("worker")
    eventually(lambda: is_training(store, experiment.id))
    assert "resum" in (Path(str(given_back.directory)) / "logs.txt").read_text().lower()


def test_a_killed_worker_loses_nothing(
    settings: Settings, broker: EmbeddedBroker, store: Store, queue: Queue, start: Start
) -> None:
    experiment = queue(training=LONG)
    worker = start("worker", "--name", "first")
    eventually(lambda: is_training(store, experiment.id))
    worker.kill()
    back = eventually(
        lambda: (now := store.get(experiment.id)).status is ExperimentStatus.QUEUED and now
    )
    assert back.lease is None
    start("worker", "--name", "second")
    again = eventually(lambda: (now := store.get(experiment.id)).worker == "second" and now)
    assert again.status == "running"


def test_a_second_signal_ends_the_worker_at_once(
    settings: Settings, broker: EmbeddedBroker, store: Store, queue: Queue, start: Start
) -> None:
    experiment = queue(training=LONG)
    worker = start("worker")
    eventually(lambda: is_training(store, experiment.id))
    training = psutil.Process(store.get(experiment.id).pid)
    training.suspend()
    try:
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGINT)
        assert worker.wait(60) in (-signal.SIGINT, -signal.SIGTERM), "by a signal, not in order"
    finally:
        training.resume()
    assert eventually(lambda: store.get(experiment.id).status is ExperimentStatus.QUEUED)
