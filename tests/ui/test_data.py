"""Data on the page: a workbook is read as asked and kept, its rows are shown as tokens."""

from __future__ import annotations

import re
from pathlib import Path

import openpyxl
from playwright.sync_api import expect
from tests.ui.conftest import Seen, settled, stack


def workbook(path: Path) -> Path:
    """Reviews in the second sheet, after one that is about them."""
    book = openpyxl.Workbook()
    book.active.append(["about", "written"])
    book.active.append(["these reviews", "by hand"])
    sheet = book.create_sheet("reviews")
    sheet.append(["number", "text", "label"])
    for number in range(40):
        sheet.append([number, f"the film {number} is good", "good" if number % 2 else "bad"])
    book.save(path)
    return path


def test_a_sheet_is_chosen_and_a_row_is_shown_as_tokens(tmp_path: Path, see: Seen) -> None:
    with stack(tmp_path / "stack", "api", "ui") as made:
        page = see(f"{made.url}/new")
        page.get_by_text("Upload", exact=True).first.click()
        page.locator('input[type="file"]').set_input_files(workbook(tmp_path / "films.xlsx"))
        expect(page.get_by_text(re.compile("read as .*sheet"))).to_be_visible()
        page.get_by_text("Read it otherwise").click()
        field = page.get_by_label("sheet", exact=True)
        field.fill("reviews")
        field.press("Enter")
        expect(page.get_by_text("40 rows")).to_be_visible()
        expect(page.get_by_text("not used: number")).to_be_visible()
        page.get_by_role("button", name="Keep these data").click()
        expect(page.get_by_text("films@1").first).to_be_visible()
        data = see(f"{made.url}/data?name=films")
        data.get_by_role("tab", name="Tokens").click()
        row = data.get_by_label("Row", exact=True)
        row.fill("3")
        row.press("Enter")
        settled(data)
        data.get_by_role("button", name="Show tokens").click()
        expect(data.get_by_text("[CLS]")).to_be_visible()
        expect(data.get_by_text("learned: bad")).to_be_visible()
        settled(data)
