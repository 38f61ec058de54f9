"""An experiment in the queue: taken, stopped, given back, cancelled, resumed, deleted."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.yaml import read_draft
from tunesmith.errors import ConfigError, Interrupted, LeaseLostError, StateError, StorageError
from tunesmith.experiments import control, mirroring
from tunesmith.experiments.execution import execute
from tunesmith.experiments.lease import Lease, Stop
from tunesmith.experiments.mirroring import Mirroring
from tunesmith.experiments.prepare import prepare
from tunesmith.experiments.states import new_lease, this_process
from tunesmith.experiments.submission import enqueue, submit
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.files import LAST_OF_CHECKPOINT
from tunesmith.tracking.jobs import Jobs
from tunesmith.tracking.store import Store
from tunesmith.training.reporter import Reporter

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
from tunesmith.experiments.execution import execute
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store
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
    taken = store.jobs.take(
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
    store.jobs.requeue(experiment.id, {S.RUNNING}, last=False, reason="The lights went out.")
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
    store.jobs.requeue(experiment.id, {S.RUNNING}, last=False)
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
        store.jobs.requeue(taken.id, {S.RUNNING}, last=False)

    with pytest.raises(LeaseLostError):
        execute(taken.id, store, settings, lease=taken.lease, listener=StopAt(30, take_away))
    after = store.get(taken.id)
    assert (after.status, after.lease) == (S.QUEUED, None)
    assert max((m.step for m in store.metrics(taken.id)), default=0) <= 30


@pytest.fixture
def mirrored(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine that shares no files; between its own copies much time goes by."""
    monkeypatch.setattr(mirroring, "INTERVAL", 1000.0)
    return settings.model_copy(update={"artifacts": f"file://{tmp_path}/copies"})


def checkpoints(experiment: Experiment, settings: Settings) -> list[str]:
    """The whole checkpoints that are copied."""
    copied = Artifacts(str(settings.artifacts)).files(Path(str(experiment.directory)).name)
    return sorted(path for path in copied if path.endswith(LAST_OF_CHECKPOINT))


