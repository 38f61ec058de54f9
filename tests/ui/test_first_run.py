"""The first visitor: one click trains the starter, seen live, stopped and gone on with.

Its result is seen in `make screenshots`, which trains it to the end.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect
from tests.ui.conftest import Seen, settled, stack


def test_one_click_trains_the_starter_which_is_cancelled_and_goes_on(
    tmp_path: Path, see: Seen
) -> None:
    with stack(tmp_path / "stack", "api", "worker", "ui") as made:
        page = see(made.url)
        page.get_by_role("button", name="Train the starter").click()
        page.wait_for_url("**/experiment?id=*")
        experiment_id = page.url.rpartition("id=")[2]
        expect(page.locator(".ts-steps li.now")).to_contain_text("training")
        expect(page.get_by_text("gradient norm")).to_be_visible()  # the curves, without a reload
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        assert made.client.task(experiment_id).status == "REVOKED"
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        page.reload()
        home = see(made.url)
        expect(home.get_by_role("link", name="default_experiment")).to_be_visible()
        expect(page.locator(".ts-steps li.now")).to_contain_text("training")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("tab", name="Files").click()
            page.get_by_role("link", name="config.yaml").click()
        assert "rotten_tomatoes" in Path(download.value.path()).read_text(encoding="utf-8")
        assert made.client.experiment(experiment_id).restarts == 0
        settled(page)
