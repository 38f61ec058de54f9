"""The first visitor: one click trains the starter, seen live, stopped, gone on with, to its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.ui.conftest import Seen, settled, stack

WHOLE_TRAINING = 600
"""Seconds that the starter may take, in float32 on one thread of an old processor."""


@pytest.mark.slow
@pytest.mark.timeout(2 * WHOLE_TRAINING)
def test_one_click_trains_the_starter_which_is_cancelled_and_goes_on_to_its_result(
    tmp_path: Path, see: Seen
) -> None:
    with stack(tmp_path / "stack", "api", "worker", "ui", OMP_NUM_THREADS="1") as made:
        page = see(made.url)
        page.get_by_role("button", name="Train the starter").click()
        page.wait_for_url("**/experiment?id=*")
        experiment_id = page.url.rpartition("id=")[2]
        expect(page.locator(".ts-steps li.now")).to_contain_text("training")
        expect(page.get_by_text("gradient norm")).to_be_visible()  # the curves, without a reload
        expect(page.get_by_text("Speed and resources")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        assert made.client.task(experiment_id).status == "REVOKED"
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        page.reload()
        home = see(made.url)
        expect(home.get_by_role("link", name="default_experiment")).to_be_visible()
        expect(page.get_by_text("95 % interval")).to_be_visible(timeout=WHOLE_TRAINING * 1000)
        settled(page)
        ended = made.client.experiment(experiment_id)
        assert (ended.status, ended.restarts) == ("succeeded", 0)
        assert f"{ended.score:.3f}" in page.inner_text("body")
        with page.expect_download() as download:
            page.get_by_role("tab", name="Files").click()
            page.get_by_role("link", name="config.yaml").click()
        assert "rotten_tomatoes" in Path(download.value.path()).read_text(encoding="utf-8")
