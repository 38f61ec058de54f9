"""Bad luck and rivals: what a store says and keeps when the world is against it."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text
from tests.store.records import answers, change, experiment, python

from tunesmith.errors import StateError, StorageError, TunesmithError, UserError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.database.connection import Database, display_url
from tunesmith.store.entities.experiments import Filters, Metric
from tunesmith.store.store import Store

QUEUED, RUNNING = ExperimentStatus.QUEUED, ExperimentStatus.RUNNING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of an SQLite store with one experiment."""
    path = tmp_path / "experiments.db"
    with Store(f"sqlite:///{path}") as store:
        store.create(experiment(id="aaaa00000000"))
    return path


def one_paragraph(error: TunesmithError) -> str:
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)
    assert "sqlalche.me" not in str(error)
    return str(error)


# -- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "experiments.db", "http//user:s3cret@host", "sqlite"])
def test_an_address_that_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UserError, match=r"sqlite:///results/experiments\.db") as caught:
        Store(url)
    assert "s3cret" not in one_paragraph(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://user:s3cret@host/x", "nothing://x", "sqlite+aiosqlite:///x.db"]
)
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="can be SQLite or PostgreSQL") as caught:
        Store(url)
    assert "s3cret" not in one_paragraph(caught.value)


def test_a_missing_driver_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(UserError, match=r"'pg8000'.*pip install") as caught:
        Store("postgresql+pg8000://user:s3cret@host/x")
    assert "s3cret" not in one_paragraph(caught.value)


