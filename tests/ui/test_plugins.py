"""The page shows what other packages add: it asks the API, and lists nothing itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.plugins.conftest import Command
from tests.plugins.conftest import toy as toy
from tests.plugins.test_plugins import folder as folder
from tests.plugins.test_plugins import run as run
from tests.plugins.test_plugins import trained as trained
from tests.ui.conftest import Seen, settled, stack


@pytest.mark.slow
def test_the_page_has_the_toys_task_rule_metric_and_exporter(
    toy: Path, folder: Path, run: Command, trained: str, see: Seen, tmp_path: Path
) -> None:
    with stack(
        tmp_path / "stack", "api", "ui", PYTHONPATH=str(toy), OMP_NUM_THREADS="1",
        TUNESMITH_RESULTS_DIR=str(folder / "results"),
    ) as made:  # fmt: skip
        page = see(f"{made.url}/new")
        page.get_by_role("radio", name="Upload").or_(
            page.get_by_text("Upload", exact=True)
        ).first.click()
        page.get_by_text("What the rows look like").click()
        expect(page.get_by_text("toy shares: Learn a share from 0 to 1")).to_be_visible()
        page.locator('input[type="file"]').set_input_files(folder / "shares.csv")
        expect(page.get_by_text("201 rows")).to_be_visible()
        expect(page.get_by_role("combobox", name=re.compile("share_column"))).to_be_visible()
        expect(page.get_by_text("Learn a share from 0 to 1 for a text.").last).to_be_visible()
        page.get_by_role("button", name="Keep these data").click()
        expect(page.get_by_text("shares@1").first).to_be_visible()
        page.get_by_role("button", name="Look for bad rows").click()
        expect(page.get_by_text("200 of 201 rows can be used")).to_be_visible()
        page.get_by_text("Advanced").click()
        settled(page)
        page.locator("details summary", has_text="Data").last.click()
        expect(page.get_by_text("toy_most_capitals").locator("visible=true").first).to_be_visible()
        settled(page)
        page = see(f"{made.url}/experiment?id={trained}")
        expect(page.get_by_text("toy shares").first).to_be_visible()
        expect(page.get_by_text("Toy closeness").first).to_be_visible()
        page.get_by_role("tab", name="Files").click()
        page.get_by_text("Export it in another form").click()
        expect(page.get_by_text("One file with an array of NumPy for each weight.")).to_be_visible()
        settled(page)
