"""One experiment from the first check to the verified adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.settings import Settings


def test_training_records_an_experiment_whose_adapter_answers_as_it_did(
    classification: dict[str, Any], settings: Settings
) -> None:
    experiment = tunesmith.train(classification, settings=settings)
    assert experiment.status == "succeeded"
    assert experiment.metrics["reload_verified"] is True
    assert experiment.metrics["eval_accuracy"] > 0.9
    assert json.loads((experiment.path / "metrics.json").read_text())["train_loss"] > 0


def test_a_chat_model_learns_to_answer(chat: dict[str, Any], settings: Settings) -> None:
    experiment = tunesmith.train(chat, settings=settings, epochs=3)
    assert experiment.metrics["eval_exact_match"] > 0.8
    assert experiment.metrics["score"]["untrained"]["exact_match"] == 0
