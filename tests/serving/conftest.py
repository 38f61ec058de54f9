"""Experiments that were trained once, for all tests of what is done with their adapters."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.experiments import TrainedExperiment
from tunesmith.settings import Settings


@pytest.fixture(scope="session")
def trained_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the machine that trained them."""
    folder = tmp_path_factory.mktemp("trained")
    return Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{folder / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=folder / "cache",
    )


@pytest.fixture(scope="session")
def reviews_config(tiny_distilbert: Path, reviews: Path) -> dict[str, Any]:
    """A small, whole classification experiment."""
    return {
        "experiment_name": "reviews",
        "task": {"name": "text-classification"},
        "model": {"name": str(tiny_distilbert)},
        "lora": {"r": 8},
        "data": {"dataset_name": str(reviews), "eval_samples": 40, "max_length": 32},
        "training": {
            "learning_rate": 3e-3,
            "warmup_steps": 0.1,
            "num_train_epochs": 5,
            "logging_steps": 50,
            "device": "cpu",
        },
    }


@pytest.fixture(scope="session")
def chat_config(tiny_chat: Path, reviews: Path) -> dict[str, Any]:
    """A small, whole chat experiment."""
    return {
        "experiment_name": "chat",
        "task": {
            "name": "sft",
            "prompt_template": "{review} fresh or rotten ?",
            "completion_column": "verdict",
        },
        "model": {"name": str(tiny_chat)},
        "lora": {"r": 4},
        "data": {"dataset_name": str(reviews), "eval_samples": 24, "max_length": 48},
        "training": {
            "learning_rate": 1e-2,
            "num_train_epochs": 3,
            "logging_steps": 50,
            "device": "cpu",
        },
    }


def train(config: dict[str, Any], settings: Settings, **fields: Any) -> TrainedExperiment:
    """The experiment of a copy of `config`, with further fields by dotted names."""
    return tunesmith.train(copy.deepcopy(config), settings=settings, **fields)


@pytest.fixture(scope="session")
def classifier(reviews_config: dict[str, Any], trained_settings: Settings) -> TrainedExperiment:
    """A classifier of good and bad reviews."""
    return train(reviews_config, trained_settings)


@pytest.fixture(scope="session")
def other_classifier(
    reviews_config: dict[str, Any], trained_settings: Settings
) -> TrainedExperiment:
    """Another one on the same base model."""
    return train(reviews_config, trained_settings, seed=7)


@pytest.fixture(scope="session")
def chatter(chat_config: dict[str, Any], trained_settings: Settings) -> TrainedExperiment:
    """A chat model that says good or bad of reviews."""
    return train(chat_config, trained_settings)
