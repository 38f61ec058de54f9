"""A store that another process keeps locked: whoever trains waits, and dies of nothing."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.store.records import points, running

from tunesmith.errors import BusyError
from tunesmith.experiments.lifecycle.execution import _as_line
from tunesmith.experiments.lifecycle.lease import Lease
from tunesmith.experiments.lifecycle.reconcile import Reconciler
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store import experiments
from tunesmith.store import metric_points as metric_points
from tunesmith.store.store import Store
from tunesmith.tasks.results import Prediction


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes, and goes on writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "store.db"


@pytest.fixture
def waiting(path: Path) -> Iterator[Store]:
    """A store whose writers wait a tenth of a second."""
    with Store(f"sqlite:///{path}?timeout=0.1") as store:
        yield store


def test_a_training_outlasts_a_store_that_is_locked_for_longer_than_its_lease(
    path: Path, waiting: Store, tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=tmp_path, TUNESMITH_LEASE_SECONDS=1.0)
    one = running(waiting)
    with Lease(one.id, "lease", waiting, settings) as held:
        with locked(path):
            with pytest.raises(BusyError, match="another process has kept it locked"):
                waiting.queue.write(one.id, "lease", phase="training")
            time.sleep(1.6)
            held.confirm()
        time.sleep(0.4)
        assert held.stop is None
    assert waiting.get(one.id).status is ExperimentStatus.RUNNING


def test_who_watches_gives_nobody_up_who_could_not_write(path: Path, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=tmp_path, TUNESMITH_LEASE_SECONDS=1.0)
    with Store(f"sqlite:///{path}") as store:
        one = running(store)  # on another machine
        watcher = Reconciler(store, settings)
        assert watcher.round() == []
        time.sleep(1.1)
        free = threading.Event()

        def hold() -> None:
            with locked(path):
                free.wait(1.0)

        other = threading.Thread(target=hold)
        other.start()
        time.sleep(0.2)
        assert watcher.round() == []  # it had to wait to write: so had the one that trains
        other.join()
        assert store.get(one.id).status is ExperimentStatus.RUNNING
        time.sleep(1.1)
        (gone,) = watcher.round()  # nobody keeps it locked now
        assert gone.id == one.id


def test_a_prediction_of_thousands_of_labels_leaves_its_scores_out_and_says_so() -> None:
    few = Prediction(1, "text", "a", "a", correct=True, scores=(0.5, 1.5))
    assert _as_line(few)["scores"] == (0.5, 1.5)
    many = _as_line(Prediction(1, "text", "a", "a", correct=True, scores=(0.5,) * 5000))
    assert (many["scores"], many["scores_left_out"], many["predicted"]) == ((), 5000, "a")


def test_many_points_are_written_in_parts_between_which_others_write(
    waiting: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_points, "PART", 10)
    one = running(waiting)
    sizes: list[int] = []
    write = metric_points.write

    def written(connection: object, part: list[object]) -> None:
        sizes.append(len(part))
        write(connection, part)  # type: ignore[arg-type]

    for module in (metric_points, experiments):
        monkeypatch.setattr(module, "write", written)
    waiting.add_metrics(points(one.id, dict.fromkeys(range(25), 0.5)), lease="lease")
    assert sizes == [10, 10, 5]
    waiting.put(waiting.get(one.id), points(one.id, dict.fromkeys(range(25), 0.5)))
    assert sizes[3:] == [10, 10, 5]
    assert len(waiting.metrics(one.id)) == 25
