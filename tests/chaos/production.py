"""API and workers as in production: processes that share servers, and no folder.

What each knows stands in its environment, as in the Compose file and the manifests; nothing else of
this process's environment reaches them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from tests.chaos.cluster import LEASE_SECONDS, Cluster, wait_for
from tests.servers.s3_server import S3Server

import tunesmith
from tunesmith.errors import TunesmithError
from tunesmith.store.entities.experiments import Experiment

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNNTESTING", "AWS_SECRET_ACCESS_KEY": "secret"}
HOSTS = ("host-a", "host-b")
PARTS = ("broker", "object store", "api", "database", *HOSTS)
"""What can be lost."""


class Production(Cluster):
    """A database, a broker, an object store; an API and two workers that know their addresses."""

    def __init__(
        self, folder: Path, postgres: Any, url: str, s3: S3Server, asked: Mapping[str, Any]
    ) -> None:
        super().__init__(folder, url, asked)
        self._postgres = postgres
        self._s3 = s3
        broker = f"redis://127.0.0.1:{self.settings.redis_port}/0"
        self._shared = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "TUNESMITH_DATABASE_URL": url,
            "REDIS_URL": broker,
            "TUNESMITH_DATASETS": "s3://bucket/datasets",
            "TUNESMITH_ARTIFACTS": "s3://bucket/artifacts",
            "AWS_ENDPOINT_URL": s3.address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            **KEYS,
            "TUNESMITH_LEASE_SECONDS": str(LEASE_SECONDS),
            "TUNESMITH_REQUIRE_TOKENS": "true",
            "TUNESMITH_DATA_DIR": str(folder.parent),  # base models, as they come with an image
            "API_PORT": str(self.settings.api_port),
            "OMP_NUM_THREADS": "1",
        }
        self.client: tunesmith.Client

    def start(self, name: str, *arguments: str, environment: Mapping[str, str] = {}) -> None:
        """Start `tunesmith ARGUMENTS` as the part called `name`, in a folder of its own."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        with (self.folder / f"{name}.txt").open("ab") as output:
            self.parts[name] = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.cli", *arguments],
                cwd=home,
                env={**self._shared, "HOME": str(home), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def command(self, *arguments: str) -> str:
        """What `tunesmith ARGUMENTS` prints, as a job beside the services."""
        return subprocess.run(
            [sys.executable, "-m", "tunesmith.cli", *arguments],
            cwd=self.folder,
            env={**self._shared, "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def deploy(self) -> None:
        """Make schema and token, start everything, and upload the data."""
        self.command("db", "upgrade")
        token = self.command("tokens", "create", "operator", "--role", "admin").strip()
        address = f"http://127.0.0.1:{self.settings.api_port}"
        self.client = tunesmith.Client(address, token)
        self.start_broker()
        self.start("api", "api")
        for name in HOSTS:
            self.start_worker(name)
        self._wait_for_api()
        reviews = Path(self.asked["data"]["dataset_name"])
        version = self.client.upload(reviews, "reviews").version
        data = {**self.asked["data"], "dataset_name": version.reference}
        self.asked = {**self.asked, "data": data}

    def lose(self, part: str) -> None:
        """End a part without a word."""
        if part == "object store":
            self._s3.lose()
        elif part == "database":
            postmaster: psutil.Process = self._postgres.get_postmaster_info().process
            postmaster.send_signal(signal.SIGQUIT)  # all its processes end, nothing is written down
            postmaster.wait()
        else:
            self.kill(part)

    def bring_back(self, part: str) -> None:
        """Start it again, empty-handed but for what it has on its own disk."""
        if part == "object store":
            self._s3.bring_back()
        elif part == "database":
            self._postgres.ensure_postgres_running()
        elif part == "broker":
            self.start_broker()
        elif part == "api":
            self.start("api", "api")
        else:
            self.start_worker(part)
        self._wait_for_api()

    def train(self, count: int) -> None:
        """Submit so many experiments to the API."""
        for _ in range(count):
            self.submitted.append(self.client.train(self.asked).experiment_id)

    def keep_busy(self) -> None:
        """Let there be two that have not ended: one that trains and one that waits."""
        if (missing := 2 - len(self.waiting())) > 0:
            self.train(missing)

    def wait_for_training(self) -> Experiment:
        """One that is past its first step; others are submitted where all end before."""

        found: list[Experiment] = []

        def came() -> bool:
            self.keep_busy()
            if (experiment := self.training()) is not None:
                found.append(experiment)
            return bool(found)

        wait_for(came, "a training", self.said)
        return found[0]

    def adapters(self, ids: Iterable[str]) -> list[bytes]:
        """The adapter of each experiment as the API gives it."""
        target = self.folder / "adapter"
        path = "artifacts/final_model/adapter_model.safetensors"
        return [self.client.download(each, path, target).read_bytes() for each in ids]

    def close(self) -> None:
        """End every part, and every training."""
        self.client.close()
        super().close()

    def _wait_for_api(self) -> None:
        wait_for(self._is_ready, "an API that is ready", self.said)

    def _is_ready(self) -> bool:
        try:
            self.client.ready()
        except TunesmithError:
            return False
        return True
