"""Experiments of 0.1 are made again with the sides that they had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tunesmith
from tunesmith.experiments.lifecycle.resuming import sides_before
from tunesmith.experiments.questions.repetition import prepare_again
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment

NEW = ("validation_split", "validation_samples", "test_draw")
"""Fields of `data` that 0.1 had not."""


def of_0_1(experiment: Experiment) -> Experiment:
    """The record as 0.1 would have written it."""
    data = {name: value for name, value in experiment.config["data"].items() if name not in NEW}
    return replace(experiment, config={**experiment.config, "data": data})


def test_an_earlier_experiment_is_made_again_without_a_validation_side(
    classification: dict[str, Any], settings: Settings
) -> None:
    asked: dict[str, Any] = {"training.max_steps": 1, "data.validation_samples": 0}
    trained = tunesmith.train(classification, settings=settings, **asked).record
    again = prepare_again(of_0_1(trained), settings).dataset
    assert again.validation == []
    assert again.identity["splits"] == trained.data["splits"]
    assert sides_before(trained) == {}


def test_the_split_that_judged_judges_again(
    classification: dict[str, Any], settings: Settings
) -> None:
    asked: dict[str, Any] = {"training.max_steps": 1}
    trained = tunesmith.train(classification, settings=settings, **asked).record
    sides = {"train": {"from": "train"}, "evaluation": {"from": "validation"}}
    before = replace(of_0_1(trained), data={**trained.data, "splits": sides})
    assert sides_before(before) == {
        "data.validation_samples": 0,
        "data.eval_split": "validation",
    }
