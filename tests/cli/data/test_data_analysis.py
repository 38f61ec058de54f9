"""The analysis in the terminal: within the width, and nothing in it that a terminal would obey."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest
from rich.cells import cell_len

from tunesmith.cli.console.terminal import Terminal
from tunesmith.cli.data.analysis import print_analysis
from tunesmith.data.analysis.summary import analyze


def printed(width: int, *splits: dict[str, list[Any]], label: str | None = "label") -> str:
    tables = {
        name: pa.table({**columns, "_row": range(1, len(columns["text"]) + 1)})
        for name, columns in zip(("train", "test"), splits, strict=False)
    }
    out = io.StringIO()
    console = Terminal(file=out, width=width, color_system=None)
    print_analysis(console, analyze(tables, text_columns=["text"], label_column=label))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_long_labels_and_texts_are_cut_to_the_width(width: int) -> None:
    labels = [f"{i} is a label of many words 標籤 " * 3 for i in range(30)]
    texts = [f"text number {i} {'long ' * 100}" for i in range(30)]
    part = {"text": texts, "label": labels}
    out = printed(width, part, part)
    assert max(cell_len(line.rstrip()) for line in out.splitlines()) <= width
    assert "… and 10 more labels" in out
    labels_part = out.partition("Labels\n")[2].partition("\n… and")[0].splitlines()
    assert len(labels_part) == 21  # each label on one line, below the headings


def test_the_figures_are_there() -> None:
    part = {"text": ["good a"] * 30 + ["bad b"] * 10, "label": ["p"] * 30 + ["n"] * 10}
    out = printed(100, part, {"text": ["c"], "label": ["n"]})
    assert "41 rows (train 40, test 1), 2 labels, imbalance ratio 2.73, 38 duplicates" in out
    assert "! 38 rows have the text of an earlier row" in out
    [row] = [line.split() for line in out.splitlines() if line.startswith("p ") and "%" in line]
    assert row[:5] == ["p", "30", "73.2%", "75.0%", "0.0%"]
    assert "good, a" in out or "a, good" in out
    assert "train 31" in out


def test_texts_of_the_data_can_t_steer_the_terminal() -> None:
    out = printed(80, {"text": ["\x1b[2J gone \x07\x9b \u202eturned [bold]x[/bold]"], "label": [1]})
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
    assert "␛[2J gone" in out
    assert "[bold]x[/bold]" in out


def test_data_without_labels_or_rows_are_printed_too() -> None:
    out = printed(80, {"text": ["a text", "another"]}, label=None)
    assert "Labels" not in out
    assert "Examples" in out
    assert "0 rows" in printed(80, {"text": []}, label=None)
