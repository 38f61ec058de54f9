"""Migrations: they make exactly the tables of the code, are safe together, and can go back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from tests.tracking.records import MakeURL, answers, experiment, python

from tunesmith.errors import StorageError
from tunesmith.tracking import tables
from tunesmith.tracking.database import Database
from tunesmith.tracking.entities import Metric
from tunesmith.tracking.schema import HEAD, MIGRATIONS
from tunesmith.tracking.store import Store


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
            # The order of constraints differs, nothing else.
            found.append({name: sorted(sql or "") for name, sql in connection.execute(query)})
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


def test_opening_again_keeps_what_is_there(url: str) -> None:
    one = experiment()
    for _ in range(2):
        with Store(url) as store:
            store.put(one, [Metric(one.id, 1, "loss", 0.5)])
    with Store(url) as store:
        assert store.list() == [one]


def test_metrics_go_with_their_experiment(url: str, engine: Engine) -> None:
    one = experiment()
    with Store(url) as store:
        store.put(one, [Metric(one.id, 1, "loss", 0.5)])
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.execute(text("DELETE FROM experiments"))
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
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.store import Store
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
