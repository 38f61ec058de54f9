"""From which confidence on an adapter answers, and what it answers of the rows that judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.messages import say
from tunesmith.statistics.intervals import group_numbers, interval_of, wilson
from tunesmith.statistics.selective import Threshold, choose_threshold
from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.calibrated import NEVER, CalibratedTask
from tunesmith.tasks.results import Prediction
from tunesmith.training.stages import Fitted


def choose(work: Fitted, validation: Sequence[Prediction]) -> Threshold | None:
    """Choose the confidence that `task.selective_accuracy` asks for, by the rows that validate.

    None where nothing is asked for. Where nothing can be promised no answer is given.
    """
    task = work.task
    if not isinstance(task, CalibratedTask):
        return None
    task.sure_from = 0.0
    accuracy = task.options.selective_accuracy
    if accuracy is None:
        return None
    if validation:
        groups = work.data.validation_groups
        found = choose_threshold(
            np.array([p.confidence for p in validation]),
            np.array([float(p.correct) for p in validation]),
            accuracy=accuracy,
            certainty=task.options.selective_certainty,
            looks=work.ending.evaluations if work.ending.metric else 1,
            groups=group_numbers(groups) if groups and any(groups) else None,
        )
    else:
        reason = say("there are no validation rows to choose a confidence by")
        found = Threshold(None, 0, reason=reason)
    task.sure_from = NEVER if found.value is None else found.value
    return found


def selective_of(
    task: Task, found: Threshold | None, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """`selective` of `metrics.json`: what was promised, and what the rows that judge say of it."""
    if found is None or not isinstance(task, CalibratedTask):
        return {}
    sure = np.array([(p.confidence or 0.0) >= task.sure_from for p in predictions], dtype=float)
    right = np.array([p.correct for p in predictions], dtype=float)
    groups = [p.group for p in predictions] if any(p.group for p in predictions) else None
    return {
        "selective": {
            "accuracy": task.options.selective_accuracy,
            "certainty": task.options.selective_certainty,
            "threshold": found.value,
            "reason": found.reason,
            "rows": found.rows,
            "answered": found.answered,
            "right": found.right,
            "least": found.least,
            "coverage": _share(sure, np.ones(len(sure)), groups),
            "selective_accuracy": _share(right * sure, sure, groups),
        }
    }


def _share(points: Any, weights: Any, groups: Sequence[str] | None) -> dict[str, float]:
    """The share of `points` in `weights`, each 0 or 1 for a row, with its 95 % interval."""
    whole = int(weights.sum())
    if not whole:
        return {"value": 0.0, "low": 0.0, "high": 1.0}
    found = wilson(int(points.sum()), whole)
    if groups is not None:
        numbers = group_numbers(groups)
        known = interval_of(points, weights, bounded=True, groups=numbers).interval
        if known is None:
            return {"value": float(points.sum()) / whole, "low": 0.0, "high": 1.0}
        found = known
    return {"value": float(points.sum()) / whole, "low": found.low, "high": found.high}
