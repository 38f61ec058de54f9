"""A real broker, real processes, and settings that they all read from the environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.yaml import read_draft
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.jobs.broker import EmbeddedBroker
from tunesmith.jobs.services.ports import free_port
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

PATIENCE = 120.0
"""Seconds after which what should happen is taken to never happen."""

Queue = Callable[..., Experiment]
Start = Callable[..., subprocess.Popen[str]]


def eventually(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What `condition` gives, once that is true."""
    until = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return value


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of this test's own, which its processes find in their environment too."""
    for name in [name for name in os.environ if name.startswith(("TUNESMITH_", "HF_"))]:
        monkeypatch.delenv(name)
    values = {
        "TUNESMITH_RESULTS_DIR": tmp_path / "results",
        "TUNESMITH_CACHE_DIR": tmp_path / "cache",
        "TUNESMITH_LEASE_SECONDS": 20,
        "TUNESMITH_CANCEL_GRACE_SECONDS": 60,
        "REDIS_PORT": free_port(),
        "API_PORT": free_port(),
        "UI_PORT": free_port(),
        "OMP_NUM_THREADS": 1,
        "HF_HUB_OFFLINE": 1,
        "HF_HOME": tmp_path / "hf",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return Settings.read()


@pytest.fixture
def broker(settings: Settings) -> Iterator[EmbeddedBroker]:
    """A broker on this test's port."""
    with EmbeddedBroker(settings.redis_port) as started:
        yield started


@pytest.fixture
def queue(classification: dict[str, Any], store: Store, settings: Settings) -> Queue:
    """Queues a small experiment; keywords are sections that replace fields, as `job={…}`."""

    def put(**sections: dict[str, Any]) -> Experiment:
        asked = dict(classification)
        for name, fields in sections.items():
            asked[name] = {**asked.get(name, {}), **fields}
        return enqueue(read_draft(asked), store, settings)

    return put


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `tunesmith` with arguments as a process that ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **more: Any) -> subprocess.Popen[str]:
        output = (tmp_path / f"{arguments[0]}-{len(started)}.txt").open("w")
        with output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.cli", *arguments],
                stdout=output, stderr=subprocess.STDOUT, text=True, **more,
            )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
