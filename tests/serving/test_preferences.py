"""An adapter that learned from preference pairs: trained, resumed, exported and asked."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.serving.conftest import train

from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.parts.work import begin
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings


@pytest.fixture(scope="module")
def preferences(
    tiny_chat: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A small, whole experiment with pairs of the right and the wrong verdict, as conversations."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    with reviews.open(encoding="utf-8") as stream, file.open("w", encoding="utf-8") as pairs:
        for row in csv.DictReader(stream):
            other = "bad" if row["verdict"] == "good" else "good"
            prompt = [{"role": "user", "content": f"{row['review']} fresh or rotten ?"}]
            chosen, rejected = (
                [{"role": "assistant", "content": said}] for said in (row["verdict"], other)
            )
            line = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
            pairs.write(json.dumps(line) + "\n")
    return {
        "experiment_name": "preferences",
        "task": {"name": "dpo"},
        "model": {"name": str(tiny_chat)},
        "lora": {"r": 4},
        "data": {"dataset_name": str(file), "eval_samples": 24, "max_length": 48},
        "training": {
            "learning_rate": 1e-2,
            "num_train_epochs": 3,
            "logging_steps": 1,
            "device": "cpu",
            "precision": "float32",
        },
    }


@pytest.fixture(scope="module")
def preferring(preferences: dict[str, Any], trained_settings: Settings) -> TrainedExperiment:
    return train(preferences, trained_settings)


def test_it_learns_to_prefer_and_is_held_against_an_adapter_that_prefers_neither(
    preferring: TrainedExperiment,
) -> None:
    metrics = preferring.metrics
    assert metrics["score"]["metric"] == "accuracy"
    assert metrics["score"]["interval"]["low"] > metrics["score"]["baseline"]["value"] == 0.5
    assert metrics["score"]["untrained"]["accuracy"] == 0  # all ties: to the last bit the same
    assert metrics["score"]["untrained"]["loss"] == pytest.approx(math.log(2))
    assert metrics["score"]["untrained"]["reward_margin"] == 0
    assert metrics["eval_reward_margin"] > 0
    assert metrics["reload_verified"] is True
    assert metrics["reload_max_difference"] == 0


def test_its_merged_model_prefers_the_same_and_the_adapter_answers(
    preferring: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    work = begin(preferring.record, trained_settings, weights="float32")
    done = Merged(trained_settings).export(work, tmp_path / "merged", force=False)
    assert (done.agreement.rows, done.agreement.same) == (24, 24)
    rows = preferring.predictions
    adapter = locate_adapter(preferring.record, trained_settings)
    answered = Predictor(trained_settings, device="cpu").answer(adapter, [r["text"] for r in rows])
    right = [
        found.answer.split()[:1] == [row["expected"]]
        for found, row in zip(answered.answers, rows, strict=True)
    ]
    assert sum(right) > len(right) / 3
