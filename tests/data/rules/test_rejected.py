"""The rows left out: as they were, each once, and nothing lost when they are sent back mended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tunesmith.data.checking.rejected import rejected_rows
from tunesmith.data.writing import write_table
from tunesmith.experiments.datasets.importing import check_data, inquire
from tunesmith.settings import Settings

GOOD = [(f"a good text of number {n}", ("fresh", "rotten")[n % 2]) for n in range(20)]


def rejected(source: Path, settings: Settings, *assignments: str) -> pa.Table:
    asked = inquire(str(source), None, ["data.validation_rules.near_duplicates=ignore",
                                        *assignments], settings)  # fmt: skip
    return rejected_rows(asked.source.tables, check_data(asked).checked.report)


def write(path: Path, rows: Sequence[tuple[Any, Any]], *, form: str = "csv") -> Path:
    table = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    write_table(table, path.with_suffix(f".{form}"))
    return path.with_suffix(f".{form}")


def places(table: pa.Table) -> list[tuple[int, str]]:
    return [(row["_row"], row["_rule"]) for row in table.to_pylist()]


def test_rows_are_as_they_were_before_anything_was_mended(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [*GOOD, ("<b>hi</b>", "fresh"), ("the cafÃ© again", "")]
    table = rejected(
        write(tmp_path / "reviews", rows), settings, "data.validation_rules.min_text_length=5"
    )
    assert places(table) == [(21, "short_texts"), (22, "missing_labels")]
    assert table["text"].to_pylist() == ["<b>hi</b>", "the cafÃ© again"]
    assert table["_reason"].to_pylist() == [
        "text: 2 characters, at least 5 are wanted", "label: give the row a label",
    ]  # fmt: skip
    assert table["_split"].to_pylist() == ["train", "train"]
    assert table.column_names[:2] == ["text", "label"]


def test_a_row_that_breaks_several_rules_is_there_once_with_all_reasons(
    tmp_path: Path, settings: Settings
) -> None:
    table = rejected(write(tmp_path / "reviews", [*GOOD, ("", "")]), settings)
    assert places(table) == [(21, "empty_texts; missing_labels")]
    assert table["_reason"].to_pylist() == [
        "text: write the text, or remove the row; label: give the row a label"
    ]


def test_rows_that_are_only_mended_or_reported_are_not_among_them(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [*GOOD, ("<b>fine</b> as it is", "fresh"), GOOD[3], ("jane@example.com wrote", "fresh")]
    table = rejected(write(tmp_path / "reviews", rows), settings)
    assert table.num_rows == 0
    refused = rejected(
        write(tmp_path / "reviews", rows), settings, "data.validation_rules.html=fail"
    )
    assert places(refused) == [(21, "html")]


def test_an_unreadable_line_and_a_row_of_the_same_number_are_both_there(
    tmp_path: Path, settings: Settings
) -> None:
    # Line 5 is row 4, and row 5 stands on line 6.
    lines = ["text,label", *(f"{text},{label}" for text, label in GOOD)]
    lines[4] += ",more"
    lines[5] = ",rotten"
    path = tmp_path / "reviews.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    found = rejected(path, settings).to_pylist()
    assert [(row["_row"], row["_rule"], row["label"], row["_unreadable"]) for row in found] == [
        (5, "empty_texts", "rotten", None),
        (5, "unreadable_rows", None, lines[4]),
    ]
    assert found[1]["_reason"] == "line 5: has 3 values, the header 2 columns"


def test_rejected_rows_sent_back_mended_are_all_used(tmp_path: Path, settings: Settings) -> None:
    source = write(tmp_path / "reviews", [*GOOD, ("", "fresh"), ("", "rotten"), ("ok text", "")])
    sent = tmp_path / "mended.csv"
    write_table(rejected(source, settings), sent, keep_own=True)
    lines = sent.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("text,label,")
    mended = [lines[0], *(line.replace('""', "a new text", 1) for line in lines[1:3])]
    sent.write_text("\n".join([*mended, lines[3]]) + "\n")
    again = inquire(str(sent), None, [], settings)
    examination = check_data(again)
    assert dict(examination.columns) == {"text": "text", "label": "label"}
    assert examination.checked.report.rows_out == 2
    left = rejected_rows(again.source.tables, examination.checked.report)
    assert places(left) == [(3, "missing_labels")]
    assert left.column_names.count("_rule") == 1


def test_splits_whose_columns_have_other_types_are_written_together(
    tmp_path: Path, settings: Settings
) -> None:
    numbers = [(text, number % 2) for number, (text, _) in enumerate(GOOD)]
    other = [(f"{text}, later", str(number % 2)) for number, (text, _) in enumerate(GOOD)]
    write(tmp_path / "train", [*numbers, (" ", 1)], form="jsonl")
    write(tmp_path / "validation", [*other, (" ", "0")], form="jsonl")
    table = rejected(tmp_path, settings)
    assert table["label"].to_pylist() == ["1", "0"]
    assert table["_split"].to_pylist() == ["train", "validation"]


def test_columns_that_one_split_lacks_are_empty_there(tmp_path: Path, settings: Settings) -> None:
    for split, more in (("train", {"source": "web"}), ("validation", {})):
        rows = [{"text": f"{text} {split}", "label": label, **more} for text, label in GOOD]
        rows.append({"text": "", "label": "fresh", **more})
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = rejected(tmp_path, settings)
    assert table["source"].to_pylist() == ["web", None]


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz"])
def test_they_can_be_written_in_every_format(
    ending: str, tmp_path: Path, settings: Settings
) -> None:
    found = rejected(write(tmp_path / "reviews", [*GOOD, ("", "fresh")]), settings)
    write_table(found, tmp_path / f"rejected.{ending}", keep_own=True)
    asked = inquire(
        str(tmp_path / f"rejected.{ending}"), None,
        ["data.validation_rules.allow_empty=true"], settings,
    )  # fmt: skip
    assert asked.source.tables["train"]["label"].to_pylist() == ["fresh"]
