from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.errors import DataError

CSV = 'text,label\n"one, ""two""\nthree",007\nNA,\n'
ROWS = [
    {"text": 'one, "two"\nthree', "label": "007", "_row": 1},
    {"text": "NA", "label": "", "_row": 2},
]


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_file(path).table.to_pylist()
    return rows


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def gz(content: bytes) -> bytes:
    """`content` with gzip; without the time, by which tests would have other names elsewhere."""
    return gzip.compress(content, mtime=0)


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


# -- CSV and TSV ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.CSV", CSV.encode()),
        ("a.csv", CSV.replace("\n", "\r\n").replace("\r\nthree", "\nthree").encode()),
        ("a.csv", CSV.encode("utf-8-sig")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", b"\xfe\xff" + CSV.encode("utf-16-be")),
        ("a.csv", CSV.encode("utf-32")),
        ("a.csv.gz", gz(CSV.encode())),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("a.tsv", CSV.replace("two\"\"\nthree\",", "two\"\"\nthree\"\t").replace("text,", "text\t")
            .replace("NA,", "NA\t").encode()),
    ],
)  # fmt: skip
def test_a_table_of_text_is_read_exactly_as_it_is_written(
    tmp_path: Path, name: str, content: bytes
) -> None:
    assert read(write(tmp_path / name, content)) == ROWS


def test_zstandard_files_are_read(tmp_path: Path) -> None:
    with pa.output_stream(str(tmp_path / "a.csv.zst"), compression="zstd") as stream:
        stream.write(CSV.encode())
    assert read(tmp_path / "a.csv.zst") == ROWS


def test_a_row_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = "word " * 4_000_000
    rows = read(write(tmp_path / "a.csv", f"text,label\nshort,0\n{long},1\n"))
    assert [len(row["text"]) for row in rows] == [5, len(long)]


def test_a_lone_quote_inside_a_value_is_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", 'text,label\n5" pipe,1\n'))[0]["text"] == '5" pipe'


def test_a_file_of_ragged_rows_is_refused_with_lines_and_both_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"a\nb",1\nc,d,1\ne\nf\n')
    with pytest.raises(
        DataError,
        match=r"3 of 4 rows can't be read: line 4 has 3 values, the header 2 columns; line 5 has 1",
    ):
        read(path)


def test_a_quote_that_is_never_closed_is_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"a",1\n"b,1\nc,1\n')
    found = read_file(path)
    assert [row.line for row in found.unreadable] == [3]
    assert found.table["text"].to_pylist() == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label,text\na,1,b\n", "same name for several columns: text"),
        ("a.csv", "text,label\n", "has no data rows"),
        ("a.csv", "\n\n", "has no data rows"),
        ("a.csv", "", r"is empty \(0 bytes\)"),
        ("a.csv", b"\xff\xfea", r"csv:1 has a byte that is not UTF-16 .0x61, byte 3 of the file"),
        ("a.csv.gz", b"text,label\na,1\n", "cut short or not a .gz file"),
        ("a.csv.gz", gz(CSV.encode() * 1000)[:-20], "cut short or not a .gz file"),
        ("a.csv.bz2", bz2.compress(CSV.encode() * 1000)[:-20], "cut short or not a .bz2 file"),
        ("a.csv.zst", zstd(CSV.encode() * 1000)[:-3], "cut short or not a .zst file"),
        ("a.rtf", "hello", r"files of this ending are not read; accepted: .*\.csv"),
    ],
)  # fmt: skip
def test_a_faulty_file_gets_one_paragraph_that_says_what_is_wrong(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read(write(tmp_path / name, content))
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_the_nearest_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", CSV)
    with pytest.raises(DataError, match=r"did you mean .*reviews\.csv\?"):
        read(tmp_path / "review.csv")
    with pytest.raises(DataError, match="no folder"):
        read(tmp_path / "nowhere" / "reviews.csv")


# -- JSON -------------------------------------------------------------------------------------

OBJECTS: list[dict[str, Any]] = [
    {"text": "2024-01-01", "n": 1, "turns": [{"role": "user", "content": "2024-01-01"}]},
    {"text": "b", "n": None, "turns": []},
]
LINES = "\n".join(json.dumps(row) for row in OBJECTS) + "\n\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.ndjson", LINES),
        ("a.jsonl", "\ufeff" + LINES),
        ("a.json", LINES),
        ("a.json", json.dumps(OBJECTS)),
        ("a.json", json.dumps({"version": 1, "rows": OBJECTS}, indent=1)),
    ],
)
def test_json_keeps_its_types_and_text_that_looks_like_a_date(
    tmp_path: Path, name: str, content: str
) -> None:
    rows = read(write(tmp_path / name, content))
    assert rows == [{**row, "_row": number} for number, row in enumerate(OBJECTS, 1)]


def test_long_integers_keep_their_digits(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a.jsonl", '{"id": 18446744073709551615}\n{"id": 1}\n'))
    assert rows[0]["id"] == 18446744073709551615


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1\n\n{"a": 2\n', r"line 1 is not valid JSON: .* character \d+; line 3"),
        ("a.jsonl", '[1]\n', r"line 1 is not an object but \[1\]"),
        ("a.jsonl", '{"a": "\\ud83d"}\n', "line 1 has half of a character .* in column 'a'"),
        ("a.jsonl", "{}\n{}\n", "every object is empty|has no data rows"),
        ("a.jsonl", "\n", "has no data rows"),
        ("a.json", '[{"a": 1},\n {"a": }]', r"a\.json:2:8 is not valid JSON"),
        ("a.json", "[]", "has no data rows"),
        ("a.json", "[1]", "entry 1 is not an object but 1"),
        ("a.json", '{"a": [1], "b": [2, 3]}', r"it holds an object with 2 lists \(a, b\)"),
        ("a.json", "3", "it holds 3"),
        ("a.json", "[" * 100_000, "nested too deeply|not valid JSON"),
    ],
)  # fmt: skip
def test_faulty_json_is_named_by_its_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / name, content))


# -- Parquet ----------------------------------------------------------------------------------


def test_parquet_keeps_its_schema(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "label": pa.array([0, 1], pa.int8())})
    folder = tmp_path / "label=3"  # looks like a partition; no column must come of it
    folder.mkdir()
    pq.write_table(table, folder / "a.parquet")
    assert read_file(folder / "a.parquet").table.drop_columns(["_row"]).equals(table)
    compressed = write(
        tmp_path / "b.parquet.gz", gzip.compress((folder / "a.parquet").read_bytes())
    )
    assert read_file(compressed).table.drop_columns(["_row"]).equals(table)


def test_parquet_cut_short_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 1000}), tmp_path / "a.parquet")
    path = write(tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match="cut short or not a Parquet file"):
        read(path)


def test_parquet_text_that_is_not_utf8_is_named_by_row(tmp_path: Path) -> None:
    broken = pa.array([b"fine", None, b"na\xefve"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"column text, row 3 has a byte that is not UTF-8 \(0xef\)"
    ):
        read(tmp_path / "a.parquet")


def test_a_row_column_of_the_file_itself_is_replaced(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "_row,text\n17,a\n")) == [{"text": "a", "_row": 1}]


def test_a_text_file_without_columns_is_a_text_a_line(tmp_path: Path) -> None:
    found = read_file(write(tmp_path / "a.txt", "One text, on a line.\r\n\r\n第二行\n"))
    assert found.format == "text"
    assert found.table.column("text").to_pylist() == ["One text, on a line.", "第二行"]
    assert "each line is a row" in found.notes[0]
    assert read(write(tmp_path / "b.txt", CSV)) == ROWS
