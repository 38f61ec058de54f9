"""Workbooks as Excel, LibreOffice and Python's writers leave them."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import odfdo
import openpyxl
import pytest
import xlwt

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows
from tunesmith.errors import ConfigError, DataError

Rows = Sequence[Sequence[Any]]

TABLE: Rows = [
    ["text", "label"],
    ["  It's good ", 1],
    ["007", "0010"],
    ["第二列", 0.1],
]
READ = [("  It's good ", "1"), ("007", "0010"), ("第二列", "0.1")]


def write_xlsx(path: Path, **sheets: Rows) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def write_ods(path: Path, **sheets: Rows) -> Path:
    document = odfdo.Document("spreadsheet")
    document.body.clear()
    for name, rows in sheets.items():
        table = odfdo.Table(name)
        for row in rows:
            table.append_row(odfdo.Row())
            for column, value in enumerate(row):
                if value is not None:
                    table.set_value((column, table.height - 1), value)
        document.body.append(table)
    document.save(path)
    return path


def write_xls(path: Path, **sheets: Rows) -> Path:
    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(number, column, value)
    book.save(str(path))
    return path


WRITERS = {"a.xlsx": write_xlsx, "a.ods": write_ods, "a.xls": write_xls}


def values(rows: FileRows) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows.table.drop_columns(["_row"]).to_pylist()]


@pytest.mark.parametrize("name", WRITERS)
def test_cells_are_text_as_people_see_them(tmp_path: Path, name: str) -> None:
    rows = read_file(WRITERS[name](tmp_path / name, Sheet1=TABLE))
    assert rows.format == "spreadsheet"
    assert rows.table.column_names == ["text", "label", "_row"]
    assert values(rows) == READ
    assert not rows.notes


def test_dates_truths_and_formulas_are_what_they_show(tmp_path: Path) -> None:
    when = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)  # sheets have no zones
    row = [date(2024, 1, 2), when, time(3, 4), True, 1e300, "x", None]
    path = write_xlsx(tmp_path / "a.xlsx", S=[["a", "b", "c", "d", "e", "f", "g"], row])
    shown = ("2024-01-02", "2024-01-02 03:04:05", "03:04:00", "true", "1e+300", "x", "")
    assert values(read_file(path)) == [shown]


def test_a_formula_is_what_it_gave(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", S=[["text", "n"], ["a", "=1+1"]])
    _change_part(path, "xl/worksheets/sheet1.xml", b"<v></v>", b"<v>2</v>", b"<v />", b"<v/>")
    assert values(read_file(path)) == [("a", "2")]


def _change_part(path: Path, part: str, old: bytes, new: bytes, *others: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert any(each in parts[part] for each in (old, *others))
    for each in (old, *others):
        parts[part] = parts[part].replace(each, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("name", WRITERS)
def test_titles_empty_rows_and_empty_columns_are_no_part_of_the_table(
    tmp_path: Path, name: str
) -> None:
    rows: Rows = [
        ["Reviews of May"], [None], ["text", "label", None], ["good", "1", None], [None, None],
        ["bad", "0", None],
    ]  # fmt: skip
    found = read_file(WRITERS[name](tmp_path / name, S=rows))
    assert values(found) == [("good", "1"), ("bad", "0")]
    assert found.table.column("_row").to_pylist() == [1, 2]
    [note] = found.notes
    assert "above the names of the columns is not read ('Reviews of May')" in note


def test_an_index_without_a_name_is_left_out_and_other_columns_are_called_by_number(
    tmp_path: Path,
) -> None:
    rows: Rows = [[None, "text", None], [0, "a", "x"], [1, "b", "y"]]
    found = read_file(write_xlsx(tmp_path / "a.xlsx", S=rows))
    assert found.table.column_names[:-1] == ["text", "column_3"]
    assert "column 1 has no name and numbers the rows" in found.notes[0]


def test_a_header_can_be_missing(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", S=[["good", 1], ["bad", 0]])
    found = read_file(path, ReadingOptions(header=False))
    assert found.table.column_names[:-1] == ["column_1", "column_2"]
    assert values(found) == [("good", "1"), ("bad", "0")]


def test_of_several_sheets_the_first_with_rows_is_read_and_the_others_are_named(
    tmp_path: Path,
) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", Empty=[], 評論=TABLE, Legend=[["code"], [1]])
    found = read_file(path)
    assert values(found) == READ
    assert found.details == {"sheet": "評論"}
    assert "the sheet 評論 is read, and not Empty, Legend" in found.notes[0]
    for wanted in ("Legend", "3"):
        chosen = read_file(path, ReadingOptions(sheet=wanted))
        assert values(chosen) == [("1",)]
        assert not chosen.notes
    with pytest.raises(ConfigError, match=r"no such sheet.*did you mean Legend"):
        read_file(path, ReadingOptions(sheet="Legende"))
    with pytest.raises(DataError, match="no data rows: nothing stands in"):
        read_file(path, ReadingOptions(sheet="Empty"))


@pytest.mark.parametrize("name", ["a.csv", "a.xls", "a.xlsx.gz"])
def test_a_workbook_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    path = write_xlsx(tmp_path / "made.xlsx", S=TABLE)
    data = path.read_bytes()
    wanted = tmp_path / name
    wanted.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    assert values(read_file(wanted)) == READ


def test_a_damaged_workbook_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", S=TABLE)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged, protected by a password or not a spreadsheet"):
        read_file(path)


def test_a_cell_in_the_last_row_and_column_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.cell(1, 1, "text")
    book.active.cell(1048576, 16384, "x")
    book.save(path)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"takes more than [\d,]+ MiB of memory to read"):
        read_file(path)


def test_a_small_workbook_of_large_parts_is_refused(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", S=TABLE)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/more.xml", "w") as part,
    ):
        for _ in range(300):
            part.write(b" " * (1 << 20))
    with pytest.raises(DataError, match="over 100 times its size"):
        read_file(path)
