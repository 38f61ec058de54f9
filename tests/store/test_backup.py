"""Backups: what is in them is what was in the store in one moment, and comes back whole or not."""

from __future__ import annotations

import math
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from tests.store.conftest import PostgresDatabases
from tests.store.records import NOON, MakeURL, enqueue, experiment, points, running, take

from tunesmith.errors import DataError, NotFoundError, StateError, StorageError
from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.store.database.backup import back_up, restore
from tunesmith.store.database.connection import Database
from tunesmith.store.database.schema import HEAD
from tunesmith.store.entities.experiments import DatasetVersion, Experiment
from tunesmith.store.entities.service import AuditEntry, Token
from tunesmith.store.store import Store

WRITTEN = 40
"""Batches of metrics that are written before the backup is made."""


def fill(store: Store) -> Experiment:
    """Some of everything; returns an experiment that is running under the lease `lease`."""
    ended = experiment(
        "影評 ✓", status=ExperimentStatus.SUCCEEDED, config={"b": 2**60, "a": [None, 0.1]},
        finished_at=NOON, score=0.75,
    )  # fmt: skip
    store.put(ended, points(ended.id, {1: math.nan, 2: math.inf, 3: 0.1}))
    store.record_dataset(
        DatasetVersion(
            name="reviews",
            number=1,
            hash="sha256:1",
            rows=2,
            columns=("text", "label"),
            splits={"train": 2},
            source="a.csv",
            created_at=NOON,
        )
    )
    store.access.add(Token(name="maria", role=Role.ADMIN, prefix="0123", hash="$argon2id$"))
    store.access.record(AuditEntry(actor="maria", action="queue.pause", target="gpu"))
    store.queue.pause("gpu", "maria")
    training = running(store)
    enqueue(store, "waits", runs_after=training.id)
    return training


def everything(store: Store) -> dict[str, object]:
    """All that the store says."""
    experiments = store.list()
    return {
        "experiments": experiments,
        "metrics": {one.id: repr(store.metrics(one.id)) for one in experiments},  # NaN != NaN
        "datasets": store.datasets(),
        "tokens": store.access.tokens(),
        "audit": store.access.entries(),
        "queues": store.queue.states(),
        "positions": store.queue.positions(),
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of another database, without a store, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'elsewhere' / 'store.db'}"
        return
    databases = PostgresDatabases(request.getfixturevalue("postgres"))
    yield databases.create()
    databases.drop()


def test_a_backup_made_while_training_is_one_moment_and_restores_identical_records(
    store: Store, url: str, elsewhere: str, tmp_path: Path
) -> None:
    training = fill(store)
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        """Two metrics and the progress, again and again: each time all three or none."""
        step = 0
        while not stop.is_set():
            step += 1
            both = [point for name in ("loss", "twin")
                    for point in points(training.id, {step: float(step)}, name)]  # fmt: skip
            store.add_metrics(both, lease="lease")
            if step == WRITTEN:
                begun.set()

    backup = tmp_path / "backups" / "store.db"
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        contents = back_up(url, backup)
    finally:
        stop.set()
        writer.join()
    assert backup.stat().st_mode & 0o777 == 0o600
    restored = restore(backup, elsewhere)
    assert restored == contents
    with Store(elsewhere) as there, Store(f"sqlite:///{backup}") as looked_into:
        found = everything(there)
        assert found == everything(looked_into)
        loss, twin = (there.metrics(training.id, name) for name in ("loss", "twin"))
        assert WRITTEN <= len(loss) == len(twin) <= len(store.metrics(training.id, "loss"))
        now = everything(store)
        names = [name for name in now if name != "metrics"]
        assert [found[name] for name in names] == [now[name] for name in names]
        # The training goes on under its lease, and numbers and triggers go on too.
        there.add_metrics(points(training.id, {10**6: 0.5}), lease="lease")
        there.access.record(AuditEntry(actor="ada", action="look"))
        entries, _ = there.access.entries()
        assert [entry.id for entry in entries] == [2, 1]


