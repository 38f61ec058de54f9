"""CSV as programs write it: delimiters, quotes, headers that are missing or have no names."""

# ruff: noqa: RUF001

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows
from tunesmith.errors import ConfigError, DataError

ROWS = [
    {"text": text, "label": label}
    for text, label in [
        ("The lamp flickers, every night", "negative"), ("Boils quickly; pours well", "positive"),
        ("A line\nand another", "negative"), ('He said "no" twice', "negative"),
        ("Friendly staff", "positive"), ("Tab\tin it", "positive"), ("這個很好用", "positive"),
    ]
]  # fmt: skip


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(found: FileRows) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.table.drop_columns(["_row"]).to_pylist()
    return rows


def read(path: Path, **options: Any) -> list[dict[str, Any]]:
    return rows_of(read_file(path, ReadingOptions(**options)))


# -- delimiters -------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.CSV"])
def test_the_delimiter_is_found_whatever_the_ending(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    pandas.DataFrame(ROWS).to_csv(tmp_path / name, index=False, sep=delimiter)
    found = read_file(tmp_path / name)
    assert rows_of(found) == ROWS
    usual = "\t" if name.endswith(".tsv") else ","
    assert dict(found.details) == ({} if delimiter == usual else {"delimiter": delimiter})


def test_excel_s_own_line_names_the_delimiter_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sep=;\r\ntext;label\r\nwell, a;1\r\nb;c;2\r\nd;0\r\ne;1\r\n")
    found = read_file(path)
    assert [row["text"] for row in rows_of(found)] == ["well, a", "d", "e"]
    assert [row.line for row in found.unreadable] == [4]
    assert found.details == {"delimiter": ";"}


def test_excel_s_unicode_text_is_read(tmp_path: Path) -> None:
    out = io.StringIO()
    csv.writer(out, "excel-tab").writerows([["text", "label"], *(r.values() for r in ROWS)])
    path = write(tmp_path / "a.txt", out.getvalue().encode("utf-16"))
    found = read_file(path)
    assert rows_of(found) == ROWS
    assert found.details == {"delimiter": "\t", "encoding": "utf-16"}


def test_texts_full_of_another_delimiter_change_nothing(tmp_path: Path) -> None:
    texts = ["a; b; c", "d; e; f", "g; h; i"]
    polars.DataFrame({"text": texts, "label": ["x", "y", "x"]}).write_csv(tmp_path / "a.csv")
    assert [row["text"] for row in read(tmp_path / "a.csv")] == texts
    one = write(tmp_path / "one.csv", "text\nfirst; one\nsecond\n")
    assert [row["text"] for row in read(one)] == ["first; one", "second"]


def test_prose_is_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "It was late, and dark.\nHe came, and went.\nSo, what?\n")
    assert read_file(path).format == "text"


@pytest.mark.parametrize("given", [";", "semicolon"])
def test_the_delimiter_that_is_named_counts(tmp_path: Path, given: str) -> None:
    path = write(tmp_path / "a.csv", "a,b;c\n1,2;3\n4,5;6\n")
    assert read(path, delimiter=given) == [{"a,b": "1,2", "c": "3"}, {"a,b": "4,5", "c": "6"}]
    assert read(path, delimiter=",")[0] == {"a": "1", "b;c": "2;3"}