def terminate_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_given_back_was_copied_before_another_machine_can_take_it(
    classification: Asked, mirrored: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(classification, store, mirrored, **LONG)
    taken = take(store)
    found: list[list[str]] = []
    requeue = Jobs.requeue

    def then_look(self: Jobs, *args: Any, **kwargs: Any) -> Experiment:
        found.append(checkpoints(taken, mirrored))
        return requeue(self, *args, **kwargs)

    monkeypatch.setattr(Jobs, "requeue", then_look)
    listener = StopAt(30, terminate_self)
    with pytest.raises(Interrupted):
        execute(taken.id, store, mirrored, lease=taken.lease, listener=listener)
    assert store.get(taken.id).status is S.QUEUED
    assert "checkpoints/checkpoint-30/progress.json" in found[0]


def test_a_retried_experiment_leaves_nothing_of_before_to_go_on_from(
    classification: Asked, mirrored: Settings, store: Store
) -> None:
    queued(classification, store, mirrored, **LONG)
    taken = take(store)
    listener = StopAt(30, lambda: control.cancel(taken.id, store))
    with pytest.raises(Interrupted):
        execute(taken.id, store, mirrored, lease=taken.lease, listener=listener)
    assert checkpoints(taken, mirrored)
    assert store.metrics(taken.id)

    control.retry(taken.id, store)
    again = take(store)
    found: list[Any] = []

    def look() -> None:
        found.extend([checkpoints(taken, mirrored), store.metrics(taken.id)])
        terminate_self()

    with pytest.raises(Interrupted):
        execute(again.id, store, mirrored, lease=again.lease, listener=StopAt(1, look))
    assert found == [[], []]


def test_who_lost_the_lease_leaves_the_copy_to_the_next(
    classification: Asked, mirrored: Settings, store: Store
) -> None:
    queued(classification, store, mirrored, **LONG)
    taken = take(store)

    def take_away() -> None:
        store.jobs.requeue(taken.id, {S.RUNNING}, last=False)

    with pytest.raises(LeaseLostError):
        execute(taken.id, store, mirrored, lease=taken.lease, listener=StopAt(30, take_away))
    assert checkpoints(taken, mirrored) == []


def test_only_ended_experiments_are_resumed_retried_and_deleted(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = queued(classification, store, settings)
    for act in (control.resume, control.retry):
        with pytest.raises(StateError, match="waits in the queue"):
            act(experiment.id, store)
    with pytest.raises(StateError, match="cancel it before"):
        control.delete(experiment.id, store, settings)
    assert control.cancel(experiment.id, store).status is S.CANCELLED
    with pytest.raises(StateError, match="cancelled already"):
        control.cancel(experiment.id, store)
    retried = control.retry(experiment.id, store)
    assert (retried.status, retried.dataset_hash) == (S.QUEUED, None)
    again = control.rerun(experiment.id, store, settings, owner="anna")
    assert (again.owner, again.config) == ("anna", experiment.config)
    assert again.id != experiment.id
    assert store.jobs.positions() == {experiment.id: 1, again.id: 2}
    control.cancel(experiment.id, store)
    folder = Path(str(experiment.directory))
    assert control.delete(experiment.id, store, settings) is True
    assert not folder.exists()
    assert [e.id for e in store.list()] == [again.id]


def test_a_folder_from_elsewhere_outlives_the_record(
    classification: Asked, settings: Settings, store: Store, tmp_path: Path
) -> None:
    experiment = queued(classification, store, settings)
    control.cancel(experiment.id, store)
    elsewhere = tmp_path / "elsewhere"
    Path(str(experiment.directory)).rename(elsewhere)
    store.update(experiment.id, directory=str(elsewhere))
    assert control.delete(experiment.id, store, settings) is False
    assert elsewhere.is_dir()
    assert store.count() == 0


def on_two_machines(
    asked: Asked, here: Settings, there: Settings, store: Store
) -> tuple[Experiment, Path, Path]:
    """A cancelled experiment that was submitted here and trained there, and both of its folders."""
    experiment = queued(asked, store, here)
    ours = Path(str(experiment.directory))
    Mirroring(ours, here).update()
    theirs = there.results_dir / ours.name
    Mirroring(theirs, there)
    store.update(experiment.id, directory=str(theirs))
    return control.cancel(experiment.id, store), ours, theirs


def test_deleting_takes_this_machines_folder_and_the_copy_and_then_the_other_machines(
    classification: Asked, mirrored: Settings, store: Store, tmp_path: Path
) -> None:
    there = mirrored.model_copy(update={"results_dir": tmp_path / "there"})
    experiment, ours, theirs = on_two_machines(classification, mirrored, there, store)
    beside = Path(str(queued(classification, store, there).directory))
    assert theirs.is_dir()
    assert control.delete(experiment.id, store, mirrored) is True
    copies = Artifacts(str(mirrored.artifacts))
    assert (ours.exists(), copies.files(ours.name), store.count()) == (False, {}, 1)
    assert control.delete_left_over(store, there) == [theirs.name]
    assert (theirs.exists(), beside.is_dir()) == (False, True)
    assert control.delete_left_over(store, there) == []


def test_sweeping_leaves_what_a_lost_database_does_not_know_and_what_was_imported_again(
    classification: Asked, mirrored: Settings, store: Store, tmp_path: Path
) -> None:
    there = mirrored.model_copy(update={"results_dir": tmp_path / "there"})
    experiment, _, theirs = on_two_machines(classification, mirrored, there, store)
    with Store(f"sqlite:///{tmp_path / 'new.db'}") as new:
        assert control.delete_left_over(new, there) == []
    control.delete(experiment.id, store, mirrored)
    store.put(experiment)
    assert control.delete_left_over(store, there) == []
    assert theirs.is_dir()


def test_what_the_object_store_will_not_delete_stays_an_experiment(
    classification: Asked, mirrored: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = control.cancel(queued(classification, store, mirrored).id, store)

    def refuse(self: Artifacts, name: str, paths: list[str]) -> None:
        raise StorageError("no answer")

    monkeypatch.setattr(Artifacts, "remove", refuse)  # a bucket of a provider that is down
    with pytest.raises(StorageError, match="no answer"):
        control.delete(experiment.id, store, mirrored)
    assert store.get(experiment.id) == experiment
    assert Path(str(experiment.directory)).is_dir()


def test_what_the_store_does_not_take_leaves_no_folder(
    classification: Asked, settings: Settings, store: Store
) -> None:
    with sqlite3.connect(settings.store_url.removeprefix("sqlite:///")) as database:
        database.execute("ALTER TABLE experiments RENAME TO lost")
    with pytest.raises(StorageError):
        queued(classification, store, settings)
    with pytest.raises(StorageError):
        submit(prepare(read_draft(classification), settings), store, settings)
    assert list(settings.results_dir.glob("reviews_*")) == []