def test_restoring_replaces_a_store_with_experiments_only_when_told_to(
    make_url: MakeURL, tmp_path: Path
) -> None:
    full, other = make_url(), make_url()
    with Store(full) as store:
        fill(store)
        before = everything(store)
    backup = tmp_path / "store.db"
    back_up(full, backup)
    with Store(other) as store:
        theirs = store.queue.enqueue(experiment("theirs", queue="cpu"))
        for action in ("one", "two"):
            store.access.record(AuditEntry(actor="ada", action=action))
        with pytest.raises(StateError, match=r"holds 1 experiments, .* nothing was changed"):
            restore(backup, other)
        assert store.get(theirs.id) == theirs
        restore(backup, other, replace=True)
        assert everything(store) == before
    engine = create_engine(other)
    with pytest.raises(Exception, match="can only grow"), engine.begin() as connection:
        connection.execute(text("DELETE FROM audit"))
    engine.dispose()


def test_a_restore_that_fails_half_way_leaves_the_store_as_it_was(
    make_url: MakeURL, tmp_path: Path
) -> None:
    full, other = make_url(), make_url()
    with Store(full) as store:
        fill(store)
    backup = tmp_path / "store.db"
    back_up(full, backup)
    with sqlite3.connect(backup) as connection:  # the last table: the others are written by then
        connection.execute("UPDATE metrics SET recorded_at = 'noon'")
    with Store(other) as store:
        theirs = enqueue(store)
        before = everything(store)
        with pytest.raises((ValueError, StorageError)):
            restore(backup, other, replace=True)
        assert everything(store) == before
        assert take(store) == replace(
            theirs, **{name: getattr(store.get(theirs.id), name) for name in (
                "status", "lease", "heartbeat", "worker", "host", "phase", "started_at",
            )}
        )  # fmt: skip


def test_a_store_of_an_older_version_is_backed_up_as_it_is_and_upgraded_when_restored(
    make_url: MakeURL, tmp_path: Path
) -> None:
    old, new = make_url(), make_url()
    with Store(old) as store:
        one = experiment(config={"a": 1}, reason="why", finished_at=NOON)
        store.put(one, points(one.id, {1: 0.5}))
        store.access.record(AuditEntry(actor="ada", action="delete"))
    for revision in ("0003", "0001"):
        backup = tmp_path / f"{revision}.db"
        with closing(Database(old)) as database:
            database.migrate(revision)
            assert back_up(old, backup).revision == revision
            assert database.revision == revision
        assert restore(backup, new, replace=True).revision == HEAD
        with Store(new) as store:
            assert store.list() == [one]
            assert [point.value for point in store.metrics(one.id)] == [0.5]
        assert back_up(f"sqlite:///{backup}", tmp_path / f"{revision}-copy.db").revision == revision


def test_what_is_no_backup_or_too_new_is_refused_with_what_to_do(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with pytest.raises(NotFoundError, match="no file"):
        restore(tmp_path / "nothing.db", url)
    text_file = tmp_path / "text.db"
    text_file.write_text("not a database, though it is long enough to be taken for one" * 100)
    with pytest.raises(DataError, match="no backup that can be read"):
        restore(text_file, url)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(DataError, match="another program's database"):
        restore(other, url)
    newer = tmp_path / "newer.db"
    shutil.copy(migrated_sqlite, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"schema is 9999.*Upgrade Tunesmith"):
        restore(newer, url)
    with pytest.raises(StorageError, match=r"schema is 9999.*Upgrade Tunesmith"):
        back_up(f"sqlite:///{newer}", tmp_path / "of-newer.db")
    with pytest.raises(StateError, match="there already"):
        back_up(f"sqlite:///{migrated_sqlite}", other)
    with pytest.raises(NotFoundError, match="There is no store"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "of-none.db")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "of-"))]
