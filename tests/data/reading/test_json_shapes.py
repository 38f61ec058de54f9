"""JSON as pandas, the hub's viewer and other services write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import ROW, FileRows
from tunesmith.errors import ConfigError, DataError

ROWS = [{"text": "a b", "label": 1}, {"text": "c d", "label": 0}, {"text": "e f", "label": 1}]
FRAME = pd.DataFrame(ROWS)
NAMED = FRAME.set_index(pd.Index(["x1", "x2", "x3"]))


def read(path: Path, content: Any, **options: Any) -> FileRows:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_file(path, ReadingOptions(**options))


def rows_of(found: FileRows) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.table.drop_columns([ROW]).to_pylist()
    return rows


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_every_orient_of_pandas_that_names_columns_is_read(tmp_path: Path, orient: Any) -> None:
    found = read(tmp_path / "a.json", FRAME.to_json(orient=orient))
    assert rows_of(found) == ROWS
    assert not found.notes


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
def test_an_index_that_says_something_is_a_column(tmp_path: Path, orient: Any) -> None:
    found = rows_of(read(tmp_path / "a.json", NAMED.to_json(orient=orient)))
    assert found == [{"index": f"x{n}", **row} for n, row in enumerate(ROWS, 1)]


@pytest.mark.parametrize("orient", ["list", "tight"])
def test_dictionaries_of_pandas_are_read(tmp_path: Path, orient: Any) -> None:
    assert rows_of(read(tmp_path / "a.json", FRAME.to_dict(orient))) == ROWS


def test_rows_without_names_are_called_by_number(tmp_path: Path) -> None:
    found = read(tmp_path / "a.json", FRAME.to_json(orient="values"))
    assert rows_of(found)[0] == {"0": "a b", "1": 1}
    assert "its columns have no names: they are called 0, 1" in found.notes[0]
    lines = read(tmp_path / "a.jsonl", '["a b", 1]\n["c d", 0]\n')
    assert rows_of(lines) == [{"0": "a b", "1": 1}, {"0": "c d", "1": 0}]


def test_a_first_row_of_names_is_the_header(tmp_path: Path) -> None:
    rows = [["text", "label"], *([row["text"], row["label"]] for row in ROWS)]
    assert rows_of(read(tmp_path / "a.json", rows)) == ROWS


@pytest.mark.parametrize("orient", ["columns", "index"])
def test_a_row_is_no_column_however_many_there_are(tmp_path: Path, orient: Any) -> None:
    frame = pd.DataFrame({"text": [f"text {n}" for n in range(3000)]})
    assert read(tmp_path / "a.json", frame.to_json(orient=orient)).table.num_rows == 3000


def test_the_viewer_of_the_hub_is_read_with_names_of_classes(tmp_path: Path) -> None:
    document = {
        "features": [
            {"feature_idx": 0, "name": "text", "type": {"dtype": "string", "_type": "Value"}},
            {"feature_idx": 1, "name": "label",
             "type": {"names": ["neg", "pos"], "_type": "ClassLabel"}},
        ],
        "rows": [
            {"row_idx": 0, "row": {"text": "a", "label": 1}, "truncated_cells": []},
            {"row_idx": 1, "row": {"text": "b", "label": -1}, "truncated_cells": ["text"]},
        ],
        "num_rows_total": 1000, "num_rows_per_page": 100, "partial": False,
    }  # fmt: skip
    found = read(tmp_path / "a.json", document)
    assert rows_of(found) == [{"text": "a", "label": "pos"}, {"text": "b", "label": None}]
    assert "2 of the 1,000 rows" in found.notes[0]
    assert "cut texts of 1 of its rows" in found.notes[1]


@pytest.mark.parametrize(
    ("document", "note"),
    [
        ({"version": "1", "data": ROWS}, "the list data; beside its rows, not used: version"),
        ({"items": ROWS}, "the list items"),
        (
            {"success": True, "result": {"records": ROWS, "fields": [{"id": "text"}]}},
            "the list result.records; beside its rows, not used: success, result.fields",
        ),
    ],
)
def test_rows_may_be_a_list_under_a_key(tmp_path: Path, document: Any, note: str) -> None:
    found = read(tmp_path / "a.json", document)
    assert rows_of(found) == ROWS
    assert note in found.notes[0]


def test_of_several_lists_one_is_chosen(tmp_path: Path) -> None:
    document = {"train": ROWS, "test": ROWS[:1]}
    with pytest.raises(DataError, match=r"2 lists \(train, test\): data.sheet chooses one"):
        read(tmp_path / "a.json", document)
    assert rows_of(read(tmp_path / "a.json", document, sheet="test")) == ROWS[:1]
    with pytest.raises(ConfigError, match=r"no such list.*did you mean test"):
        read(tmp_path / "a.json", document, sheet="tset")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"prompt": {"role": "user", "content": "a"}, "chosen": {"role": "x", "content": "b"},
         "rejected": {"role": "x", "content": "c"}},
        {"text": "a", "label": 1},
    ],
)  # fmt: skip
def test_one_object_is_one_row(tmp_path: Path, row: Any) -> None:
    assert rows_of(read(tmp_path / "a.json", row)) == [row]


def test_an_array_under_jsonl_and_lines_under_json_are_read(tmp_path: Path) -> None:
    assert rows_of(read(tmp_path / "a.jsonl", ROWS)) == ROWS
    lines = FRAME.to_json(orient="records", lines=True)
    assert rows_of(read(tmp_path / "a.json", lines)) == ROWS
