"""Files that are written: the same content when read again, whole or not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.versions.test_delta_types import CHAT, COLUMNS, TURN, column

from tunesmith.data.content import content_hash
from tunesmith.data.reading.rows import number_rows
from tunesmith.data.sources import read_source
from tunesmith.data.texts import is_chat
from tunesmith.data.writing import write_table
from tunesmith.errors import DataError, StorageError

TEXT_FORMATS = [".csv", ".tsv", ".json", ".jsonl", ".ndjson"]
ENDINGS = [
    *(kind + compression for kind in TEXT_FORMATS for compression in ("", ".gz", ".bz2", ".zst")),
    ".parquet",
    ".JSONL.GZ",
]
ODD_TEXTS = [
    "",
    None,
    " ",
    " lead and trail ",
    '"',
    '""',
    '5" pipe',
    '"quoted"',
    "a,b;c|d\te",
    "line\nbreak",
    "carriage\rreturn",
    "both\r\n",
    "\n",
    "\\n \\",
    "'",
    "=1+1",
    "007",
    "1.0",
    "true",
    "null",
    "NaN",
    "2020-02-29",
    "2020-02-29T01:02:03Z",
    "影評 🎬 é",
    "\u2028\x7f\x01",
    "{}",
    "[1]",
    "#",
    "\ufeff",
]


def read(path: Path) -> pa.Table:
    return read_source(str(path)).tables["train"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_read_again_has_the_same_content(tmp_path: Path, ending: str) -> None:
    table = number_rows(
        pa.table(
            {
                'odd "name", really': ODD_TEXTS,
                "label": pa.array([*range(len(ODD_TEXTS) - 1), None]),
                "chat": pa.array([CHAT, None, []] * 9 + [CHAT, CHAT], pa.list_(TURN)),
                "score": pa.array([0.1, 3.0, None, -1e300, 2.0**53] * 5 + [0.5] * 4),
                "small": pa.array([0.1] * len(ODD_TEXTS), pa.float32()),
                "flag": pa.array([True, None] * 14 + [False]),
                "名前": pa.array(["x"] * len(ODD_TEXTS)).dictionary_encode(),
            }
        )
    )
    path = tmp_path / f"rows{ending}"
    write_table(table, path)
    again = read(path)
    assert again.column_names == table.column_names
    assert content_hash(again) == content_hash(table)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (name, ending)
        for name in COLUMNS
        for ending in (".csv", ".tsv", ".json", ".jsonl", ".parquet")
        if name != "large string" or ending not in (".csv", ".tsv")  # it has a NUL
    ],
)
def test_every_type_is_read_again_with_its_text(tmp_path: Path, name: str, ending: str) -> None:
    table = pa.table({name: column(name), "text": ["a", "b"]})
    write_table(table, tmp_path / f"rows{ending}")
    assert content_hash(read(tmp_path / f"rows{ending}")) == content_hash(table)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_a_single_column_of_empty_texts_keeps_its_rows(tmp_path: Path, ending: str) -> None:
    table = pa.table({"text": ["", None, "a", None]})
    write_table(table, tmp_path / f"rows{ending}")
    assert content_hash(read(tmp_path / f"rows{ending}")) == content_hash(table)


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".parquet"])
def test_many_rows_in_many_pieces_are_written_in_order(tmp_path: Path, ending: str) -> None:
    numbers = pa.array(range(200_000))
    table = pa.table({"number": pa.chunked_array([numbers.slice(0, 70_001), numbers[70_001:]])})
    write_table(table, tmp_path / f"rows{ending}")
    assert content_hash(read(tmp_path / f"rows{ending}")) == content_hash(table)


def test_chats_stay_chats_in_json_and_are_json_text_in_csv(tmp_path: Path) -> None:
    table = pa.table({"chat": pa.array([CHAT], pa.list_(TURN))})
    for ending in (".jsonl", ".json", ".parquet"):
        write_table(table, tmp_path / f"rows{ending}")
        assert is_chat(read(tmp_path / f"rows{ending}").column("chat").type)
    line = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert line == {"chat": CHAT}
    assert list(line["chat"][0]) == ["role", "content"]
    write_table(table, tmp_path / "rows.csv")
    assert json.loads(read(tmp_path / "rows.csv").column("chat")[0].as_py()) == CHAT


def test_numbers_that_json_lacks_are_written_as_text(tmp_path: Path) -> None:
    table = pa.table({"a": [1.5, float("nan")], "b": [[float("inf")], [1.0]]})
    write_table(table, tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text(), parse_constant=pytest.fail) == [
        {"a": "1.5", "b": "[Infinity]"},
        {"a": "nan", "b": "[1]"},
    ]


def test_columns_of_ours_are_left_out_unless_wanted(tmp_path: Path) -> None:
    table = number_rows(pa.table({"text": ["a"], "_reason": ["b"]}))
    write_table(table, tmp_path / "rows.parquet")
    assert pq.read_schema(tmp_path / "rows.parquet").names == ["text"]
    write_table(table, tmp_path / "rows.csv", keep_own=True)
    assert (tmp_path / "rows.csv").read_text("utf-8-sig") == "text,_reason,_row\na,b,1\n"
    with pytest.raises(DataError, match="there is no column to write"):
        write_table(table.select(["_row"]), tmp_path / "none.csv")


def test_a_table_without_rows_is_written_too(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "label": [1]}).slice(0, 0)
    for ending, content in ((".csv", "text,label\n"), (".json", "[]\n"), (".jsonl", "")):
        write_table(table, tmp_path / f"rows{ending}")
        assert (tmp_path / f"rows{ending}").read_text("utf-8-sig") == content


@pytest.mark.parametrize("name", ["rows", "rows.xlsx", "rows.csv.zip", "rows.parquet.gz", ".csv"])
def test_other_endings_are_refused_naming_those_accepted(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"accepted: \.csv, \.tsv, .*\.parquet.*\.gz"):
        write_table(pa.table({"a": [1]}), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "rows.csv"
    write_table(pa.table({"a": ["old"]}), path)
    with pytest.raises(DataError, match="row 2 has a NUL character in column a, which CSV and TSV"):
        write_table(pa.table({"a": ["new", "\0"]}), path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"rows\.csv can't be written: "):
        write_table(pa.table({"a": ["new"]}), tmp_path / "file" / "rows.csv")
    path.with_name("folder.csv").mkdir()
    with pytest.raises(StorageError, match=r"folder\.csv can't be written: "):
        write_table(pa.table({"a": ["new"]}), path.with_name("folder.csv"))
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["folder.csv", "rows.csv"]
    assert path.read_text("utf-8-sig") == "a\nold\n"


def test_a_csv_begins_with_the_mark_by_which_excel_knows_its_encoding(tmp_path: Path) -> None:
    table = pa.table({"text": ["這個很好用"]})
    begins = {}
    for name in ("a.csv", "a.tsv", "a.csv.gz", "a.jsonl"):
        write_table(table, tmp_path / name)
        begins[name] = (tmp_path / name).read_bytes()[:3] == b"\xef\xbb\xbf"
    assert begins == {"a.csv": True, "a.tsv": False, "a.csv.gz": False, "a.jsonl": False}
    assert read_source(str(tmp_path / "a.csv")).tables["train"]["text"].to_pylist() == [
        "這個很好用"
    ]
    write_table(table, tmp_path / "a.csv", mark=False)
    assert (tmp_path / "a.csv").read_bytes().startswith(b"text")
