"""How soon the web page can be used, and how soon its table of 10,000 experiments answers.

Run with `make bench`, or alone with `python -m benchmarks.page`; a minute, and Chromium. API and
page are processes of their own, as `tunesmith api` and `tunesmith ui` start them. Each first look
is a new window with an empty cache: the first one is the first visitor of a server that was just
started, the others come later.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from benchmarks.api import STORED, fill, free_port
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tunesmith.settings import Settings
from tunesmith.store.store import Store

FIGURES = Path(__file__).parent / "figures"
FIRST_PAGE_LIMIT = 3.0
FILTER_LIMIT = 1.0
"""Seconds, on two cores."""

ROUNDS = 10


@contextmanager
def serving(environment: dict[str, str], answers: dict[str, str]) -> Iterator[None]:
    """The parts that are the keys of `answers`, once each answers at its address."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tunesmith.cli", part],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for part in answers
    ]
    try:
        for process, url in zip(processes, answers.values(), strict=True):
            while not _lives(url):
                if process.poll() is not None:
                    raise SystemExit(f"what should answer at {url} has ended")
                time.sleep(0.1)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _lives(url: str) -> bool:
    with suppress(httpx2.TransportError):
        return httpx2.get(url, timeout=10).status_code == 200
    return False


def timed(act: Callable[[], object]) -> float:
    """Seconds that `act` takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def first_look(browser: Browser, url: str) -> float:
    """Seconds from a new window to a home page whose last results stand there."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()

    def look() -> None:
        page.goto(url, wait_until="commit")
        expect(page.get_by_text("Last results")).to_be_visible()

    seconds = timed(look)
    context.close()
    return seconds


def filtering(page: Page, rounds: int) -> list[float]:
    """Seconds from the Enter key to the table that passes the filter, each time another one."""
    field = page.locator("input[aria-label=Search]")
    seconds = []
    for number in range(1, rounds + 1):
        # review-7xx: one of the names, and those that begin with it.
        wanted = f"review-{number}00"
        field.fill(wanted)
        seconds.append(
            timed(
                lambda: (
                    field.press("Enter"),
                    expect(page.get_by_text("1 to 11 of 11")).to_be_visible(),
                )
            )
        )
        field.fill("")
        field.press("Enter")
        expect(page.get_by_text(f"of {STORED:,}").first).to_be_visible()
    return seconds


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """The times in a few numbers."""
    return {
        "first_s": round(seconds[0], 2),
        "median_s": round(statistics.median(seconds), 2),
        "max_s": round(max(seconds), 2),
    }


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All figures."""
    ports = {"API_PORT": free_port(), "UI_PORT": free_port(), "REDIS_PORT": free_port()}
    environment = {
        "TUNESMITH_RESULTS_DIR": str(folder),
        **{name: str(port) for name, port in ports.items()},
    }
    with Store(Settings(_env_file=None, TUNESMITH_RESULTS_DIR=folder).store_url) as store:
        fill(store, STORED)
    api, page_url = (f"http://127.0.0.1:{ports[name]}" for name in ("API_PORT", "UI_PORT"))
    answers = {"api": f"{api}/health/live", "ui": f"{page_url}/alive"}
    expect.set_options(timeout=30_000)
    with serving(environment, answers), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        looks = [first_look(browser, page_url) for _ in range(rounds)]
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{page_url}/experiments")
        expect(page.get_by_text(f"of {STORED:,}").first).to_be_visible()
        filtered = filtering(page, min(9, rounds))
        browser.close()
    return {
        "experiments": STORED,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "first_page": figures(looks),
        "filter": figures(filtered),
    }


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise SystemExit("no Chromium: apt-get install chromium")


def main() -> None:
    """Measure, print, and write benchmarks/figures/page.json; exit status 1 beyond a limit."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=FIGURES / "page.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        found = measure(Path(folder), arguments.rounds)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name in ("first_page", "filter"):
        print(name, *(f"{key} {value}" for key, value in found[name].items()), sep="  ")
    first, filtered = found["first_page"], found["filter"]
    held = first["max_s"] < FIRST_PAGE_LIMIT and filtered["max_s"] < FILTER_LIMIT
    print("within the limits" if held else "beyond the limits")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
