"""Calibrating an adapter by the rows that validate, and what that is worth on those that judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from tunesmith.messages import say
from tunesmith.statistics.calibration import Temperature, brier, fit_temperature, reliability
from tunesmith.statistics.intervals import Floats, Groups, group_numbers
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.calibrated import CalibratedTask
from tunesmith.tasks.results import Prediction

NO_VALIDATION = say(
    "there are no rows of a validation side to calibrate by, and those that judge may not"
)


def calibrate(
    task: Task, validation: Sequence[Prediction]
) -> tuple[Temperature | None, list[Prediction]]:
    """Fit the temperature of `task`, and give the predictions confidences by it.

    None where its answers have no probabilities to calibrate.
    """
    if not isinstance(task, CalibratedTask):
        return None, list(validation)
    task.temperature = 1.0
    if not validation:
        return Temperature(1.0, 0, NO_VALIDATION), []
    scores = _scores(validation)
    found = fit_temperature(scores.numpy(), _truth(task, validation), several=task.several)
    task.temperature = found.value
    sure = map(task.confidence, task.chances(scores))
    return found, [replace(p, confidence=c) for p, c in zip(validation, sure, strict=True)]


def calibration_of(
    task: Task, found: Temperature | None, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """`calibration` of `metrics.json`: how reliable the rows that judge find it, with and without.

    Empty where a task's answers have no probabilities.
    """
    if found is None or not isinstance(task, CalibratedTask):
        return {}
    scores, truth = _scores(predictions), _truth(task, predictions)
    groups = None
    if any(p.group for p in predictions):
        groups = group_numbers(p.group for p in predictions)
    before = _measured(np.array(task.chances(scores, 1.0)), truth, groups, several=task.several)
    after = before
    if found.value != 1.0:
        after = _measured(np.array(task.chances(scores)), truth, groups, several=task.several)
    return {
        "calibration": {
            "method": "temperature scaling",
            "temperature": found.value,
            "rows": found.rows,
            "reason": found.reason,
            "test_rows": len(predictions),
            "before": before,
            "after": after,
        }
    }


def _measured(
    chances: Floats, truth: Floats, groups: Groups | None, *, several: bool
) -> dict[str, Any]:
    """Errors of the likeliest label of each row; of several labels, of each one in each row."""
    if several:
        rows = np.arange(len(chances)) if groups is None else groups
        groups = np.repeat(rows, chances.shape[1])
        confidence = np.maximum(chances, 1 - chances).ravel()
        right = ((chances > 0.5) == (truth > 0.5)).ravel()
    else:
        confidence, best = chances.max(axis=1), chances.argmax(axis=1)
        right = truth[np.arange(len(truth)), best] > 0
    found = reliability(confidence, right.astype(np.float64), groups)
    return {
        "ece": found.ece,
        "interval": {"low": found.low, "high": found.high},
        "brier": brier(chances, truth),
        "points": [asdict(point) for point in found.points],
    }


def _scores(predictions: Sequence[Prediction]) -> torch.Tensor:
    """Logits, (rows, labels), in float64."""
    return torch.tensor([p.scores for p in predictions], dtype=torch.float64)


def _truth(task: CalibratedTask, predictions: Sequence[Prediction]) -> Floats:
    """1 for each label that is right, (rows, labels)."""
    expected = [p.expected if task.several else [p.expected] for p in predictions]
    return np.array([[float(label in each) for label in task.labels] for each in expected])
