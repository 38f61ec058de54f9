"""What tasks share about labels: their order, and what logits say of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.tasks.base import Answer

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


def as_ordered(labels: Sequence[str], names: Mapping[str, Any]) -> list[str] | None:
    """`labels` in the order in which `names`, a base model's `id2label`, has them.

    Capitals don't matter. None where the order is the same, or the names are others.
    """
    known = {label.casefold(): label for label in labels}
    theirs = [str(names[number]).casefold() for number in sorted(names, key=int)]
    if len(known) < len(labels) or sorted(theirs) != sorted(known):
        return None
    found = [known[name] for name in theirs]
    return None if found == list(labels) else found


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
