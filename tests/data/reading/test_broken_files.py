"""Files that are partly broken: what can be read is read, and the rest is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.rows import Unreadable
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError

ROWS = [f"text number {number},{number % 2}" for number in range(40)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv_of(*lines: str, header: str = "text,label") -> str:
    return "\n".join([header, *lines]) + "\n"


def places(path: Path) -> list[tuple[int, str]]:
    """Line and reason of each unreadable row."""
    return [(row.line, row.reason) for row in read_file(path).unreadable]


def numbers(path: Path) -> list[int]:
    rows: list[int] = read_file(path).table["_row"].to_pylist()
    return rows


# -- CSV --------------------------------------------------------------------------------------


def test_ragged_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", csv_of('"a\nb",1', "c,d,1", "", "e,1", "f", "g,0"))
    found = read_file(path)
    assert found.unreadable == (
        Unreadable(4, "c,d,1", "has 3 values, the header 2 columns"),
        Unreadable(7, "f", "has 1 value, the header 2 columns"),
    )
    assert found.table.to_pylist() == [
        {"text": "a\nb", "label": "1", "_row": 1},
        {"text": "e", "label": "1", "_row": 3},
        {"text": "g", "label": "0", "_row": 5},
    ]


def test_line_numbers_hold_across_blocks_and_windows_line_ends(tmp_path: Path) -> None:
    lines = [f'"text {"word " * 200}\r\nsecond line {number}",1' for number in range(20_000)]
    lines[19_000] = "too,many,values"
    path = write(tmp_path / "a.csv", "text,label\r\n" + "\r\n".join(lines) + "\r\n")
    found = read_file(path)
    assert [(row.line, row.text) for row in found.unreadable] == [(38_002, "too,many,values")]
    assert found.table.num_rows == 19_999
    assert found.table["_row"].to_pylist() == [*range(1, 19_001), *range(19_002, 20_001)]
    assert found.table["text"][19_000].as_py().endswith("\r\nsecond line 19001")


def test_a_long_unreadable_row_is_shortened(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", csv_of("a,1", "b" * 5000 + ",1,1", "c,1"))
    (row,) = read_file(path).unreadable
    assert len(row.text) == 500
    assert row.text.startswith("bbb")


def test_a_table_whose_rows_are_mostly_ragged_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", csv_of(*(f"well, {number},1" for number in range(30)), "a,1"))
    with pytest.raises(
        DataError,
        match=r"30 of 31 rows can't be read: line 2 has 3 values, the header 2 columns; line 3 has"
        r".*; and 25 more\. A value that holds a comma",
    ):
        read_file(path)


def test_a_table_whose_first_ten_rows_are_ragged_is_refused_as_a_whole(tmp_path: Path) -> None:
    lines = [*("a,b,c" for _ in range(10)), *ROWS]
    with pytest.raises(DataError, match="10 of 50 rows can't be read: line 2 has 3 values"):
        read_file(write(tmp_path / "a.csv", csv_of(*lines)))
    read_file(write(tmp_path / "a.csv", csv_of(*lines[1:])))


def test_a_needless_delimiter_at_every_line_end_makes_no_column(tmp_path: Path) -> None:
    ended = [f"{row}," for row in ROWS]
    for header in ("text,label,", "text,label"):
        found = read_file(write(tmp_path / "a.csv", csv_of(*ended, header=header)))
        assert found.table.column_names == ["text", "label", "_row"]
        assert (found.table.num_rows, found.unreadable) == (40, ())
        assert found.notes == ("columns without a name or a value are left out: 3",)
    found = read_file(write(tmp_path / "a.csv", csv_of(*ROWS, header="text,label,,")))
    assert (found.table.num_rows, found.notes) == (40, ())


def test_a_quote_that_is_never_closed_costs_its_row(tmp_path: Path) -> None:
    quoted = ['"text number {}",{}'.format(*row.rsplit(" ", 1)[-1].split(",")) for row in ROWS]
    for lines in (
        [*quoted, '"open,1', *ROWS],  # it would be one long ragged row
        [*quoted, '5" pipe,1', '"open,1', *ROWS],  # an even number of quotes
        [*quoted, '1,"open', *ROWS],  # a row of the right width
        [*quoted, '5" pipe,1', '1,"open', *ROWS],
        [*quoted, "ragged", '"open,1'],
    ):
        path = write(tmp_path / "a.csv", csv_of(*lines))
        line = next(n for n, text in enumerate(lines, 2) if "open" in text)
        found = read_file(path)
        reasons = {row.line: row.reason for row in found.unreadable}
        assert reasons[line] == "has a quote that is never closed"
        assert found.table.num_rows == len(lines) - len(reasons)


def test_quotes_that_enclose_nothing_are_part_of_the_texts(tmp_path: Path) -> None:
    lines = ['"open,1', 'in "between",0', 'close",1', '"Good" film,0', '5" pipe,1']
    found = read_file(write(tmp_path / "a.csv", csv_of(*ROWS, *lines, "rag")))
    assert found.table["text"].to_pylist()[40:] == [line[:-2] for line in lines]
    assert [row.line for row in found.unreadable] == [47]
    assert found.notes == ("quotes don't enclose values in it: they are read as part of the texts",)


def test_a_row_with_a_misplaced_quote_is_named(tmp_path: Path) -> None:
    quoted = [f'"{row[:-2]}",{row[-1]}' for row in ROWS]
    path = write(tmp_path / "a.csv", csv_of(*quoted, '"5" pipe",1', '"last",0'))
    assert places(path) == [(42, "has a quote that is out of place")]
    assert numbers(path) == [*range(1, 41), 42]
    path = write(tmp_path / "b.csv", csv_of(*quoted, '"Good" film,1', '"last",0'))
    assert places(path) == [(42, "has a quote that is out of place")]


def test_a_header_repeated_between_rows_is_named(tmp_path: Path) -> None:
    once = csv_of(*ROWS)
    path = write(tmp_path / "a.csv", once + once + "\ufeff" + once)
    assert places(path) == [(42, "repeats the header"), (83, "repeats the header")]
    assert numbers(path) == [*range(1, 41), *range(42, 82), *range(83, 123)]
    words = write(tmp_path / "words.csv", "word\nnoun\nword\n")
    assert read_file(words).table.num_rows == 2  # may well be meant


def test_a_table_without_a_header_says_so(tmp_path: Path) -> None:
    for content in ("17,3.5\n18,4.5\n", csv_of(*ROWS, header="a fine film,1")):
        with pytest.raises(DataError, match=r"a\.csv:1 the first line looks like a row"):
            read_file(write(tmp_path / "a.csv", content))
    # What pandas calls columns without names, and a year as a name.
    assert read_file(write(tmp_path / "a.csv", "0,1\na,b\n")).table.num_rows == 1
    assert read_file(write(tmp_path / "a.csv", "text,2024\na,b\n")).table.num_rows == 1


def test_rows_with_a_nul_byte_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", csv_of(*ROWS[:20], "bro\0ken,1", *ROWS[20:]))
    assert places(path) == [(22, "has a NUL byte, as files have that were damaged")]
    assert read_file(path).table.num_rows == 40


def test_two_rows_that_an_open_quote_made_one_are_named(tmp_path: Path) -> None:
    quoted = ['"good, very good",1', '"bad, very bad",0', *ROWS]
    lines = [*quoted, '"a good film,1', "in between,0", 'a bad film",0', *ROWS]
    path = write(tmp_path / "a.csv", csv_of(*lines))
    assert places(path) == [(44, "is several rows: a quote was left open in it")]
    swapped = [f"{row[-1]},{row[:-2]}" for row in ROWS]
    path = write(
        tmp_path / "b.csv",
        csv_of(*swapped, '1,"a, b"', '0,"c, d"', '1,"good', '0,bad"', header="label,text"),
    )
    assert [line for line, _ in places(path)] == [44]


def test_a_text_of_several_lines_with_delimiters_is_one_row(tmp_path: Path) -> None:
    lines = ['"good, very good\nindeed",1', '"Stars, 5\nout of 6",0', '"a,b\nc,d",1', '"x\ny",0']
    path = write(tmp_path / "a.csv", csv_of(*ROWS, *lines))
    assert read_file(path).unreadable == ()
    assert read_file(path).table.num_rows == 44


def test_a_value_longer_than_a_block_beside_a_ragged_row_is_read(tmp_path: Path) -> None:
    long = "word " * 4_000_000
    found = read_file(write(tmp_path / "a.csv", csv_of("short,0", f"{long},1", "a,b,c", "d,1")))
    assert [len(text) for text in found.table["text"].to_pylist()] == [5, len(long), 1]
    assert [row.line for row in found.unreadable] == [4]


def test_a_column_that_is_nearly_all_missing_keeps_its_type(tmp_path: Path) -> None:
    count = 150_000
    path = write(tmp_path / "a.csv", "text,note\n" + "a,\n" * count + "b,late\n")
    assert read_file(path).table["note"].to_pylist()[-2:] == ["", "late"]
    lines = '{"text": "aaaaaaaaaaaaaaaa", "note": null}\n' * count * 4  # more than one block
    path = write(tmp_path / "a.jsonl", lines + '{"text": "b", "note": "late"}\n')
    assert read_file(path).table["note"].to_pylist()[-2:] == [None, "late"]
    path = write(tmp_path / "b.jsonl", lines + '{"text": "b", "note": "late"}\n{"note": \n')
    assert read_file(path).table["note"].to_pylist()[-1] == "late"
    assert [row.line for row in read_file(path).unreadable] == [count * 4 + 2]


# -- JSON Lines -------------------------------------------------------------------------------

GOOD = [json.dumps({"text": f"row {number}", "n": number}) for number in range(20)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "cut', "is not valid JSON: Unterminated string starting at at character 10"),
        ("[1]", "is not an object but [1]; a row is {…}"),
        ("null", "is not an object but None; a row is {…}"),
        ('  "text"', "is not an object but 'text'; a row is {…}"),
        ('{"n": 1} {"n": 2}', "is not valid JSON: Extra data at character 10"),
        ('{"n": 1} null', "is not valid JSON: Extra data at character 10"),
        ('{"n": 1},', "is not valid JSON: Extra data at character 9"),
        ('{"n": 1, "n": 2}', "has the key 'n' twice"),
        ('{"a": {"n": 1, "n": 2}}', "has the key 'n' twice"),
        ('{"text": "\\ud83d"}', "has half of a character (a lone surrogate) in column 'text'"),
        ('{"text": "a\0b"}', "is not valid JSON: Invalid control character at at character 12"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "is nested too deeply to be a row"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "is nested too deeply to be a row"),
        ('{"n": ' + "1" * 5000 + "}", "is not valid JSON: Exceeds the limit"),
    ],
)
def test_a_broken_line_is_named_wherever_it_stands(tmp_path: Path, line: str, reason: str) -> None:
    for position in (0, 7, 20):
        lines = [*GOOD[:position], line, *GOOD[position:]]
        found = read_file(write(tmp_path / "a.jsonl", "\n\n".join(lines)))
        (row,) = found.unreadable
        assert row.line == 2 * position + 1
        assert row.reason.startswith(reason)
        assert row.text == line.replace("\0", "␀") if len(line) < 500 else len(row.text) == 500
        assert found.table.column_names == ["text", "n", "_row"]
        assert found.table["n"].to_pylist() == list(range(20))
        assert position + 1 not in found.table["_row"].to_pylist()
        assert found.table["_row"].to_pylist()[-1] == (21 if position < 20 else 20)


def test_one_broken_line_among_many_blocks_is_named(tmp_path: Path) -> None:
    lines = [f'{{"text": "{"word " * 40}", "n": {number}}}' for number in range(150_000)]
    lines[120_000] = lines[120_000][:-1]
    found = read_file(write(tmp_path / "a.jsonl", "\r\n".join(lines)))
    assert [row.line for row in found.unreadable] == [120_001]
    assert found.table["n"].to_pylist() == [n for n in range(150_000) if n != 120_000]
    assert found.table["_row"][120_000].as_py() == 120_002


def test_lines_joined_from_files_with_byte_order_marks_are_read(tmp_path: Path) -> None:
    once = "\ufeff" + "\n".join(GOOD) + "\n"
    found = read_file(write(tmp_path / "a.jsonl", once + once))
    assert (found.unreadable, found.table.num_rows) == ((), 40)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(["a", "b", *GOOD[:1]]), r"2 of 3 rows can't be read: line 1 is not valid JSON"),
        ("\n".join(["x"] * 10 + GOOD), r"10 of 30 rows can't be read: .*; and 5 more"),
        ("null\n", "its only row can't be read: line 1 is not an object but None"),
        ('{\n"a": 1\n}\n{\n"a": 2\n}\n', "Every object must stand on a line of its own"),
    ],
)
def test_lines_that_are_wrong_as_a_whole_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_file(write(tmp_path / "a.jsonl", content))


def test_values_that_only_python_reads_are_read(tmp_path: Path) -> None:
    lines = ['{"n": 1e999, "id": 18446744073709551615}', "oops", '{"n": 1.5, "id": 1}']
    found = read_file(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert found.table["n"].to_pylist() == [float("inf"), 1.5]
    assert found.table["id"].to_pylist() == [18446744073709551615, 1]
    assert found.table["_row"].to_pylist() == [1, 3]


def test_a_key_that_stands_twice_in_a_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="an object has the key 'a' twice; which one is meant"):
        read_file(write(tmp_path / "a.json", '[{"a": 1, "a": 2}]'))


def test_a_document_cut_short_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a\.json:2:2 is not valid JSON|a\.json:1:\d+ is not valid"
    ):
        read_file(write(tmp_path / "a.json", json.dumps([{"a": 1}, {"a": 2}])[:-5]))


def test_nested_columns_are_kept(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": {"b": [1, 2], "c": {"d": "x"}}, "t": "y"}] * 3
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n{")
    assert read_file(path).table.drop_columns(["_row"]).to_pylist() == rows
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet").table.drop_columns(["_row"]).to_pylist() == rows


# -- other files under these names, and sources ------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"PK\x03\x04rest", "is not text but a ZIP archive or an Excel sheet"),
        (
            "a.csv",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000,
            "protected by a password or not a spreadsheet",
        ),
        ("a.csv", b"\x1f\x8brest", "is cut short or not a .gz file"),
        ("a.jsonl", b"PAR1rest", "is cut short or not a Parquet file"),
        ("a.csv", b"text,label\n" + bytes(range(128, 256)) * 9, "no other encoding does it read"),
        ("a.jsonl", " \n\n", "has no data rows"),
        ("a.parquet", b"", r"is empty \(0 bytes\)"),
        ("a.parquet", b"PAR1" + b"\0" * 50, "cut short or not a Parquet file"),
        ("a.zip", b"x", "unpack the archive"),
        ("a.tar.gz", gzip.compress(b"x", mtime=0), "unpack the archive"),
        ("a.csv.zip", b"x", "unpack the archive"),
    ],
)
def test_a_file_that_is_something_else_says_what_to_do(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_file(write(tmp_path / name, content))
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_source_names_the_unreadable_rows_of_each_split(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", csv_of("a,1", "b", "c,0"))
    write(tmp_path / "test.csv", csv_of("d,1", "e,0"))
    source = read_source(str(tmp_path))
    assert {split: [row.line for row in rows] for split, rows in source.unreadable.items()} == {
        "train": [3]
    }
