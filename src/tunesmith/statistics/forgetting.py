"""What a model forgot: how it did on general texts, chats and questions before it was trained.

The same rows are asked before and after, so that what each of them gained or lost is what the
interval is made of. Losses are means over rows of nats per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tunesmith.messages import joined, say
from tunesmith.schemas.metrics import GENERAL, forgetting_of
from tunesmith.statistics.intervals import LEVEL, Floats, Interval, mean_interval, share_difference

CLEARLY = 0.1
"""Nats per token of which a loss has surely risen where it is called worse: then the tokens of such
text are a tenth less likely."""


@dataclass(frozen=True, slots=True)
class General:
    """How a model did on the general set: each a row's, in the set's order."""

    text: list[float]
    """Loss of each passage, in nats per token."""
    chat: list[float]
    """Loss of each answer in a chat."""
    questions: list[bool]
    """Whether the right one of four ends of a sentence was the likeliest."""


def compared(before: General, after: General) -> dict[str, Any]:
    """Each part before and after, and the difference with its interval, as `metrics.json` has it.

    A part without rows is left out.
    """
    found = {}
    for part in GENERAL:
        first, second = (np.array(getattr(g, part), dtype=np.float64) for g in (before, after))
        if not len(first):
            continue
        means = float(first.mean()), float(second.mean())
        interval = _of_shares(first, second) if part == "questions" else _of_means(first, second)
        found[part] = {
            "before": means[0],
            "after": means[1],
            "difference": means[1] - means[0],
            "interval": None if interval is None else asdict(interval),
            "rows": len(first),
        }
    return found


def _of_means(first: Floats, second: Floats) -> Interval | None:
    gains = second - first
    if len(gains) < 2 or not np.isfinite(gains).all():
        return None
    low, high = mean_interval(gains)
    return Interval(low, high, LEVEL, "Student", len(gains))


def _of_shares(first: Floats, second: Floats) -> Interval:
    gains = second - first
    return share_difference(int((gains < 0).sum()), int((gains > 0).sum()), len(gains))


def is_worse(part: str, found: Mapping[str, Any]) -> bool:
    """Whether a `part` in `metrics.json` is plainly worse than before, by all of its interval."""
    interval = found.get("interval")
    if not interval:
        return False
    return bool(interval["high"] < 0 if part == "questions" else interval["low"] > CLEARLY)


def cautions(metrics: Mapping[str, Any]) -> list[str]:
    """What a user must know of what the adapter forgot; nothing where it is little or unknown."""
    worse = {p: f for p, f in (metrics.get("forgetting") or {}).items() if is_worse(p, f)}
    if not worse:
        return []
    return [
        say(
            "With this adapter the model has plainly lost some of what it could do before: {what}. "
            "If it is to answer other things too: train on some general rows beside these, with a "
            "lower training.learning_rate, or for fewer epochs.",
            what=joined(forgetting_of({"forgetting": worse}), "; "),
        )
    ]
