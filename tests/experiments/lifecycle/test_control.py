"""Copies of what is given back, and what people do with experiments that have ended."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.experiments.lifecycle.test_queue import LONG, Asked, S, StopAt, queued, take
from tests.store.records import change

from tunesmith.config.yaml import read_draft
from tunesmith.errors import Interrupted, LeaseLostError, StateError, StorageError
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.files import mirror
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import LAST_OF_CHECKPOINT
from tunesmith.files.mirror import Mirror
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.queue import ExperimentQueue
from tunesmith.store.store import Store


@pytest.fixture
def mirrored(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine that shares no files; between its own copies much time goes by."""
    monkeypatch.setattr(mirror, "INTERVAL", 1000.0)
    return settings.model_copy(update={"artifacts": f"file://{tmp_path}/copies"})


def checkpoints(experiment: Experiment, settings: Settings) -> list[str]:
    """The whole checkpoints that are copied."""
    copied = Copies(str(settings.artifacts)).files(Path(str(experiment.directory)).name)
    return sorted(path for path in copied if path.endswith(LAST_OF_CHECKPOINT))


def terminate_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_given_back_was_copied_before_another_machine_can_take_it(
    classification: Asked, mirrored: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(classification, store, mirrored, **LONG)
    taken = take(store)
    found: list[list[str]] = []
    requeue = ExperimentQueue.requeue

    def then_look(self: ExperimentQueue, *args: Any, **kwargs: Any) -> Experiment:
        found.append(checkpoints(taken, mirrored))
        return requeue(self, *args, **kwargs)

    monkeypatch.setattr(ExperimentQueue, "requeue", then_look)
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
        store.queue.requeue(taken.id, {S.RUNNING}, last=False)

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
    assert store.queue.positions() == {experiment.id: 1, again.id: 2}
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
    change(store, experiment.id, directory=str(elsewhere))
    assert control.delete(experiment.id, store, settings) is False
    assert elsewhere.is_dir()
    assert store.count() == 0


def on_two_machines(
    asked: Asked, here: Settings, there: Settings, store: Store
) -> tuple[Experiment, Path, Path]:
    """A cancelled experiment that was submitted here and trained there, and both of its folders."""
    experiment = queued(asked, store, here)
    ours = Path(str(experiment.directory))
    Mirror(ExperimentFolder(ours, Copies.of(here))).update()
    theirs = there.results_dir / ours.name
    ExperimentFolder(theirs, Copies.of(there)).fetch()
    change(store, experiment.id, directory=str(theirs))
    return control.cancel(experiment.id, store), ours, theirs


def test_deleting_takes_this_machines_folder_and_the_copy_and_then_the_other_machines(
    classification: Asked, mirrored: Settings, store: Store, tmp_path: Path
) -> None:
    there = mirrored.model_copy(update={"results_dir": tmp_path / "there"})
    experiment, ours, theirs = on_two_machines(classification, mirrored, there, store)
    beside = Path(str(queued(classification, store, there).directory))
    assert theirs.is_dir()
    assert control.delete(experiment.id, store, mirrored) is True
    copies = Copies(str(mirrored.artifacts))
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

    def refuse(self: Copies, name: str, paths: list[str]) -> None:
        raise StorageError("no answer")

    monkeypatch.setattr(Copies, "remove", refuse)  # a bucket of a provider that is down
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
