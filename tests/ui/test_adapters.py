"""The registry on the page: registered from an experiment, promoted, found."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect
from tests.experiments.test_promotion import trained
from tests.ui.conftest import Seen, settled, stack


def test_an_adapter_is_registered_refused_promoted_and_found_on_the_page(
    tmp_path: Path, see: Seen
) -> None:
    with stack(tmp_path / "stack", "api", "ui") as made:
        with made.store() as store:
            one = trained(store, made.settings, 85)
        made.client.register_adapter("films", demands={"minimum_score": 0.8}, tags=["shop"])
        page = see(f"{made.url}/experiment?id={one.id}")
        page.get_by_role("button", name="Register").click()
        dialog = page.get_by_role("dialog")
        box = dialog.get_by_role("combobox", name="Name")
        box.click()
        page.get_by_role("option", name="films").click()
        dialog.get_by_role("button", name="Register").click()
        expect(page.get_by_role("heading", name="films")).to_be_visible()
        expect(page.get_by_text("films@1 · candidate")).to_be_visible()
        page.get_by_role("button", name="Promote or archive").click()
        dialog.get_by_role("button", name="Change the stage").click()
        expect(dialog.get_by_text("interval of 0.7672 to 0.9069 from 100 rows")).to_be_visible()
        dialog.get_by_role("textbox", name="Comment").fill("asked for")
        dialog.get_by_role("textbox", name="Comment").press("Tab")
        dialog.get_by_text("All the same").click()
        dialog.get_by_role("button", name="Change the stage").click()
        expect(page.get_by_text("candidate → production")).to_be_visible()
        expect(page.get_by_text("asked for").first).to_be_visible()
        settled(page)
        page.goto(f"{made.url}/adapters?text=shop")
        expect(page.get_by_test_id("stDataFrame")).to_be_visible()
        settled(page)
        page.locator("input[aria-label=Search]").fill("nothing")
        page.locator("input[aria-label=Search]").press("Enter")
        expect(page.get_by_text("No adapter matches.")).to_be_visible()
        settled(page)
