"""A running API for each test: on this machine's address, open, with no broker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import Api, free_port, serving

from tunesmith.api.access.tokens import create_token
from tunesmith.api.computing.processes import Computing
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> None:
    """The process from which work is forked loads its modules once, before anybody waits."""
    computing = Computing(120.0)
    computing.start()
    assert computing.run(os.getpid) != os.getpid()


@pytest.fixture
def settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    """Settings whose folders are this test's own, and whose broker is nowhere."""
    shutil.copy(migrated_sqlite, tmp_path / "experiments.db")
    (tmp_path / "data").mkdir()
    return Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=tmp_path / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{tmp_path / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=tmp_path / "cache",
        TUNESMITH_DATA_DIR=tmp_path / "data",
        TUNESMITH_MAX_UPLOAD_BYTES=200_000,
        REDIS_PORT=free_port(),
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API, open to this machine."""
    with serving(settings) as running:
        yield running


@pytest.fixture
def guarded(settings: Settings) -> Iterator[Api]:
    """The API where everybody needs a token; this client has an admin's."""
    with Store(settings.store_url) as store:
        token = create_token("root", Role.ADMIN, store, "tests")[1]
    with serving(settings.model_copy(update={"require_tokens": True})) as running:
        yield running.as_(token)


@pytest.fixture
def config() -> dict[str, Any]:
    """A small configuration that names nothing outside of what may be named."""
    return {
        "experiment_name": "reviews",
        "task": {"name": "text-classification"},
        "model": {"name": "some/model"},
        "data": {"dataset_name": "some/reviews"},
    }
