"""SQLite files, and queries to databases: read, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.conftest import postgres, postgres_server

from tunesmith import names
from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.sources import parse_dataset, read_source
from tunesmith.errors import ConfigError, DataError

__all__ = ["postgres", "postgres_server"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.db"
    with sqlite3.connect(path) as database:
        database.execute("create table meta (key)")
        database.execute("create table reviews (text, label integer, score)")
        rows = [("good", 1, 0.5), ("bad", 0, "?"), ("007", None, None)]
        database.executemany("insert into reviews values (?, ?, ?)", rows)
    database.close()
    return path


def rows_of(name: str) -> list[dict[str, Any]]:
    source = read_source(name)
    rows: list[dict[str, Any]] = source.tables["train"].drop_columns(["_row"]).to_pylist()
    return rows


def test_the_first_table_with_rows_is_read_and_the_others_are_named(file: Path) -> None:
    found = read_file(file)
    assert found.table.to_pylist() == [
        {"text": "good", "label": 1, "score": "0.5", "_row": 1},
        {"text": "bad", "label": 0, "score": "?", "_row": 2},
        {"text": "007", "label": None, "score": None, "_row": 3},
    ]
    assert "the table reviews is read, and not meta" in found.notes[0]
    assert read_file(file, ReadingOptions(sheet="2")).table.num_rows == 3
    with pytest.raises(ConfigError, match=r"no such table.*did you mean reviews"):
        read_file(file, ReadingOptions(sheet="review"))


def test_a_query_chooses_rows_and_leaves_nothing_beside_the_file(file: Path) -> None:
    before = file.read_bytes()
    found = rows_of(f"sqlite:///{file}#select text, label as y from reviews where label = 1;")
    assert found == [{"text": "good", "y": 1}]
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("delete from reviews", "begins with select or with"),
        ("select 1; delete from reviews", "one statement"),
        ("with x as (select 1) insert into reviews select 1, 2, 3", "not authorized"),
        ("select * from pragma_table_info('reviews')", "not authorized"),
        ("select zeroblob(1000000000)", "too big"),
        ("select absent from reviews", "no such column: absent"),
        ("select text, text from reviews", "stand more than once: text"),
        ("select text from reviews where 0", "no data rows"),
    ],
)
def test_what_only_reads_one_table_is_followed_and_nothing_else(
    file: Path, query: str, reason: str
) -> None:
    before = file.read_bytes()
    with pytest.raises(DataError, match=reason):
        read_source(f"sqlite:///{file}#{query}")
    assert file.read_bytes() == before


def test_rows_that_an_open_database_has_only_in_its_log_are_read(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("pragma journal_mode = wal")
    database.execute("insert into reviews values ('new', 1, 1)")
    database.commit()
    assert rows_of(f"sqlite:///{file}#select count(*) as n from reviews") == [{"n": 4}]
    database.close()


def test_a_damaged_file_is_refused_in_one_sentence(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000] + b"x" * 3000)
    with pytest.raises(DataError, match="can't be read: "):
        read_file(file)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql+psycopg://me:hunter2@host/db", "postgresql+psycopg://me:***@host/db"),
        ("mysql://me:a:b@host/db", "mysql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db?user=me&password=***"),
    ],
)  # fmt: skip
def test_a_password_in_an_address_is_refused_and_never_shown(address: str, shown: str) -> None:
    reference = parse_dataset(f"{address}#select 1")
    assert isinstance(reference, names.Query)
    assert str(reference) == f"{shown}#select 1"
    with pytest.raises(DataError, match="a password in an address would be kept") as error:
        read_source(f"{address}#select 1")
    assert "hunter2" not in str(error.value)
    assert "a:b" not in str(error.value)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(DataError, match="no variable NO_SUCH_PASSWORD"):
        read_source("postgresql://me:${NO_SUCH_PASSWORD}@localhost:1/x#select 1")


@pytest.fixture
def server(postgres: str) -> Iterator[str]:
    engine = sa.create_engine(sa.make_url(postgres).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table reviews as select 'text ' || n as text, mod(n, 2) as label, "
            "n / 4.0 as score, now() as at, array[n] as many from generate_series(1, 9) n"
        )
    yield postgres
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table reviews")
    engine.dispose()


def test_postgresql_is_asked_in_a_transaction_that_only_reads(server: str) -> None:
    found = rows_of(f"{server}#select text, label, many from reviews order by text limit 2")
    assert found == [
        {"text": "text 1", "label": 1, "many": [1]},
        {"text": "text 2", "label": 0, "many": [2]},
    ]
    assert rows_of(f"{server}#select label from reviews where text like '%9%'") == [{"label": 1}]
    for query in (
        "with gone as (delete from reviews returning *) select * from gone",
        "select * into copied from reviews",
    ):
        with pytest.raises(DataError, match=r"read-only|data-modifying|INTO"):
            read_source(f"{server}#{query}")
    assert rows_of(f"{server}#select count(*) as n from reviews") == [{"n": 9}]
