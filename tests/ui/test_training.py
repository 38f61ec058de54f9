"""From a file to a compared result in the browser, with a reload in the middle of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.conftest import write_reviews
from tests.ui.conftest import Seen, Stack, settled, stack


@pytest.fixture
def made(tmp_path: Path, tiny_distilbert: Path) -> Iterator[Stack]:
    """All services; the tiny model lies in the data folder."""
    with stack(tmp_path / "stack", "api", "worker", "ui", OMP_NUM_THREADS="1",
               TUNESMITH_DATA_DIR=str(tiny_distilbert.parents[1])) as started:  # fmt: skip
        yield started


def bad_reviews(folder: Path) -> Path:
    """A table with a row that is there twice and one without a text."""
    path = write_reviews(folder / "film-reviews.csv", 200)
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    with path.open("a", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([rows[1], ["", "good"]])
    return path


def choose_model(page: Page, model: Path) -> None:
    """Type the base model's name."""
    box = page.get_by_role("combobox", name="Model")
    box.click()
    box.press_sequentially(str(model))
    page.get_by_text(f"Add: {model}").or_(page.get_by_role("option")).first.click()
    expect(page.get_by_text(re.compile("^.*The fields are right")).first).to_be_visible()


def test_a_file_is_uploaded_mended_trained_on_and_compared(
    made: Stack, see: Seen, tmp_path: Path, tiny_distilbert: Path
) -> None:
    page = see(f"{made.url}/new")
    page.get_by_role("radio", name="Upload").or_(
        page.get_by_text("Upload", exact=True)
    ).first.click()
    page.locator('input[type="file"]').set_input_files(bad_reviews(tmp_path))
    expect(page.get_by_text("202 rows")).to_be_visible()
    page.get_by_role("button", name="Keep these data").click()
    expect(page.get_by_text("film-reviews@1").first).to_be_visible()
    page.get_by_role("button", name="Look for bad rows").click()
    expect(page.get_by_text("201 of 202 rows can be used")).to_be_visible()
    page.get_by_role("button", name="Drop 1: duplicates").click()
    expect(page.get_by_text("200 of 202 rows can be used")).to_be_visible()
    search = page.get_by_label("Search the Hugging Face hub")
    search.fill("distilbert")
    search.press("Enter")
    expect(page.get_by_text("The hub is not asked here")).to_be_visible()
    choose_model(page, tiny_distilbert)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text("takes at most 64 tokens")).to_be_visible()
    page.get_by_role("spinbutton", name="max_length").fill("32")
    page.keyboard.press("Enter")
    first = train(page)
    expect(page.get_by_text("95 % interval")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Clone").click()
    page.get_by_role("textbox", name="num_train_epochs").fill("2")
    page.keyboard.press("Enter")
    second = train(page)
    assert made.client.experiment(second).config["training"]["num_train_epochs"] == 2
    page.goto(f"{made.url}/compare?ids={first},{second}")
    expect(page.get_by_text("training.num_train_epochs")).to_have_count(0)  # drawn on a canvas
    page.get_by_role("tab", name="Differences").click()
    expect(page.get_by_text("Configuration", exact=True).last).to_be_visible()
    settled(page)


def train(page: Page) -> str:
    """Press the button, and wait for the result; returns the experiment's id."""
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url("**/experiment?id=*")
    page.reload()  # in the middle of it
    expect(page.get_by_text("succeeded").first).to_be_visible()
    return page.url.rpartition("id=")[2]
