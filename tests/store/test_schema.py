"""Migrations: they make exactly the tables of the code, are safe together, and can go back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from tests.store.records import NOON, MakeURL, answers, experiment, minutes, python

from tunesmith.errors import StorageError
from tunesmith.store.database import tables
from tunesmith.store.database.connection import Database
from tunesmith.store.database.schema import HEAD, MIGRATIONS
from tunesmith.store.entities.experiments import DatasetVersion, Metric
from tunesmith.store.entities.service import AuditEntry
from tunesmith.store.store import Store


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A way into the database behind the store's back."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrations_make_exactly_the_tables_of_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []


def test_migrations_say_the_same_as_the_tables_where_alembic_does_not_look(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    declared = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    migrated = create_engine(f"sqlite:///{migrated_sqlite}")
    tables.metadata.create_all(declared)
    query = text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic_version%'")
    found = []
    for engine in (declared, migrated):
        with engine.connect() as connection:
            # The order of constraints differs, and quotes about names; nothing else.
            declarations = connection.execute(query).all()
        found.append({name: sorted((sql or "").replace('"', "")) for name, sql in declarations})
        engine.dispose()
    assert found[0] == found[1]


def test_going_back_leaves_nothing_and_coming_again_makes_a_store(url: str, engine: Engine) -> None:
    database = Database(url)
    database.migrate("base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    database.migrate(HEAD)
    database.close()
    with Store(url) as store:
        one = experiment()
        store.create(one)
        assert store.list() == [one]


AT_0001 = (
    """INSERT INTO experiments (id, name, status, progress, task, model_name, dataset_name,
        created_at, config, data, environment, plan, metrics)
    VALUES ('0123456789ab', 'old', 'succeeded', 1, 't', 'm', 'reviews.csv',
        '2026-01-31 12:00:00', '{"a": 1}', '{}', '{}', '{}', '{}')""",
    """INSERT INTO metrics (experiment_id, name, step, value, recorded_at)
    VALUES ('0123456789ab', 'loss', 1, 0.5, '2026-01-31 12:00:00')""",
    """INSERT INTO dataset_versions (name, hash, rows, columns, source, created_at) VALUES
        ('reviews', 'sha256:2', 20, '["text"]', 'new.csv', '2026-02-02 00:00:00'),
        ('reviews', 'sha256:1', 10, '["text", "label"]', 'old.csv', '2026-02-01 00:00:00'),
        ('other', 'sha256:3', 30, '["a"]', 'a.csv', '2026-02-03 00:00:00')""",
)


def test_what_0001_held_is_carried_over_and_versions_get_numbers(url: str, engine: Engine) -> None:
    database = Database(url)
    database.migrate("0001")
    with engine.begin() as connection:
        for statement in AT_0001:
            connection.execute(text(statement))
    database.migrate(HEAD)
    database.close()
    with Store(url) as store:
        (old,) = store.list()
        assert (old.name, old.config, old.dataset_version) == ("old", {"a": 1}, None)
        assert [point.value for point in store.metrics(old.id)] == [0.5]
        other, newer, older = store.datasets()
        assert (other.reference, other.hash) == ("other@1", "sha256:3")
        assert (newer.reference, newer.hash, newer.parent) == ("reviews@2", "sha256:2", 1)
        assert (older.reference, older.hash, older.parent) == ("reviews@1", "sha256:1", None)
        assert (older.columns, older.rows) == (("text", "label"), 10)
        assert (older.source, older.created_at.day) == ("old.csv", 1)
        assert (older.splits, older.report, older.created_by) == ({}, {}, "")


def test_going_back_to_0001_keeps_each_content_once(url: str, engine: Engine) -> None:
    with Store(url) as store:
        one = DatasetVersion(
            name="reviews",
            number=1,
            hash="sha256:1",
            rows=10,
            columns=("text",),
            splits={"train": 10},
            source="a.csv",
            created_at=NOON,
        )
        store.record_dataset(one)
        store.record_dataset(replace(one, number=2, source="b.csv", created_at=minutes(1)))
        store.put(experiment(dataset_version=2))
    database = Database(url)
    database.migrate("0001")
    database.close()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, hash, source FROM dataset_versions")).all()
        assert [tuple(row) for row in rows] == [("reviews", "sha256:1", "a.csv")]
        assert connection.scalar(text("SELECT COUNT(*) FROM experiments")) == 1
    names = {column["name"] for column in inspect(engine).get_columns("experiments")}
    assert "dataset_version" not in names


def test_there_and_back_between_0002_and_0003_keeps_every_row(url: str, engine: Engine) -> None:
    one = experiment(dataset_version=2, config={"a": 1}, reason="why", pid=7, progress=0.5)
    history = [Metric(one.id, step, "loss", 0.5, None, NOON) for step in range(3)]
    version = DatasetVersion(
        name="reviews", number=1, hash="sha256:1", rows=1, columns=("text",), splits={"train": 1},
        source="a.csv", created_at=NOON,
    )  # fmt: skip
    with Store(url) as store:
        store.put(one, history)
        store.record_dataset(version)
        store.access.record(AuditEntry(actor="ada", action="delete"))
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT * FROM dataset_versions")).all()
    database = Database(url)
    database.migrate("0002")
    found = inspect(engine)
    assert sorted(found.get_table_names()) == [
        "alembic_version", "dataset_versions", "experiments", "metrics",
    ]  # fmt: skip
    names = [column["name"] for column in found.get_columns("experiments")]
    assert names[-6:] == ["reason", "config", "data", "environment", "plan", "metrics"] or (
        engine.dialect.name == "postgresql"
    )
    with engine.connect() as connection:
        row = connection.execute(text("SELECT id, pid, progress, reason FROM experiments")).one()
        assert tuple(row) == (one.id, 7, 0.5, "why")
        assert connection.scalar(text("SELECT count(*) FROM metrics")) == 3
    database.migrate(HEAD)
    database.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM dataset_versions")).all() == versions
    with Store(url) as store:
        assert store.list() == [one]
        assert store.metrics(one.id) == history
        assert store.datasets() == [version]
        assert store.access.entries() == ([], 0)


def test_there_and_back_between_0003_and_0006_keeps_every_row(url: str, engine: Engine) -> None:
    one = experiment(
        config={"a": 1}, host="here", machine="0123456789abcdef", pid=7, note="?", tags=("a", "b")
    )
    history = [Metric(one.id, step, "loss", 0.5, None, NOON) for step in range(3)]
    with Store(url) as store:
        store.put(one, history)
        store.access.record(AuditEntry(actor="ada", action="delete"))
    database = Database(url)
    database.migrate("0003")
    names = [column["name"] for column in inspect(engine).get_columns("experiments")]
    assert not {"machine", "note"} & set(names)
    assert "experiment_tags" not in inspect(engine).get_table_names()
    database.migrate(HEAD)
    database.close()
    with Store(url) as store:
        assert store.list() == [replace(one, machine=None, note="", tags=())]
        assert store.metrics(one.id) == history
        assert len(store.access.entries()[0]) == 1


def test_opening_again_keeps_what_is_there(url: str) -> None:
    one = experiment()
    for _ in range(2):
        with Store(url) as store:
            store.put(one, [Metric(one.id, 1, "loss", 0.5)])
    with Store(url) as store:
        assert store.list() == [one]


def test_metrics_and_tags_go_with_their_experiment(url: str, engine: Engine) -> None:
    one = experiment(tags=("a",))
    with Store(url) as store:
        store.put(one, [Metric(one.id, 1, "loss", 0.5)])
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.execute(text("DELETE FROM experiments"))
            assert connection.scalar(text("SELECT count(*) FROM experiment_tags")) == 0
        assert store.metrics(one.id) == []


def test_foreign_keys_hold_after_a_migration_too(make_url: MakeURL) -> None:
    database = Database(make_url())
    with database.reading() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
    with pytest.raises(StorageError, match="written by a newer Tunesmith: its schema is f00d"):
        Store(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "f00d"
    assert "experiments" in inspect(engine).get_table_names()


def test_a_database_in_which_the_migration_fails_is_left_as_it_was(make_url: MakeURL) -> None:
    url = make_url()
    engine = create_engine(url)
    with engine.begin() as connection:
        # The last table of the migration: those before it must be gone afterwards.
        connection.execute(text("CREATE TABLE dataset_versions (theirs INTEGER)"))
    with pytest.raises(StorageError, match="dataset_versions"):
        Store(url)
    assert inspect(engine).get_table_names() == ["dataset_versions"]
    engine.dispose()


OPEN_AND_RECORD = """
import sys
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
print("ready", flush=True)
sys.stdin.readline()
name, *urls = sys.argv[1:]
for url in urls:
    with Store(url) as store:
        store.create(Experiment(name=name, task="t", model_name="m", dataset_name="d"))
"""


def test_processes_that_open_a_new_store_together_all_succeed(make_url: MakeURL) -> None:
    urls = [make_url() for _ in range(5)]
    names = [f"process {number}" for number in range(4)]
    answers([python(OPEN_AND_RECORD, name, *urls) for name in names])
    for url in urls:
        with Store(url) as store:
            assert sorted(one.name for one in store.list()) == names
