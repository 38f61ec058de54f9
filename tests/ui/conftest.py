"""A real browser, and the web page with everything behind it, each a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import tunesmith
from tunesmith.jobs.broker import EmbeddedBroker
from tunesmith.jobs.services.ports import free_port
from tunesmith.settings import Settings
from tunesmith.store.store import Store

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 180.0
"""Seconds after which what never comes is given up: other tests share the cores."""

Seen = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; CI installs it."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        message = "the tests of the web page need Chromium: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


class Stack:
    """The services behind the page, and their store."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = Settings(
            _env_file=None,
            TUNESMITH_RESULTS_DIR=folder / "results",
            TUNESMITH_CACHE_DIR=folder / "cache",
            TUNESMITH_DATA_DIR=folder.parent,
            REDIS_PORT=free_port(),
            API_PORT=free_port(),
            UI_PORT=free_port(),
        )
        settings = self.settings
        self.environment = {
            **os.environ,
            "TUNESMITH_RESULTS_DIR": str(settings.results_dir),
            "TUNESMITH_CACHE_DIR": str(settings.cache_dir),
            "TUNESMITH_DATA_DIR": str(settings.data_dir),
            "REDIS_PORT": str(settings.redis_port),
            "API_PORT": str(settings.api_port),
            "UI_PORT": str(settings.ui_port),
            "TZ": "Asia/Taipei",
            "HF_HUB_OFFLINE": "1",
            **environment,
        }
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{settings.ui_port}"
        self.client = tunesmith.Client(settings.api_address)

    def start(self, *names: str) -> None:
        """Start parts, such as `api`, and wait until those that listen answer."""
        for name in names:
            with (self.folder / f"{name}.txt").open("ab") as output:
                self.parts[name] = subprocess.Popen(
                    [sys.executable, "-m", "tunesmith.cli", name],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        answers = {"api": f"{self.settings.api_address}/health/live", "ui": f"{self.url}/alive"}
        for name in names:
            if name in answers:
                self._wait(name, answers[name])

    def stop(self, name: str) -> None:
        """End a part."""
        process = self.parts.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all parts."""
        for name in list(self.parts):
            self.stop(name)
        self.client.close()

    def store(self) -> Store:
        """The store behind the API, to be closed."""
        return Store(self.settings.store_url)

    def _wait(self, name: str, url: str) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(httpx2.TransportError):
                if httpx2.get(url, trust_env=False).status_code == 200:
                    return
            said = (self.folder / f"{name}.txt").read_text(errors="replace")
            assert self.parts[name].poll() is None, said
            time.sleep(0.2)
        raise AssertionError(f"{name} never answered")


@contextmanager
def stack(folder: Path, *parts: str, **environment: str) -> Iterator[Stack]:
    """A running stack with these parts."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Stack(folder, environment)
    try:
        if "worker" in parts:
            with EmbeddedBroker(made.settings.redis_port):
                made.start(*parts)
                yield made
        else:
            made.start(*parts)
            yield made
    finally:
        made.close()


@pytest.fixture
def see(browser: Browser) -> Iterator[Seen]:
    """Opens an address in a new window; nothing there may show a mistake of the page's."""
    contexts: list[BrowserContext] = []

    def open_(url: str, *, locale: str = "en-US", heading: bool = True, **options: Any) -> Page:
        context = browser.new_context(
            locale=locale, viewport={"width": 1280, "height": 900}, **options
        )
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.goto(url)
        if heading:
            page.wait_for_selector("h1")
        return page

    yield open_
    for context in contexts:
        context.close()


def settled(page: Page) -> None:
    """Wait until the page is drawn whole; it shows no mistake of its own."""
    page.wait_for_timeout(300)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    assert page.get_by_test_id("stException").count() == 0
    assert "made a mistake" not in page.inner_text("body")
