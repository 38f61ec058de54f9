"""Evidence: predictions for the held-out rows, the score with its interval, the worst mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import torch

from tunesmith.errors import VerificationError
from tunesmith.statistics.intervals import Uncertainty, group_numbers, interval_of, wilson
from tunesmith.tasks.base import Example, Task
from tunesmith.tasks.results import Prediction, first_rows, same_answer
from tunesmith.training.plan import Plan

T = TypeVar("T")


def by_length(examples: Sequence[Example], batch_size: int) -> list[list[int]]:
    """Positions of `examples` in batches of similar length, the shortest first."""
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i]["input_ids"]), i))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def in_batches(
    examples: Sequence[Example], batch_size: int, ask: Callable[[list[Example]], Iterable[T]]
) -> list[T]:
    """What `ask` gives for each of `examples`, asked in batches of similar length."""
    batches = by_length(examples, batch_size)
    found = [one for batch in batches for one in ask([examples[i] for i in batch])]
    return in_given_order(found, batches)


def in_given_order(found: Sequence[T], batches: Sequence[Sequence[int]]) -> list[T]:
    """`found`, one for each position in `batches` after the other, by position."""
    positions = [position for batch in batches for position in batch]
    by_position = dict(zip(positions, found, strict=True))
    return [by_position[position] for position in range(len(positions))]


def autocast(plan: Plan) -> torch.autocast:
    """The context in which matrix products have the plan's precision."""
    kind = plan.device.partition(":")[0]
    fewer_bits = plan.precision in ("bfloat16", "float16")
    return torch.autocast(
        kind, dtype=getattr(torch, plan.precision) if fewer_bits else None, enabled=fewer_bits
    )


def interval(predictions: Sequence[Prediction], task: Task) -> dict[str, Any]:
    """95 % interval of the main metric as `interval`; None with an `interval_note` saying why."""
    grouped = any(p.group for p in predictions)
    groups = group_numbers(p.group for p in predictions) if grouped else None
    if groups is None and all(p.points is None and p.weight == 1.0 for p in predictions):
        found = Uncertainty(wilson(sum(p.correct for p in predictions), len(predictions)))
    else:
        points = np.array([p.earned for p in predictions])
        weights = np.array([p.weight for p in predictions])
        found = interval_of(points, weights, bounded=task.main_is_bounded(), groups=groups)
    if found.interval is not None:
        return {"interval": asdict(found.interval)}
    return {"interval": None, "interval_note": found.reason}


def worst_mistakes(predictions: Sequence[Prediction], count: int = 5) -> list[dict[str, Any]]:
    """The wrong answers that the model gave the right ones least chance for, worst first."""
    wrong = [prediction for prediction in predictions if not prediction.correct]
    wrong.sort(key=lambda prediction: (-(prediction.loss or 0.0), prediction.row))
    return _shown(wrong[:count])


def surest_answers(predictions: Sequence[Prediction], count: int = 5) -> list[dict[str, Any]]:
    """The right answers that the model gave most chance, surest first."""
    right = [prediction for prediction in predictions if prediction.correct]
    right.sort(key=lambda p: (math.inf if p.loss is None else p.loss, p.row))
    return _shown(right[:count])


def _shown(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    kept = ("row", "text", "expected", "predicted", "confidence", "loss")
    return [{name: _as_read(asdict(p)[name]) for name in kept} for p in predictions]


def _as_read(value: Any) -> Any:
    """A value of a prediction as people read it: entities by text and label, four digits."""
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return [f"{one['text']} ({one['label']})" for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def compare_predictions(
    before: Sequence[Prediction], after: Sequence[Prediction], tolerance: float
) -> float:
    """The largest difference between two models' scores for the same rows.

    Raises VerificationError when an answer differs, or a score by more than `tolerance`.
    """
    largest = 0.0
    different = []
    for one, other in zip(before, after, strict=True):
        gaps = [abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)]
        largest = max([largest, *gaps])
        # Said so that a NaN is a difference: no comparison with one is true.
        same = same_answer(one.predicted, other.predicted) and all(gap <= tolerance for gap in gaps)
        if not same:
            different.append(one.row)
    if different:
        raise VerificationError(
            "the saved adapter, loaded into a fresh base model, answers {n} of "
            "{rows} held-out rows differently (rows {list}; largest difference of a "
            "score {largest:.3g}, allowed {tolerance:.3g}). Something that was "
            "trained was not saved: see lora.modules_to_save and "
            "lora.init_lora_weights.",
            n=len(different),
            rows=len(before),
            list=first_rows(different),
            largest=largest,
            tolerance=tolerance,
        )
    return largest
