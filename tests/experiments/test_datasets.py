# ruff: noqa: RUF001
"""Data and experiments: imports make versions, and every experiment names the one it used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import write_reviews

import tunesmith
from tunesmith.config.yaml import read_draft
from tunesmith.data.checking.report import CheckReport
from tunesmith.data.dataset import Dataset
from tunesmith.data.reading.files import read_file
from tunesmith.data.writing import write_table
from tunesmith.errors import ConfigError, DataError, NotFoundError
from tunesmith.experiments.datasets.importing import (
    check_data,
    import_data,
    inquire,
    open_versions,
    version_name,
)
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.files.environment import this_person
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion, Filters
from tunesmith.store.store import Store

Asked = dict[str, Any]


def imported(
    source: Path | str, settings: Settings, store: Store, *assignments: str, name: str = "reviews"
) -> tuple[DatasetVersion, bool]:
    return import_data(inquire(str(source), None, assignments, settings), name, "", settings, store)


def with_data(asked: Asked, name: object, **changes: object) -> Asked:
    return {**asked, "data": {**asked["data"], "dataset_name": str(name), **changes}}


def dataset(asked: Asked, settings: Settings, **fields: object) -> Dataset:
    """The rows that an experiment would train on and be judged by."""
    return prepare(read_draft(asked, fields=fields), settings).dataset


def sides(found: Dataset) -> tuple[str, str]:
    """The hashes of the rows that train, and of those that judge."""
    splits = found.identity["splits"]
    return splits["train"]["hash"], splits["evaluation"]["hash"]


def numbers(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [row["_row"] for row in rows]


# -- one content, one version -----------------------------------------------------------------


def test_the_same_content_imported_twice_is_one_version(
    reviews: Path, settings: Settings, store: Store
) -> None:
    first, new = imported(reviews, settings, store)
    again, new_again = imported(reviews, settings, store)
    assert (new, new_again) == (True, False)
    assert first == again
    assert (first.reference, first.rows, first.parent) == ("reviews@1", 240, None)
    assert open_versions(settings).list() == [first]
    assert [version.hash for version in store.datasets()] == [first.hash]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json", "tsv", "csv.gz"])
def test_the_same_rows_in_another_format_are_the_same_version(
    form: str, reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    first, _ = imported(reviews, settings, store)
    other = tmp_path / f"other.{form}"
    write_table(read_file(reviews).table, other)
    again, new = imported(other, settings, store)
    assert (again.hash, again.reference, new) == (first.hash, "reviews@1", False)


def test_one_character_or_the_order_changed_is_another_version(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = write_reviews(tmp_path / "mine.csv", 60)
    first, _ = imported(path, settings, store)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:30], lines[30].replace("i", "I", 1), *lines[31:]]))
    changed, new = imported(path, settings, store)
    assert (changed.reference, changed.parent, new) == ("reviews@2", 1, True)
    assert changed.hash != first.hash
    path.write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))
    swapped, _ = imported(path, settings, store)
    assert swapped.reference == "reviews@3"
    path.write_text("".join(lines))
    assert imported(path, settings, store) == (open_versions(settings).get("reviews@1"), False)


def test_a_version_says_where_it_is_from_and_what_the_rules_found(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = write_reviews(tmp_path / "mine.csv", 60)
    with path.open("a") as stream:
        stream.write(",good\n<b>a fine film</b> this is,good\n")
    asked = inquire(str(path), None, ["data.validation_rules.min_text_length=3"], settings)
    version, _ = import_data(asked, "mine", "with two rows more", settings, store)
    assert version.source == str(path)
    assert version.description == "with two rows more"
    assert version.created_by == this_person()
    assert version.rules["min_text_length"] == 3
    assert version.report["columns"] == {"text": "review", "label": "verdict"}
    assert version.report["counts"] == {"empty_texts": 1, "html": 1}
    assert (version.rows, sum(version.splits.values())) == (62, 62)
    assert dict(version.label_counts) == {"bad": 30, "good": 31}
    assert dict(version.split_by) == {
        "split": "train",
        "seed": 42,
        "eval_fraction": 0.1,
        "eval_samples": None,
    }
    # Rows stay as they were: what a rule would mend or drop is there to look at.
    stored = open_versions(settings).read(version)
    texts = [text for table in stored.values() for text in table["review"].to_pylist()]
    assert {"", "<b>a fine film</b> this is"} <= set(texts)


def test_what_can_be_no_name_of_a_dataset_is_refused(
    reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    for name in ("../reviews", "a/b", "", ".hidden", "reviews.csv", "x" * 101, "a@b"):
        with pytest.raises(DataError, match="can't be called"):
            imported(reviews, settings, store, name=name)
    assert open_versions(settings).list() == []
    assert [path for path in tmp_path.rglob("*") if "reviews" in path.name] == []


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my reviews (2024).csv", "my-reviews-2024"),
        ("reviews.jsonl", "reviews"),
        ("mine/train.csv", "mine"),
        ("mine/data.csv", "mine"),
        ("評論.csv", "評論"),
        ("客服 資料（一月）.csv", "客服-資料-一月"),
        ("cafe\u0301.csv", "caf\u00e9"),
        ("😀.csv", "dataset-f0443a34"),
        ("con.csv", "con-dataset"),
    ],
)
def test_a_dataset_that_nobody_names_is_called_by_its_file(
    file: str, name: str, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    write_table(pa.table({"text": ["one text", "two text"], "label": ["a", "b"]}), path)
    assert version_name(inquire(str(path), None, [], settings).source) == name


# -- the task, guessed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ({"messages": None}, "sft"),
        ({"conversations": None}, "sft"),
        ({"prompt": "what is it", "completion": "a film"}, "sft"),
        ({"text": "a film", "label": "good"}, "text-classification"),
        ({"review": "a film", "verdict": "good"}, "text-classification"),
    ],
)
def test_the_task_is_guessed_from_the_columns(
    columns: dict[str, Any], task: str, settings: Settings, tmp_path: Path
) -> None:
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    path = tmp_path / "mine.jsonl"
    rows = [
        {
            name: chat if value is None else f"{value} {number % 2}"
            for name, value in columns.items()
        }
        for number in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = inquire(str(path), None, [], settings)
    assert asked.task.name == task
    assert check_data(asked).checked.report.rows_out == 8
    assert inquire(str(path), None, [f"task={task}"], settings).task.name == task


# -- experiments name their version -----------------------------------------------------------


def test_training_from_a_file_records_a_version_which_record_and_metrics_name(
    classification: Asked, reviews: Path, settings: Settings, store: Store
) -> None:
    trained = tunesmith.train(classification, settings=settings, epochs=1)
    (version,) = open_versions(settings).list()
    assert version.reference == "reviews@1"
    assert dict(version.splits) == {"train": 200, "held_out": 40}
    written = json.loads((trained.path / "metrics.json").read_text())["dataset"]
    named = {"name": "reviews", "version": 1, "hash": version.hash, "source": str(reviews)}
    assert named.items() <= written.items()
    (record,) = store.list(Filters())
    assert (record.dataset_name, record.dataset_version) == (str(reviews), 1)
    assert record.dataset_hash == version.hash
    assert (record.data["dataset"], record.data["version"]) == ("reviews", 1)
    on_disk = json.loads((trained.path / "experiment.json").read_text())
    assert (on_disk["dataset_version"], on_disk["dataset_hash"]) == (1, version.hash)
    # On the version itself: the same rows, and no version of a version.
    again = tunesmith.train(with_data(classification, "reviews@1"), settings=settings, epochs=1)
    assert open_versions(settings).list() == [version]
    assert again.record.data["splits"]["train"]["hash"] == record.data["splits"]["train"]["hash"]
    assert again.predictions == trained.predictions
    assert again.metrics["dataset"] == {**written, "source": "reviews@1"}


def test_a_version_gives_the_same_rows_as_the_file_that_it_was_made_from(
    classification: Asked, reviews: Path, settings: Settings, store: Store
) -> None:
    imported(reviews, settings, store, "data.eval_samples=40")
    for train_samples in (None, 50):
        from_file = dataset(classification, settings, **{"data.train_samples": train_samples})
        from_version = dataset(
            with_data(classification, "reviews@1", train_samples=train_samples), settings
        )
        assert from_version.train == from_file.train
        assert from_version.evaluation == from_file.evaluation
        assert sides(from_version) == sides(from_file)
        assert from_version.hash == from_file.hash


def test_every_experiment_on_a_version_is_judged_by_its_held_out_rows(
    classification: Asked, reviews: Path, settings: Settings, store: Store
) -> None:
    imported(reviews, settings, store, "data.eval_fraction=0.25")
    asked = with_data(classification, "reviews@1", eval_samples=None)
    expected = dataset(asked, settings)
    assert len(expected.evaluation) == 60
    changes: list[Asked] = [
        {"training.seed": 7},
        {"data.split_seed": 7},
        {"data.eval_fraction": 0.5},
        {"data.eval_samples": 1_000},
    ]
    for change in changes:
        assert sides(dataset(asked, settings, **change)) == sides(expected), change
    fewer = dataset(asked, settings, **{"data.eval_samples": 20})
    assert len(fewer.evaluation) == 20
    assert set(numbers(fewer.evaluation)) < set(numbers(expected.evaluation))
    assert sides(fewer)[0] == sides(expected)[0]
    held_out = set(numbers(expected.evaluation))
    assert held_out.isdisjoint(numbers(expected.train))
    assert held_out | set(numbers(expected.train)) == set(range(1, 241))


def test_a_restored_or_tagged_version_is_found_by_its_name(
    classification: Asked, reviews: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    first, _ = imported(reviews, settings, store)
    second, _ = imported(write_reviews(tmp_path / "more.csv", 100, seed=5), settings, store)
    versions = open_versions(settings)
    versions.tag("reviews@1", "gold")
    for tag, meant in (("gold", first), ("latest", second), ("current", second)):
        found = dataset(with_data(classification, f"reviews@{tag}"), settings)
        assert found.hash == meant.hash
    versions.restore("reviews@1")
    assert dataset(with_data(classification, "reviews@current"), settings).hash == first.hash


def test_a_version_that_is_not_there_is_one_located_problem(
    classification: Asked, reviews: Path, settings: Settings, store: Store
) -> None:
    imported(reviews, settings, store)
    for name, message in (
        ("reviws@1", "did you mean reviews?"),
        ("reviews@7", "there is no version reviews@7; there is reviews@1"),
        ("reviews@latst", "did you mean reviews@latest?"),
    ):
        with pytest.raises(ConfigError) as caught:
            prepare(read_draft(with_data(classification, name)), settings)
        (problem,) = caught.value.problems
        assert problem.field == "data.dataset_name"
        assert message in str(problem)
        with pytest.raises(NotFoundError, match=r"there is no"):
            inquire(name, None, [], settings)


# -- rules that stop --------------------------------------------------------------------------


def test_rules_set_to_fail_stop_training_and_import_with_every_broken_rule_at_once(
    classification: Asked, settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = write_reviews(tmp_path / "mine.csv", 60)
    with path.open("a") as stream:
        stream.write('<b>a fine film</b>,good\n,good\nno,bad\n"write to jane@example.com",bad\n')
    rules = {
        "html": "fail", "empty_texts": "fail", "short_texts": "fail", "personal_data": "fail",
        "min_text_length": 5,
    }  # fmt: skip
    expected = [
        "1 row breaks empty_texts in column review: '' (1) (row 62)",
        "1 row breaks html in column review: '<b>a fine film</b>' (1) (row 61)",
        "1 row breaks personal_data in column review: ",
        "1 row breaks short_texts in column review: 'no' (1) (row 63)",
    ]
    asked = with_data(classification, path, validation_rules=rules)
    with pytest.raises(ConfigError) as caught:
        tunesmith.train(asked, settings=settings)
    (problem,) = caught.value.problems
    assert problem.field == "data.dataset_name"
    assert all(line in problem.message for line in expected)
    assert "To leave such rows out set data.validation_rules.html: drop" in problem.message
    assert store.list(Filters()) == []
    assignments = [f"data.validation_rules.{rule}={action}" for rule, action in rules.items()]
    with pytest.raises(DataError) as refused:
        imported(path, settings, store, *assignments)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(expected)
    for start in expected:
        assert any(line.startswith(start) for line in lines), start
    assert open_versions(settings).list() == []
    report: CheckReport = check_data(inquire(str(path), None, assignments, settings)).checked.report
    assert set(report.failures) == {"html", "empty_texts", "short_texts", "personal_data"}


def test_a_value_of_another_type_costs_its_row_in_a_version_too(
    tmp_path: Path, settings: Settings, store: Store
) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"a film, number {n}, to see", "label": "ab"[n % 2]} for n in range(30)
    ]
    rows[4]["text"], rows[9]["label"] = 5, {"deep": 1}
    path = tmp_path / "odd.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    imported(path, settings, store, name="odd")
    for name in (str(path), "odd@1"):
        asked = inquire(name, None, (), settings)
        report = check_data(asked).checked.report
        lost = {row["row"]: row["rule"] for row in report.table.to_dicts() if row["row"]}
        assert (lost[5], lost[10]) == ("unreadable_rows", "unreadable_rows")
        assert report.rows_out == 28
