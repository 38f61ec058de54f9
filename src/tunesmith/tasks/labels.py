"""What tasks share about labels: their order, how well each is told, what logits say of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.tasks.base import Answer, Prediction

if TYPE_CHECKING:
    import torch


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels by number where all are numbers, else by name."""
    by_name = sorted(labels)
    try:
        numbers = [float(label) for label in by_name]
    except ValueError:
        return by_name
    if any(map(math.isnan, numbers)):
        return by_name
    return [label for _, label in sorted(zip(numbers, by_name, strict=True))]


def figures(label: str, predictions: Sequence[Prediction]) -> dict[str, float]:
    """Precision, recall, F1 and support of one label; 0 where a denominator is 0."""

    def has(value: Any) -> bool:
        return label in value if isinstance(value, list) else label == value

    expected = sum(has(p.expected) for p in predictions)
    predicted = sum(has(p.predicted) for p in predictions)
    both = sum(has(p.expected) and has(p.predicted) for p in predictions)
    precision = both / predicted if predicted else 0.0
    recall = both / expected if expected else 0.0
    f1 = 2 * both / (expected + predicted) if expected + predicted else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": expected}


def probabilities(logits: torch.Tensor, *, several: bool) -> list[list[float]]:
    """Probability of each label, (rows, labels): each by itself where there may be several."""
    found: list[list[float]] = (logits.sigmoid() if several else logits.softmax(dim=1)).tolist()
    return found


def chosen(chances: Sequence[float], labels: Sequence[str], *, several: bool) -> Any:
    """The likeliest label; or all that are likelier than not, in order."""
    if several:
        return [label for label, chance in zip(labels, chances, strict=True) if chance > 0.5]
    return labels[max(range(len(chances)), key=chances.__getitem__)]


def label_answers(logits: torch.Tensor, labels: Sequence[str], *, several: bool) -> list[Answer]:
    """The answer that each row of `logits` (rows, labels) gives, with every label's probability."""
    return [
        Answer(chosen(chances, labels, several=several), dict(zip(labels, chances, strict=True)))
        for chances in probabilities(logits, several=several)
    ]
