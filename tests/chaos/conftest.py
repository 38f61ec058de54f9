"""Clusters for the chaos tests, and how many faults each test makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.cluster import Cluster
from tests.tracking.conftest import (  # noqa: F401 - fixtures
    migrated_postgres,
    migrated_sqlite,
    postgres,
    postgres_url,
    url,
)

from tunesmith.experiments.execution import execute
from tunesmith.tracking.entities import Experiment


@pytest.fixture(scope="session")
def rounds() -> int:
    """Faults that each test makes: TUNESMITH_CHAOS_ROUNDS, 1 in the test suite."""
    return int(os.environ.get("TUNESMITH_CHAOS_ROUNDS", "1"))


@pytest.fixture
def cluster(tmp_path: Path, url: str, classification: dict[str, Any]) -> Iterator[Cluster]:  # noqa: F811
    """A broker and one worker, on SQLite and on PostgreSQL in turn."""
    asked = {
        **classification,
        "training": {
            **classification["training"],
            "num_train_epochs": 30,
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
        taken = cluster.store.jobs.take(["cpu"], lease="a", worker="test", phase="", host="here")
        assert taken is not None
        trained.append(execute(experiment.id, cluster.store, cluster.settings, lease="a"))
    return trained[0]
