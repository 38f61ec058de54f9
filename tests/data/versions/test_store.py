# ruff: noqa: RUF001
"""Dataset versions: recorded once, found by every name, read back as they were, never lost."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from tests.data.versions.version_tables import record, reviews, texts
from tests.store.records import answers, python

from tunesmith.data.reading.rows import number_rows
from tunesmith.data.sources import parse_dataset
from tunesmith.data.versions.names import check_name
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, NotFoundError
from tunesmith.names import Version
from tunesmith.store.entities.experiments import utc_now


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data sets 資料"


@pytest.fixture
def versions(root: Path) -> Versions:
    return Versions(str(root))


# -- recording --------------------------------------------------------------------------------


def test_a_version_keeps_everything_that_was_said_of_it(versions: Versions) -> None:
    train, test = reviews("good", "bad", label=[1, 0]), reviews("so so", label=[1])
    made, new = record(
        versions,
        {"train": train, "test": test},
        hash="sha256:abc",
        source="影評\udcff.csv",
        split_by={"seed": 42, "fraction": 0.1},
        rules={"min_text_length": 5, "max_text_length": None},
        report={"rows_in": 4, "counts": {"allow_empty": 1}},
        label_counts={"0": 1, "1": 2},
        description='It\'s "new".\nTwo lines.',
        created_by="me@machine",
    )
    assert new
    assert versions.get("reviews") == made
    assert (made.name, made.number, made.parent, made.hash) == ("reviews", 1, None, "sha256:abc")
    assert (made.rows, made.columns) == (3, ("text", "label"))
    assert made.splits == {"train": 2, "test": 1}
    assert made.split_by == {"seed": 42, "fraction": 0.1}
    assert made.rules == {"min_text_length": 5, "max_text_length": None}
    assert made.report == {"rows_in": 4, "counts": {"allow_empty": 1}}
    assert made.label_counts == {"0": 1, "1": 2}
    assert (made.source, made.created_by) == ("影評\udcff.csv", "me@machine")
    assert made.description == 'It\'s "new".\nTwo lines.'
    assert timedelta() <= utc_now() - made.created_at < timedelta(minutes=5)


def test_the_same_content_twice_makes_one_version(versions: Versions, root: Path) -> None:
    first, _ = record(versions, reviews("a"))
    record(versions, reviews("b"))
    before = sorted(root.rglob("*"))
    again, new = record(versions, reviews("a"), description="other words")
    assert not new
    assert again == first
    assert sorted(root.rglob("*")) == before
    assert versions.get("reviews").number == 2


def test_versions_are_numbered_and_know_their_parents(versions: Versions) -> None:
    made = [record(versions, reviews(text))[0] for text in "abc"]
    assert [(one.number, one.parent) for one in made] == [(1, None), (2, 1), (3, 2)]
    assert [texts(versions, one.reference) for one in made] == [["a"], ["b"], ["c"]]


def test_datasets_do_not_know_each_other(versions: Versions) -> None:
    record(versions, reviews("a"), "one")
    assert record(versions, reviews("a"), "two")[0].reference == "two@1"
    assert versions.names() == ["one", "two"]


def test_reading_gives_rows_in_their_order_whatever_the_order_of_writing(
    versions: Versions,
) -> None:
    count = 300_000
    numbers = list(range(2, 2 * count + 2, 2))
    shuffled = random.Random(0).sample(numbers, count)
    table = pa.table({"text": [f"text {number}" for number in shuffled], "_row": shuffled})
    version, _ = record(versions, table)
    read = versions.read(version)["train"]
    assert read.column("_row").to_pylist() == numbers
    assert read.column("text").to_pylist() == [f"text {number}" for number in numbers]


def test_the_first_rows_of_each_split_are_read_without_the_others(versions: Versions) -> None:
    rows = number_rows(pa.table({"text": [f"text {n}" for n in range(1000)]}))
    mixed = rows.take([(n * 379) % 1000 for n in range(1000)])
    splits = {"train": mixed.slice(0, 700), "validation": mixed.slice(700)}
    made, _ = record(versions, splits)
    whole = versions.read(made)
    assert versions.read(made, 5) == {split: table.slice(0, 5) for split, table in whole.items()}
    assert versions.read(made, 800) == whole


def test_a_version_without_rows_is_refused(versions: Versions, root: Path) -> None:
    with pytest.raises(DataError, match="reviews: the data have no rows"):
        record(versions, reviews("a").slice(0, 0))
    assert not root.exists()


def test_plain_delta_tools_read_the_current_version(versions: Versions, tmp_path: Path) -> None:
    plain = Versions(str(tmp_path / "plain"))
    record(plain, {"train": reviews("a"), "test": reviews("b")})
    frame = pl.read_delta(str(tmp_path / "plain" / "reviews"))
    assert sorted(frame.rows()) == [("a", "train", 1), ("b", "test", 1)]
    assert frame.columns == ["text", "_split", "_row"]


# -- names ------------------------------------------------------------------------------------


def test_a_version_is_found_by_every_name(versions: Versions) -> None:
    for text in "abc":
        record(versions, reviews(text))
    versions.tag("reviews@1", "gold")
    versions.restore("reviews@2")
    found = {
        reference: versions.get(reference).number
        for reference in (
            "reviews",
            "reviews@current",
            "reviews@1",
            "reviews@3",
            "reviews@latest",
            "reviews@gold",
        )
    }
    assert list(found.values()) == [2, 2, 1, 3, 3, 1]


def test_what_is_not_there_is_named_with_what_is(versions: Versions) -> None:
    with pytest.raises(NotFoundError, match=r"no dataset 'reviews' in .*; there are no datasets"):
        versions.get("reviews")
    for text in "ab":
        record(versions, reviews(text))
    versions.tag("reviews@1", "gold")
    with pytest.raises(NotFoundError, match=r"no dataset 'revews' in .*; did you mean reviews\?"):
        versions.get("revews@1")
    with pytest.raises(NotFoundError, match=r"no dataset 'films' in .*; there is: reviews"):
        versions.list("films")
    there = r"there is no version reviews@7; there is reviews@1 to reviews@2, tagged: gold"
    with pytest.raises(NotFoundError, match=there):
        versions.get("reviews@7")
    with pytest.raises(NotFoundError, match=r"did you mean reviews@gold\?"):
        versions.restore("reviews@god")
    with pytest.raises(NotFoundError, match="there is no version reviews@"):
        versions.get("reviews@")
    missing = replace(versions.get("reviews"), hash="sha256:other")
    with pytest.raises(NotFoundError, match="no version reviews@2 with the content sha256:other"):
        versions.read(missing)


def test_versions_are_listed_newest_first(versions: Versions) -> None:
    assert versions.list() == []
    for name in ("b", "a", "b"):
        record(versions, reviews(name, str(random.random())), name)
    assert [one.reference for one in versions.list()] == ["b@2", "a@1", "b@1"]
    assert [one.reference for one in versions.list("b")] == ["b@2", "b@1"]


PATHS = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    "a..b",
    ".a",
    "-a",
    "a b",
    "a\0",
    "影 評",
    "（影評）",
    "影\u202e評",
    "con",
    "評" * 67,
)


@pytest.mark.parametrize("name", [*PATHS, "a" * 101, "a@1", "a\n"])
def test_names_that_are_paths_or_odd_are_refused(versions: Versions, root: Path, name: str) -> None:
    with pytest.raises(DataError, match="a dataset can't be called"):
        record(versions, reviews("a"), name)
    with pytest.raises(DataError, match="a dataset can't be called"):
        check_name(name)
    assert not root.exists()
    if "@" not in name:
        with pytest.raises(DataError, match="a dataset can't be called"):
            versions.get(name)


@pytest.mark.parametrize("name", ["reviews.csv", "a.JSONL", "a.parquet", "x.zip", "x.csv.gz"])
def test_names_that_look_like_files_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="it would be taken for a file; leave the ending"):
        check_name(name)
    assert not isinstance(parse_dataset(f"{name}@2"), Version)


def test_only_name_and_version_make_a_reference() -> None:
    for name in ("reviews@3", "r.v-1_x@gold", "a@latest", "A@v1.2"):
        assert isinstance(parse_dataset(name), Version)
    for name in ("reviews", "a.csv", "a@b.csv", "me@x.org/a", "@3", "a@", "a@1@2", "./a@1", "a @1"):
        assert not isinstance(parse_dataset(name), Version)


# -- tags and restoring -----------------------------------------------------------------------


def test_tags_stay_with_their_version_and_can_move(versions: Versions) -> None:
    for text in "ab":
        record(versions, reviews(text))
    assert versions.tag("reviews@1", "gold").tags == ("gold",)
    assert versions.tag("reviews@1", "first").tags == ("first", "gold")
    record(versions, reviews("c"))
    versions.restore("reviews@2")
    assert versions.get("reviews@1").tags == ("first", "gold")
    assert versions.tag("reviews@3", "gold").tags == ("gold",)
    assert versions.get("reviews@1").tags == ("first",)
    versions.untag("reviews", "gold")
    assert [one.tags for one in versions.list()] == [(), (), ("first",)]
    with pytest.raises(NotFoundError, match=r"no tag 'fist'; did you mean first\?"):
        versions.untag("reviews", "fist")


@pytest.mark.parametrize("tag", ["1", "latest", "current", "../x", "", "a b", "a.csv"])
def test_tags_with_a_meaning_of_their_own_are_refused(versions: Versions, tag: str) -> None:
    record(versions, reviews("a"))
    with pytest.raises(DataError, match="a tag can't be called"):
        versions.tag("reviews@1", tag)


def test_every_datasets_current_version_comes_with_the_number_of_its_versions(
    versions: Versions,
) -> None:
    assert versions.current() == []
    for text in ("a", "b", "c"):
        record(versions, reviews(text))
    record(versions, reviews("d"), name="others")
    versions.restore("reviews@2")
    found = [(version.reference, count) for version, count in versions.current()]
    assert found == [("others@1", 1), ("reviews@2", 3)]


def test_restoring_makes_an_older_version_current_and_loses_none(
    versions: Versions, tmp_path: Path
) -> None:
    versions = Versions(str(tmp_path / "plain"))
    record(versions, reviews("a"))
    record(versions, reviews("b", extra=[1.5]))
    assert versions.restore("reviews@1").number == 1
    frame = pl.read_delta(str(tmp_path / "plain" / "reviews"))
    assert frame.rows() == [("a", "train", 1)]
    assert texts(versions, "reviews") == ["a"]
    assert texts(versions, "reviews@2") == ["b"]
    third, _ = record(versions, reviews("c"))
    assert (third.number, third.parent) == (3, 2)
    assert versions.get("reviews") == third


def test_tagging_and_restoring_again_change_nothing(versions: Versions, root: Path) -> None:
    record(versions, reviews("a"))
    versions.tag("reviews", "gold")
    before = sorted(root.rglob("*"))
    versions.tag("reviews@1", "gold")
    versions.restore("reviews@gold")
    assert sorted(root.rglob("*")) == before


def test_what_a_plain_tool_did_is_undone_by_restoring(tmp_path: Path) -> None:
    versions = Versions(str(tmp_path / "plain"))
    record(versions, reviews("a"))
    folder = str(tmp_path / "plain" / "reviews")
    rows = pa.table({"text": ["x"], "_split": ["train"], "_row": [2]})
    write_deltalake(folder, rows, mode="append")
    assert texts(versions, "reviews") == ["a"]
    versions.restore("reviews@1")
    assert pl.read_delta(folder).rows() == [("a", "train", 1)]
    assert record(versions, reviews("b"))[0].number == 2


def test_no_version_is_lost_after_many_commits_checkpoints_and_clean_up(tmp_path: Path) -> None:
    versions = Versions(str(tmp_path / "plain"))
    record(versions, reviews("0"))
    folder = str(tmp_path / "plain" / "reviews")
    DeltaTable(folder).alter.set_table_properties({"delta.checkpointInterval": "3"})
    for number in range(1, 12):
        record(versions, reviews(str(number)))
        versions.tag(f"reviews@{number}", f"t{number}")
    for _ in range(100):
        table = DeltaTable(folder)
        empty = CommitProperties(custom_metadata={"other": "tool"})
        table.create_write_transaction([], "append", table.schema(), commit_properties=empty)
    assert list((tmp_path / "plain" / "reviews" / "_delta_log").glob("*.checkpoint.parquet"))
    table = DeltaTable(folder)
    table.create_checkpoint()
    table.cleanup_metadata()
    assert table.vacuum(dry_run=False) == []
    assert [one.number for one in versions.list()] == list(range(12, 0, -1))
    for number in range(1, 13):
        assert texts(versions, f"reviews@{number}") == [str(number - 1)]
    assert versions.get("reviews@t11").number == 11


# -- many processes, and their deaths ---------------------------------------------------------

RECORD = """
import sys
from tests.data.versions.version_tables import record, reviews
from tunesmith.data.versions.store import Versions
versions = Versions(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for text in sys.argv[2:]:
    version, new = record(versions, reviews(*[text] * 1000))
    print(version.number, new, flush=True)
"""


def test_processes_that_record_different_content_all_land(versions: Versions, root: Path) -> None:
    contents = [[f"{process}-{number}" for number in range(3)] for process in range(4)]
    outputs = answers([python(RECORD, str(root), *each) for each in contents])
    numbers = [line.split() for output in outputs for line in output.splitlines()]
    assert sorted(int(number) for number, _ in numbers) == list(range(1, 13))
    assert all(new == "True" for _, new in numbers)
    made = versions.list()[::-1]
    assert [(one.number, one.parent or 0) for one in made] == [(n, n - 1) for n in range(1, 13)]
    found = {texts(versions, one.reference)[0]: len(texts(versions, one.reference)) for one in made}
    assert found == {text: 1000 for each in contents for text in each}


def test_processes_that_record_the_same_content_make_one_version(
    versions: Versions, root: Path
) -> None:
    outputs = answers([python(RECORD, str(root), "same") for _ in range(4)])
    assert sorted(outputs) == ["1 False\n"] * 3 + ["1 True\n"]
    assert [one.reference for one in versions.list()] == ["reviews@1"]


RECORD_FOR_EVER = """
import sys
from tests.data.versions.version_tables import record, reviews
from tunesmith.data.versions.store import Versions
versions = Versions(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    record(versions, reviews(*[f"{sys.argv[2]}-{number}"] * 20_000))
"""


def test_a_process_killed_while_recording_leaves_every_version_as_it_was(
    versions: Versions, root: Path
) -> None:
    moments = random.Random(1)
    known: dict[str, str] = {}
    for death in range(6):
        process = python(RECORD_FOR_EVER, str(root), str(death))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        made = versions.list()
        assert [one.number for one in made] == list(range(len(made), 0, -1))
        now = {one.reference: one.hash for one in made}
        assert known.items() <= now.items()
        known = now
    record(versions, reviews("after"))
    assert texts(versions, "reviews") == ["after"]
    for one in versions.list()[1:]:
        rows = texts(versions, one.reference)
        assert (len(rows), len(set(rows))) == (20_000, 1)