@pytest.mark.parametrize("given", ["::", '"', "\n", "，"])
def test_a_delimiter_that_can_be_none_is_a_problem_of_its_field(tmp_path: Path, given: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.delimiter: can't stand between values"):
        read(write(tmp_path / "a.csv", "a,b\n1,2\n"), delimiter=given)


# -- quotes -----------------------------------------------------------------------------------


def test_tabs_without_quoting_are_read_as_they_stand(tmp_path: Path) -> None:
    texts = ['"Good" film, they say', 'He said "no" twice', '"Open', "plain", 'ends"', "5'11\""]
    with (tmp_path / "a.tsv").open("w", newline="") as stream:
        writer = csv.writer(stream, "excel-tab", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerows([["sentence", "label"], *([text, "1"] for text in texts)])
    found = read_file(tmp_path / "a.tsv")
    assert found.table["sentence"].to_pylist() == texts
    assert found.unreadable == ()


def test_quotes_after_backslashes_are_part_of_the_text(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, escapechar="\\", doublequote=False, quoting=csv.QUOTE_ALL)
        writer.writerows([["text", "label"], *(row.values() for row in ROWS)])
    assert read(tmp_path / "a.csv") == ROWS


def test_quoting_of_everything_is_undone(tmp_path: Path) -> None:
    for name, delimiter in (("a.csv", ","), ("b.tsv", "\t")):
        frame = pandas.DataFrame(ROWS)
        frame.to_csv(tmp_path / name, index=False, sep=delimiter, quoting=csv.QUOTE_ALL)
        assert read(tmp_path / name) == ROWS


# -- headers ----------------------------------------------------------------------------------


def test_an_index_without_a_name_is_left_out_and_said(tmp_path: Path) -> None:
    pandas.DataFrame(ROWS).sample(frac=1, random_state=1).to_csv(tmp_path / "a.csv")
    found = read_file(tmp_path / "a.csv")
    assert found.table.column_names == ["text", "label", "_row"]
    assert found.notes[0].startswith("column 1 has no name and numbers the rows")


def test_row_names_of_r_are_left_out_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"text","label"\n"1","good","x"\n"2","bad","y"\n')
    found = read_file(path)
    assert rows_of(found) == [{"text": "good", "label": "x"}, {"text": "bad", "label": "y"}]
    assert found.notes[0].startswith("column 1 has no name and numbers the rows")


def test_columns_without_names_are_named_or_left_out_when_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,,label,,\ngood,x,1,,\nbad,y,0,,\n")
    found = read_file(path)
    assert rows_of(found)[0] == {"text": "good", "column_2": "x", "label": "1"}
    assert found.notes == (
        "column 2 has no name: it is called column_2",
        "columns without a name or a value are left out: 4, 5",
    )


def test_names_lose_spaces_and_what_can_t_be_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\ufefftext , \u200blabel\u00a0\na,1\n")
    found = read_file(write(path, "\ufeff" + path.read_text()))
    assert found.table.column_names == ["text", "label", "_row"]
    assert "text, label" in found.notes[0]
    frame = pandas.DataFrame({" text": ["a"], "label ": ["b"]})
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    assert read_file(tmp_path / "a.jsonl").table.column_names == ["text", "label", "_row"]


HEADERLESS = "This opens the file,positive\n" + "".join(
    f"The lamp flickers {n} nights,{'positive' if n % 2 else 'negative'}\n" for n in range(12)
)
CHINESE = "這個真的很好用，推薦,好評\n" + "第一次購買就壞了，失望,負評\n這家還可以,好評\n" * 6


@pytest.mark.parametrize("content", [HEADERLESS, CHINESE, "1,a film\n0,a book\n1,a song\n"])
def test_a_file_without_a_header_says_what_to_set(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=r"csv:1 the first line looks like a row.*header: false"):
        read_file(path)
    rows = read(path, header=False)
    assert len(rows) == content.count("\n")
    assert list(rows[0].values()) == content.split("\n")[0].split(",")
    assert list(rows[0]) == ["column_1", "column_2"]
    assert len(read(path, header=True)) == content.count("\n") - 1


def test_names_that_are_labels_too_are_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,spam\nfree money now,spam\nhello,ham\nwin big,spam\n")
    assert len(read(path)) == 3


def test_the_first_line_of_a_file_without_names_is_no_repeated_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,1\nb,2\na,1\n")
    assert len(read(path, header=False)) == 3


# -- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.csv", {"format": "cvs"}, r"data\.format: no such format.*did you mean csv\?"),
        ("a.csv", {"sheet": "x"}, r"data\.sheet: has no meaning for CSV"),
        ("a.jsonl", {"delimiter": ";"}, r"data\.delimiter: has no meaning for JSON Lines"),
        ("a.parquet", {"encoding": "cp950"}, r"data\.encoding: has no meaning for Parquet"),
    ],
)
def test_an_option_that_means_nothing_is_said(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    frame = polars.DataFrame({"text": ["a"], "label": ["b"]})
    write: dict[str, Any] = {
        "a.csv": frame.write_csv,
        "a.jsonl": frame.write_ndjson,
        "a.parquet": frame.write_parquet,
    }
    write[name](tmp_path / name)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / name, **options)


@pytest.mark.parametrize("name", ["a.csv", "a.dat", "a.jsonl"])
def test_a_file_is_what_it_holds_not_what_it_is_called(tmp_path: Path, name: str) -> None:
    frame = polars.DataFrame({"text": ["a", "b", "c", "d"], "label": ["x", "y", "x", "y"]})
    for write_to, kind in (
        (frame.write_parquet, "parquet"), (frame.write_ndjson, "jsonl"), (frame.write_json, "json"),
    ):  # fmt: skip
        write_to(tmp_path / name)
        found = read_file(tmp_path / name)
        assert (found.format, rows_of(found)) == (kind, frame.to_dicts())
    frame.write_csv(tmp_path / name)
    assert read(tmp_path / name, format="csv") == frame.to_dicts()