def test_a_server_that_cannot_be_reached_is_named_without_its_password() -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1") as caught:
        Store("postgresql://user:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in one_paragraph(caught.value)


def test_a_password_is_hidden_wherever_it_stands() -> None:
    url = make_url("postgresql://user:s3cret@host/x?sslpassword=s3cret&password=s3cret&a=b")
    assert "s3cret" not in display_url(url)
    assert "a=b" in display_url(url)


def test_the_folder_of_a_new_store_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "100%" / "experiments.db"
    Store(f"sqlite:///{path}").close()
    assert path.exists()


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Store("sqlite:///experiments.db") as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.close()
        store.create(experiment())
        assert store.count() == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_store_in_memory_serves_many_threads() -> None:
    with Store("sqlite://") as store:
        threads = [
            threading.Thread(target=store.create, args=[experiment(str(number))])
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.count() == 8


def test_sqlite_is_set_up_for_many_processes_and_power_cuts(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    with database.reading() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    database.close()
    full = 2
    assert found == {
        "journal_mode": "wal",
        "synchronous": full,
        "busy_timeout": 30_000,
        "foreign_keys": 1,
    }


# -- files ------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, not a database.\n" * 50)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not an SQLite database") as caught:
        Store(f"sqlite:///{path}")
    assert str(path) in one_paragraph(caught.value)
    assert path.read_bytes() == before


def test_a_damaged_file_is_said_to_be_damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with (
        pytest.raises(StorageError, match=r"damaged.*tunesmith experiments import") as caught,
        Store(f"sqlite:///{path}") as store,
    ):
        store.list()
    assert str(path) in one_paragraph(caught.value)


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be opened"):
        Store(f"sqlite:///{tmp_path}")


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StorageError, match="results"):
        Store(f"sqlite:///{tmp_path}/results/experiments.db")


def test_a_store_that_may_only_be_read_can_be_read_and_says_so(path: Path) -> None:
    with Store(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        assert store.get("aaaa00000000").name == "reviews"
        with pytest.raises(StorageError, match="may not be written") as caught:
            store.create(experiment())
        one_paragraph(caught.value)


def test_a_full_disk_is_said_and_nothing_is_half_written(path: Path) -> None:
    def fill(connection: Any, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    event.listen(Engine, "connect", fill)
    try:
        with Store(f"sqlite:///{path}") as store:
            points = [Metric("aaaa00000000", step, "loss", 0.5) for step in range(5000)]
            with pytest.raises(StorageError, match="disk is full") as caught:
                store.add_metrics(points)
            one_paragraph(caught.value)
            assert store.metrics("aaaa00000000") == []
            change(store, "aaaa00000000", progress=0.5)
    finally:
        event.remove(Engine, "connect", fill)
    with Store(f"sqlite:///{path}") as store:
        store.add_metrics(points)
        assert len(store.metrics("aaaa00000000")) == 5000


def test_a_store_that_stays_locked_is_said_and_then_works_again(path: Path) -> None:
    rival = sqlite3.connect(path, isolation_level=None)
    with Store(f"sqlite:///{path}?timeout=0.1") as store:
        rival.execute("BEGIN IMMEDIATE")
        assert store.count() == 1
        with pytest.raises(StorageError, match="kept it locked") as caught:
            change(store, "aaaa00000000", progress=0.5)
        one_paragraph(caught.value)
        rival.execute("ROLLBACK")
        change(store, "aaaa00000000", progress=0.5)
        assert store.get("aaaa00000000").progress == 0.5
    rival.close()


# -- rivals -----------------------------------------------------------------------------------


TAKE_ALL = """
import sys
from tunesmith.errors import StateError
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Filters
from tunesmith.store.store import Store
QUEUED, RUNNING = ExperimentStatus.QUEUED, ExperimentStatus.RUNNING
with Store(sys.argv[1]) as store:
    waiting = store.list(Filters(sort_by="name"))
    print("ready", flush=True)
    sys.stdin.readline()
    for one in waiting:
        try:
            print(store.change_status(one.id, RUNNING, {QUEUED}, host=sys.argv[2]).id)
        except StateError as error:
            assert "is running" in str(error), error
"""


def test_of_many_processes_one_takes_each_experiment(url: str) -> None:
    with Store(url) as store:
        for number in range(30):
            store.create(experiment(f"{number:03}"))
        outputs = answers([python(TAKE_ALL, url, str(number)) for number in range(4)])
        taken = Counter(line for output in outputs for line in output.split())
        assert len(taken) == 30
        assert set(taken.values()) == {1}
        for number, output in enumerate(outputs):
            assert {store.get(one).host for one in output.split()} <= {str(number)}


def test_of_many_threads_one_takes_an_experiment(store: Store) -> None:
    one = experiment()
    store.create(one)
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def take(name: str) -> None:
        barrier.wait()
        try:
            outcomes.append(str(store.change_status(one.id, RUNNING, {QUEUED}, host=name).host))
        except StateError:
            outcomes.append("late")

    threads = [threading.Thread(target=take, args=[str(number)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("late") == 7
    assert store.get(one.id).host in outcomes


WRITE_UNTIL_KILLED = """
import sys
from tunesmith.store.entities.experiments import Experiment, Metric
from tunesmith.store.store import Store
store = Store(sys.argv[1])
while True:
    one = Experiment(name="x", task="t", model_name="m", dataset_name="d")
    store.create(one)
    store.add_metrics([Metric(one.id, step, "loss", 0.5) for step in range(10)])
    print(one.id, flush=True)
"""


def test_what_was_answered_is_kept_when_the_process_is_killed(url: str) -> None:
    process = python(WRITE_UNTIL_KILLED, url)
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(20)]
    process.kill()
    answered += process.communicate(timeout=60)[0].split()
    with Store(url) as store:
        assert all(len(store.metrics(one)) == 10 for one in answered if len(one) == 12)
        # At most one experiment more, whose answer was not given.
        assert len(answered) <= store.count() <= len(answered) + 1
        assert all(len(store.metrics(one.id)) in (0, 10) for one in store.list(Filters()))


def test_a_server_that_restarted_is_used_again(url: str) -> None:
    with Store(url) as store:
        store.create(experiment())
        if url.startswith("postgresql"):
            engine = create_engine(url)
            with engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            engine.dispose()
        assert store.count() == 1
