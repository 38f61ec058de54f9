# ruff: noqa: RUF001
"""Files as people brought them, each with what is read of it and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.sources import read_source
from tunesmith.errors import DataError
from tunesmith.experiments.datasets.importing import check_data, inquire
from tunesmith.settings import Settings

CASES = Path(__file__).parents[1] / "cases"
EXCEL, TYPES = "missing-excel-and-encodings", "missing-one-type-per-column"

READ: dict[str, tuple[str, int, list[int]]] = {
    f"{EXCEL}/excel_semicolon.csv": ("read as CSV (delimiter ;)", 24, []),
    f"{EXCEL}/excel_utf16_tab.csv": ("read as CSV (delimiter tab, encoding utf-16)", 24, []),
    f"{EXCEL}/zh_cp950.csv": ("read as CSV (encoding cp950)", 24, []),
    f"{EXCEL}/latin1.csv": ("read as CSV (encoding cp1252)", 24, []),
    f"{EXCEL}/pandas_index.csv": ("read as CSV", 24, []),
    f"{EXCEL}/zh_utf8.csv": ("read as CSV", 24, []),
    "crash-empty-batch/repeat_header.csv": ("read as CSV", 24, [10]),
    "crash-empty-batch/glue_quotes.tsv": ("read as TSV", 24, []),
    "crash-empty-batch/glue_quotes_pair.tsv": ("read as TSV", 24, []),
    "crash-empty-batch/nul.csv": ("read as CSV", 23, [4]),
    f"{TYPES}/json_mixed_text.jsonl": ("read as JSON Lines", 24, []),
    f"{TYPES}/json_mixed_label.jsonl": ("read as JSON Lines", 24, []),
    f"{TYPES}/json_nan_text.json": ("read as JSON", 24, []),
    "zh/big5_10.csv": ("read as CSV (encoding cp950)", 10, []),
    "zh/nul.csv": ("read as CSV", 4, [4]),
    "zh/utf16.csv": ("read as CSV (encoding utf-16)", 299, []),
}
"""File → how it is read, its rows, and the lines that can't be read."""


@pytest.mark.parametrize("name", READ)
def test_what_can_be_told_for_sure_is_read_and_said(name: str) -> None:
    line, rows, broken = READ[name]
    source = read_source(str(CASES / name))
    assert source.reading()[0] == line
    assert source.tables["train"].num_rows == rows
    unreadable = source.unreadable.get("train", ())
    assert len(unreadable) == len(broken)
    if name.startswith("zh") or "nul" in name:
        assert [row.line for row in unreadable] == broken


def test_what_is_not_sure_is_shown() -> None:
    notes = read_source(str(CASES / EXCEL / "latin1.csv")).reading()[1:]
    assert "its encoding is not sure: as cp1252 it reads: " in notes[0]
    assert "très bien" in notes[0]
    notes = read_source(str(CASES / EXCEL / "zh_cp950.csv")).reading()[1:]
    assert "not UTF-8 but cp950, and reads: 螢幕一個月就壞了，第0次" in notes[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("binary_xls.csv", "spreadsheet|Excel"),
        ("headerless.csv", r"csv:1 the first line looks like a row.*set data\.header: false"),
    ],
)
def test_what_can_t_be_read_says_what_it_is_and_what_to_do(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source(str(CASES / EXCEL / name))


@pytest.mark.parametrize("name", [*READ, "crash-empty-batch"])
def test_rows_are_counted_by_the_tokenizer_whatever_was_left_out(
    name: str, tiny_distilbert: Path, settings: Settings, tmp_path: Path
) -> None:
    config = tmp_path / "cls.yaml"
    config.write_text(
        "task: {name: text-classification}\n"
        f"model: {{name: '{tiny_distilbert}'}}\ndata: {{dataset_name: none.csv}}\n"
    )
    if name == "crash-empty-batch":  # rows of several pieces, the first of them empty
        lines = ["text,label", *(f"{text},{n % 2}" for n, text in enumerate("abcdefgh"))]
        (tmp_path / "rows.csv").write_text("\n".join([lines[0], lines[0], *lines[1:], lines[0]]))
        path, rows = tmp_path / "rows.csv", 10
    else:
        path, rows = CASES / name, READ[name][1] + len(READ[name][2])
    columns = ["task.text_column=內容", "task.label_column=標籤"] if "zh_" in name else []
    found: Any = check_data(inquire(str(path), config, columns, settings)).checked.report
    assert found.rows_in == rows
    assert found.rows_out > 0
    assert not any("tokenizer" in note for note in found.notes)
