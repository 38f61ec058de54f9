"""Splits that are cut into numbered files, as the hub writes them, whose types need not agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.reading.folders import shards
from tunesmith.data.sources import read_source

NUMBERS: list[dict[str, Any]] = [{"text": "a", "label": 1}, {"text": "b", "label": None}]
WORDS: list[dict[str, Any]] = [
    {"text": "c", "label": "good"},
    {"text": "d", "label": "bad", "n": 3},
]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({k: [row.get(k) for row in rows] for k in rows[-1]}), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize("inner", ["", "data"])
def test_a_column_whose_type_differs_between_files_is_text_and_said(
    tmp_path: Path, ending: str, inner: str
) -> None:
    write(tmp_path / inner / f"train-00000-of-00002.{ending}", NUMBERS)
    write(tmp_path / inner / f"train-00001-of-00002.{ending}", WORDS)
    write(tmp_path / inner / f"test-00000-of-00001.{ending}", WORDS)
    found = read_source(str(tmp_path))
    assert {*found.tables} == {"train", "test"}
    assert found.tables["train"].select(["text", "label", "n", "_row"]).to_pylist() == [
        {"text": "a", "label": "1", "n": None, "_row": 1},
        {"text": "b", "label": None, "n": None, "_row": 2},
        {"text": "c", "label": "good", "n": None, "_row": 3},
        {"text": "d", "label": "bad", "n": 3, "_row": 4},
    ]
    assert "train: columns of other types in other files are read as text: label" in map(
        str, found.reading()
    )


def test_rows_that_cannot_be_read_name_their_file(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.jsonl", NUMBERS)
    write(tmp_path / "train-00001-of-00002.jsonl", NUMBERS)
    with (tmp_path / "train-00000-of-00002.jsonl").open("a") as file:
        file.write("\n{broken")
    found = read_source(str(tmp_path))
    (row,) = found.unreadable["train"]
    assert row.line == 3
    assert row.reason.endswith("(train-00000-of-00002.jsonl)")
    assert found.tables["train"].column("_row").to_pylist() == [1, 2, 4, 5]


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.jsonl"],
        ["train-00001-of-00002.jsonl", "train-00000-of-00003.jsonl"],
        ["train-00000-of-00001.jsonl", "notes.jsonl"],
        ["part-00000-of-00001.jsonl"],
    ],
)
def test_other_folders_are_none_of_these(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path / name, NUMBERS)
    assert shards(tmp_path) == {}
