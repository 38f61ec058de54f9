"""Tables as reports and people's hands leave them: titles, spaced and open quotes, merged cells."""

from __future__ import annotations

from pathlib import Path

import odfdo
import openpyxl
import pytest

from tunesmith.data.reading.files import is_plain, read_file
from tunesmith.data.reading.rows import FileRows
from tunesmith.errors import DataError

ROWS = [f"a film, number {n};{'good' if n % 2 else 'bad'}" for n in range(12)]
TABLE = "\n".join(["text;label", *ROWS, ""])


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def read(tmp_path: Path, content: str) -> FileRows:
    return read_file(write(tmp_path / "a.csv", content))


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ("Report 2024\n\n", "'Report 2024'"),
        ("Umsatz\r\n\r\n", "'Umsatz'"),
        ("Report 2024;\nby me;\n;\n", "'Report 2024', 'by me'"),
        ("# exported 2024-01-01\n", "'# exported 2024-01-01'"),
        ("評論匯出 2024\n", "'評論匯出 2024'"),
    ],
)
def test_titles_above_the_names_are_no_rows_and_said(tmp_path: Path, above: str, said: str) -> None:
    found = read(tmp_path, above + TABLE + "ragged\n")
    assert found.table.column_names == ["text", "label", "_row"]
    assert (found.table.num_rows, len(found.unreadable)) == (12, 1)
    assert found.unreadable[0].line == above.count("\n") + 14
    assert found.notes[0] == f"what stands above the names of the columns is not read ({said})"
    assert not is_plain(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content",
    [
        "text,label\n\ngood film,1\n\nbad film,0\n",  # an empty line after each
        "text,label,\na,1,x 1\nb,0,y 2\nc,1,z 3\n",
        "text,\na,1\nb,0\nc,1\n",
        ",text,label\n0,a,b\n1,c,b\n2,d,e\n",
        "text\nhello; world\nfoo\n",
    ],
)
def test_the_names_of_columns_are_no_title(tmp_path: Path, content: str) -> None:
    assert "text" in read(tmp_path, content).table.column_names


def test_a_title_is_kept_where_it_may_be_the_name_of_the_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 values, the header 1 column"):
        read(tmp_path, "text\nhello, world\nso, what\nnow, then\n")


def test_quotes_behind_a_space_enclose_values(tmp_path: Path) -> None:
    rows = [f'"film, {n}", "x, ""y"", z" , "c"' for n in range(6)]
    found = read(tmp_path, "\n".join(["text, label, more", *rows, ""]))
    assert found.table.select(["text", "label", "more"]).to_pylist()[0] == {
        "text": "film, 0",
        "label": 'x, "y", z',
        "more": "c",
    }
    assert "spaces between delimiters and quotes are left out" in found.notes
    assert not is_plain(tmp_path / "a.csv")


def test_spaces_within_quotes_stay(tmp_path: Path) -> None:
    found = read(tmp_path, 'text,label\n"he said, ""no"", twice",1\n"a, ""b""",0\n')
    assert found.table["text"].to_pylist() == ['he said, "no", twice', 'a, "b"']
    assert found.notes == ()


def test_a_row_whose_quote_is_never_closed_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = [f'"film, number {n}",{n % 2}' for n in range(6)]
    found = read(tmp_path, "\n".join(["text,label", *rows, '"cut, here', "b,1", "c,0", ""]))
    assert found.table["text"].to_pylist()[6:] == ["b", "c"]
    assert found.table["_row"].to_pylist() == [1, 2, 3, 4, 5, 6, 8, 9]
    (row,) = found.unreadable
    assert (row.line, row.text) == (8, '"cut, here')
    assert row.reason == "has a quote that is never closed"


def test_merged_cells_have_their_value_in_each_row(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["Report", None, None], [], [None, "label", "text"]):
        sheet.append(row)
    for n in range(4):
        sheet.append([None, "good" if n == 0 else "bad" if n == 2 else None, f"film {n}"])
    for place in ("A1:C2", "B4:B5", "B6:B7"):
        sheet.merge_cells(place)
    book.save(tmp_path / "a.xlsx")
    found = read_file(tmp_path / "a.xlsx")
    assert found.table["label"].to_pylist() == ["good", "good", "bad", "bad"]
    assert "column label: 2 cells are merged with one above them, and have its value" in found.notes


def test_merged_cells_that_are_not_known_are_said(tmp_path: Path) -> None:
    document = odfdo.Document("spreadsheet")
    document.body.clear()
    table = odfdo.Table("S")
    for values in (["label", "text"], ["a", "t"], [None, "u"]):
        table.append_row(odfdo.Row())
        for column, value in enumerate(values):
            if value:
                table.set_value((column, table.height - 1), value)
    table.set_span((0, 1, 0, 2))
    document.body.append(table)
    document.save(tmp_path / "a.ods")
    assert "merged over several rows" in str(read_file(tmp_path / "a.ods").notes)


@pytest.mark.parametrize("name", ["Sheet", "評論 & more"])
def test_formulas_without_a_value_are_counted_by_column(tmp_path: Path, name: str) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = name
    sheet["B2"], sheet["C2"], sheet["D2"] = "text", "label", "more"
    for n in range(3, 6):
        sheet[f"B{n}"], sheet[f"C{n}"], sheet[f"D{n}"] = f"film {n}", f"=LEN(B{n})", n
    book.save(tmp_path / "a.xlsx")
    (said,) = read_file(tmp_path / "a.xlsx").notes
    assert said.startswith("column label: 3 formulas have no value")
