"""Models that the ways of data end at, and the API that everything is uploaded to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.serving import Api, free_port, serving
from tests.chat_families import save_chat_model
from tests.cli.conftest import here as here
from tests.tasks.chats.tool_templates import CALLING, TOOL_FAMILIES, tool_tokenizer

from tunesmith.settings import Settings


@pytest.fixture(scope="session")
def models(
    tiny_distilbert: Path, tiny_chat: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of base models: one for each task, by its name, and `calling_chat`."""
    folder = tmp_path_factory.mktemp("base")
    for task in ("text-classification", "regression", "token-classification"):
        shutil.copytree(tiny_distilbert, folder / task)
    for task in ("sft", "dpo"):
        shutil.copytree(tiny_chat, folder / task)
    family, texts = TOOL_FAMILIES["qwen-2.5"], [str(CALLING)]
    save_chat_model(folder / "calling_chat", family, texts, architecture="llama")
    tool_tokenizer(family, texts).save_pretrained(folder / "calling_chat")
    return folder


@pytest.fixture(scope="session")
def api(
    models: Path, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """The API, open to this machine."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(migrated_sqlite, folder / "experiments.db")
    settings = Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{folder / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=folder / "cache",
        TUNESMITH_DATA_DIR=models,
        REDIS_PORT=free_port(),
    )
    with serving(settings) as running:
        running.timeout = 120
        yield running
