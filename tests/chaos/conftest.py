"""Clusters for the chaos tests, and how many faults each test makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.cluster import ROUNDS, Cluster
from tests.store.conftest import (  # noqa: F401 - fixtures
    migrated_postgres,
    postgres,
    postgres_server,
    postgres_url,
)

from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.store.entities.experiments import Experiment


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: the rounds take hours."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid}\n{report.longreprtext}", flush=True)


@pytest.fixture(scope="session")
def rounds() -> int:
    """Faults that each test makes: half of them on each database, where there are several."""
    return -(-ROUNDS // 2) if ROUNDS > 1 else 1


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, classification: dict[str, Any]
) -> Iterator[Cluster]:
    """A broker, and a store of the kind that the test names (see `on`)."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'experiments.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    asked = {
        **classification,
        "training": {
            **classification["training"],
            "num_train_epochs": 16,
            "eval_strategy": "no",
            "save_strategy": "steps",
            "save_steps": 50,
            "logging_steps": 50,
        },
        "job": {"max_restarts": 100},
    }
    cluster = Cluster(tmp_path, url, asked)
    cluster.start_broker()
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def trained() -> list[Experiment]:
    """The undisturbed experiment, once it was trained: its data and seed are always the same."""
    return []


@pytest.fixture
def undisturbed(cluster: Cluster, trained: list[Experiment]) -> Experiment:
    """The same experiment, trained without any fault."""
    if not trained:
        experiment = cluster.submit()
        cluster.submitted.clear()
        taken = cluster.store.queue.take(["cpu"], lease="a", worker="test", phase="", host="here")
        assert taken is not None
        trained.append(execute(experiment.id, cluster.store, cluster.settings, lease="a"))
    return trained[0]
