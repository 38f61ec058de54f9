"""Tables that are damaged, foreign or out of reach: one clear sentence, nothing made worse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from tests.data.versions.version_tables import record, reviews, texts

from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, NotFoundError, StorageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


@pytest.fixture
def versions(root: Path) -> Versions:
    """Two versions of `reviews`."""
    versions = Versions(str(root))
    record(versions, reviews("a"))
    record(versions, reviews("b"))
    return versions


def rows_of(root: Path, commit: int) -> Path:
    """The Parquet file of one commit."""
    table = DeltaTable(str(root / "reviews"), version=commit)
    return Path(table.file_uris()[0])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda log: log.write_text(log.read_text()[:100]),
    "overwritten": lambda log: log.write_bytes(b"\xff\x00\x80 nonsense"),
    "gone": lambda log: log.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_log_is_said_and_left_alone(
    versions: Versions, root: Path, damage: Callable[[Path], object]
) -> None:
    logs = root / "reviews" / "_delta_log"
    damage(logs / f"{0:020}.json")
    before = {path: path.read_bytes() for path in logs.iterdir()}
    for ask in (
        lambda: versions.get("reviews"),
        lambda: versions.list(),
        lambda: versions.restore("reviews@1"),
        lambda: record(versions, reviews("c")),
    ):
        with pytest.raises(DataError, match=r"dataset reviews \(.*/reviews\) is damaged: ") as told:
            ask()
        assert len(str(told.value).splitlines()) == 1
        assert "<unknown>" not in str(told.value)
    assert {path: path.read_bytes() for path in logs.iterdir()} == before


def test_rows_that_are_gone_or_cut_short_are_said(versions: Versions, root: Path) -> None:
    rows_of(root, 0).unlink()
    with pytest.raises(DataError, match=r"reviews\) is damaged: its file part-.* is missing"):
        texts(versions, "reviews@1")
    with pytest.raises(StorageError, match=r"reviews\) can't be written: .*missing file"):
        versions.restore("reviews@1")
    assert texts(versions, "reviews@2") == ["b"]
    with rows_of(root, 1).open("r+b") as stream:
        stream.truncate(50)
    with pytest.raises(DataError, match=r"reviews\) is damaged: its file part-.* is cut short"):
        texts(versions, "reviews@2")


def test_rows_that_were_overwritten_are_said(versions: Versions, root: Path) -> None:
    file = rows_of(root, 1)
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(DataError, match=r"reviews\) is damaged: "):
        texts(versions, "reviews@2")


def test_a_foreign_table_is_no_dataset_and_is_never_written_to(
    versions: Versions, root: Path
) -> None:
    write_deltalake(str(root / "theirs"), pa.table({"a": [1]}))
    (root / "no_table").mkdir()
    (root / "file").write_text("x")
    assert [one.reference for one in versions.list()] == ["reviews@2", "reviews@1"]
    with pytest.raises(NotFoundError, match="no dataset 'theirs'"):
        versions.get("theirs")
    with pytest.raises(NotFoundError, match="no dataset 'no_table'"):
        versions.get("no_table")
    with pytest.raises(DataError, match="is a Delta table that Tunesmith didn't make"):
        record(versions, reviews("a"), "theirs")
    assert DeltaTable(str(root / "theirs")).version() == 0
    with pytest.raises(DataError, match=r"dataset file .* is damaged: "):
        record(versions, reviews("a"), "file")
    assert record(versions, reviews("a"), "no_table")[1]


@pytest.mark.parametrize("event", ["{", "[]", '{"format": 1}', '{"format": 1, "event": "version"}'])
def test_a_commit_that_makes_no_sense_is_said(versions: Versions, root: Path, event: str) -> None:
    _describe(root, event)
    with pytest.raises(DataError, match=r"reviews\) is damaged: commit 2 is unreadable"):
        versions.get("reviews")


def test_a_table_of_a_newer_tunesmith_is_left_alone(versions: Versions, root: Path) -> None:
    _describe(root, '{"format": 2, "event": "version"}')
    for ask in (lambda: versions.get("reviews"), lambda: record(versions, reviews("c"))):
        with pytest.raises(DataError, match="was written by a newer Tunesmith; upgrade this one"):
            ask()


def _describe(root: Path, event: str) -> None:
    table = DeltaTable(str(root / "reviews"))
    said = CommitProperties(custom_metadata={"tunesmith": event})
    table.create_write_transaction([], "append", table.schema(), commit_properties=said)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    versions = Versions(str(tmp_path / "none"))
    assert (versions.list(), versions.names()) == ([], [])
    with pytest.raises(NotFoundError, match="there are no datasets yet"):
        versions.get("reviews")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    versions = Versions(str(tmp_path / "file" / "datasets"))
    with pytest.raises(StorageError, match=r"dataset reviews .* can't be written: "):
        record(versions, reviews("a"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(versions: Versions, root: Path) -> None:
    logs = root / "reviews" / "_delta_log"
    logs.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="can't be written: "):
            versions.tag("reviews@1", "gold")
    finally:
        logs.chmod(0o700)


def test_a_log_that_refuses_commits_is_said(versions: Versions, root: Path) -> None:
    logs = root / "reviews" / "_delta_log"
    # Where the next commit would go there is a folder: nobody was faster, yet it can't be made.
    (logs / f"{2:020}.json").mkdir()
    with pytest.raises((StorageError, DataError), match="dataset reviews"):
        versions.tag("reviews@1", "gold")


@pytest.mark.parametrize("odd", ["50%20off", "a#b", "q?", "[x]", "a\\b", "a^b", "a|b", "tab\t"])
def test_folders_that_delta_lake_cannot_use_are_refused(tmp_path: Path, odd: str) -> None:
    with pytest.raises(DataError, match="Delta Lake can't use a folder with"):
        Versions(str(tmp_path / odd))


@pytest.mark.parametrize("plain", ["a b", "影評", "é;:=+@~'\"{}<>*&$,()!`"])
def test_other_folders_hold_versions(tmp_path: Path, plain: str) -> None:
    versions = Versions(str(tmp_path / plain))
    record(versions, reviews("a"))
    record(versions, reviews("b", extra=[1]))
    versions.restore("reviews@1")
    assert texts(versions, "reviews") == ["a"]
    assert versions.names() == ["reviews"]
    assert [path.name for path in tmp_path.iterdir()] == [plain]
    shutil.rmtree(tmp_path / plain)


@pytest.mark.parametrize(
    "address", ["gs://bucket/x", "https://me:secret@host/x", "s3://me:secret@b"]
)
def test_addresses_that_cannot_hold_versions_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="accepted: a folder, or s3://bucket/prefix") as told:
        Versions(address)
    assert "secret" not in str(told.value)
