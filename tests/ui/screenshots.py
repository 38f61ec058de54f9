"""Pictures of every page, light and dark, in both languages, wide and narrow: `make screenshots`.

Trains the starter and a variation of it, so that there is something to see, and records experiments
with long and odd names. Every tab of a page has a picture of its own. The pictures go to
`docs/screenshots/`; those named in README are kept in git.
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from tests.ui.conftest import BROWSERS, PATIENCE, Stack, stack

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, new_experiment_id, utc_now

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SHOWN = ("experiment-en-light-1280", "compare-en-dark-1280", "new-en-light-1280")
"""Pictures that README shows."""

WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


def main() -> int:
    """Make them all; returns the exit code."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        print("no Chromium: apt-get install chromium", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(Path(folder) / "stack", "api", "worker", "ui") as made,
        sync_playwright() as playwright,
    ):
        pages = dict(_pages(made))
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        for dark in (False, True):
            for locale in ("en-US", "zh-TW"):
                for size in (WIDE, NARROW):
                    _shoot(browser, made, pages, dark=dark, locale=locale, size=size)
        browser.close()
    for name in SHOWN:
        shown = FOLDER / f"README-{name.partition('-')[0]}.png"
        shutil.copy(FOLDER / f"{name}.png", shown)
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")
    return 0


def _pages(made: Stack) -> Iterator[tuple[str, str]]:
    """Name → address of each page, once there is something to see on it."""
    client = made.client
    starter = client.presets().items[0].config
    ids = []
    for name, changes in (("film-reviews", {}), ("film-reviews-low-rank", {"r": 2})):
        config = copy.deepcopy(starter)
        config["experiment_name"] = name
        config["lora"] |= changes
        ids.append(client.train(config).experiment_id)
    for each in ids:
        client.wait(each)
    odd = _odd(made)
    yield "home", ""
    yield "experiment", f"experiment?id={ids[0]}"
    yield "experiments", "experiments"
    yield "compare", f"compare?ids={','.join(ids)}"
    yield "new", f"new?clone={ids[0]}"
    yield "try", f"try?id={ids[0]}"
    yield "data", f"data?name={client.datasets().items[0].name}"
    yield "sweeps", "sweeps"
    client.register_adapter(
        "film-reviews", ids[0], description="Whether a review likes the film.", language="en",
        tags=["films"], demands={"minimum_score": 0.7, "verified": True},
    )  # fmt: skip
    client.set_stage("film-reviews", 1, "production", comment="The first one.")
    client.register_version("film-reviews", ids[1])
    yield "adapters", "adapters"
    yield "adapter", "adapters?name=film-reviews"
    yield "system", "system"
    yield "odd", f"experiment?id={odd.id}"
    yield "gone", "experiment?id=000000000000"


def _odd(made: Stack) -> Experiment:
    """An experiment with the longest of everything, which the lists show too."""
    now = utc_now()
    odd = Experiment(
        name="the-longest-name-that-there-may-be-with-every-parameter-in-it-".ljust(100, "x"),
        status=ExperimentStatus.FAILED,
        task="text-classification",
        model_name="/srv/models/an-organisation/a-very-long-model-name-instruct-v0.3-merged",
        dataset_name="/srv/data/customer-support-tickets-2026-cleaned-deduplicated.parquet",
        created_at=now,
        finished_at=now,
        reason="The process that trained it (pid 4711) ended by itself with exit code 1 and "
        f"recorded nothing; its last words: RuntimeError: {'0123456789abcdef' * 20}",
        note="A *note* that is long: " + "words and words and words " * 20,
        tags=("a-long-tag-that-goes-on-and-on-and-on", "繁體中文標籤"),
    )
    with made.store() as store:
        store.create(odd)
        store.create(
            replace(odd, id=new_experiment_id(), name="電影評論的情緒分類", tags=(), reason=None)
        )
    return odd


def _shoot(
    browser: Browser,
    made: Stack,
    pages: dict[str, str],
    *,
    dark: bool,
    locale: str,
    size: dict[str, int],
) -> None:
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        locale=locale,
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    for name, address in pages.items():
        page.goto(f"{made.url}/{address}")
        kind = f"{locale[:2]}-{'dark' if dark else 'light'}-{size['width']}"
        _keep(page, f"{name}-{kind}")
        tabs = page.get_by_role("tab")
        for number in range(1, tabs.count()):
            tabs.nth(number).click()
            tabs.nth(number).evaluate("tab => tab.scrollIntoView()")
            _keep(page, f"{name}-tab{number}-{kind}")
    context.close()


def _keep(page: Page, name: str) -> None:
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(1500)  # charts draw themselves
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
