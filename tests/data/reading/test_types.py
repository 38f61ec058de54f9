"""JSON whose values are of several types: a value costs its row, never the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.checking.report import CheckReport
from tunesmith.data.reading.files import read_file
from tunesmith.experiments.datasets.importing import check_data, inquire
from tunesmith.settings import Settings

TEXTS = ["the lamp flickers", "boils quickly", "no sense", "friendly staff", "warm soup", "fine"]


def rows(**more: list[Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"text": text, "label": "good" if number % 2 else "bad"}
        for number, text in enumerate(TEXTS)
    ]
    for name, values in more.items():
        for row, value in zip(made, values, strict=True):
            row[name] = value
    return made


def write(folder: Path, made: list[dict[str, Any]], form: str) -> Path:
    path = folder / f"a.{form}"
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in made)
    path.write_text(lines if form == "jsonl" else json.dumps(made), encoding="utf-8")
    return path


def report(path: Path, settings: Settings) -> CheckReport:
    return check_data(inquire(str(path), None, [], settings)).checked.report


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.parametrize(
    ("value", "kind"), [(12345, "a number"), ({"a": 1}, "an object"), (["x"], "a list")]
)
def test_a_text_of_another_type_costs_its_row(
    tmp_path: Path, settings: Settings, form: str, value: Any, kind: str
) -> None:
    made = rows()
    made[3]["text"] = value
    found = report(write(tmp_path, made, form), settings)
    assert (found.rows_in, found.rows_out) == (6, 5)
    (finding,) = found.findings
    assert (finding.rule, finding.row, finding.column) == ("unreadable_rows", 4, "text")
    assert finding.advice.startswith(f"is {kind}, which most values")


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_a_column_that_nobody_reads_is_kept_as_it_is(
    tmp_path: Path, settings: Settings, form: str
) -> None:
    path = write(tmp_path, rows(meta=[1, "two", {"x": [1]}, None, 2.5, True]), form)
    assert read_file(path).table["meta"].to_pylist() == [
        "1", "two", '{"x":[1]}', None, "2.5", "true",
    ]  # fmt: skip
    assert report(path, settings).rows_out == 6


def test_objects_of_different_shapes_are_kept_as_json(tmp_path: Path) -> None:
    path = write(
        tmp_path, rows(meta=[{"a": 1}, {"a": "x"}, {}, {"a": [1]}, None, {"b": 1}]), "json"
    )
    assert read_file(path).table["meta"].to_pylist()[:2] == ['{"a":1}', '{"a":"x"}']


def test_labels_of_two_types_are_labels(tmp_path: Path, settings: Settings) -> None:
    made = rows()
    for number, row in enumerate(made):
        row["label"] = [0, "0", 1, "1", 0, 1][number]
    found = report(write(tmp_path, made, "jsonl"), settings)
    assert found.rows_out == 6
    assert found.label_counts == {"0": 3, "1": 3}


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_nan_is_a_missing_text(tmp_path: Path, settings: Settings, form: str) -> None:
    made = rows()
    made[0]["text"] = float("nan")
    path = write(tmp_path, made, form)
    assert read_file(path).table["text"].to_pylist()[:2] == [None, TEXTS[1]]
    (finding,) = report(path, settings).findings
    assert (finding.rule, finding.row) == ("empty_texts", 1)


def test_splits_may_have_other_types(tmp_path: Path, settings: Settings) -> None:
    train, test = rows(), rows()
    for row in train:
        row["label"] = int(row["label"] == "good")
    for row in test:
        row["label"] = str(int(row["label"] == "good"))
        row["text"] += " indeed"
    for name, made in (("train", train), ("test", test)):
        write(tmp_path, made, "jsonl").rename(tmp_path / f"{name}.jsonl")
    found = report(tmp_path, settings)
    assert found.rows_out == 12
    assert found.label_counts == {"0": 6, "1": 6}


def test_entries_that_are_no_rows_are_named(tmp_path: Path) -> None:
    made: list[Any] = [*rows(), 5, {"text": "\ud83d"}]
    (tmp_path / "a.json").write_text(json.dumps(made))
    found = read_file(tmp_path / "a.json")
    assert [row.reason.split(";")[0] for row in found.unreadable] == [
        "is not an object but 5", "has half of a character (a lone surrogate) in column 'text'",
    ]  # fmt: skip
    assert found.table["_row"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_numbers_beyond_64_bits_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, rows(id=[2**70, 1, 2, 3, 4, 5]), "json")
    assert read_file(path).table["id"].to_pylist()[:2] == [str(2**70), "1"]
