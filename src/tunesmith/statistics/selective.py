"""From which confidence on answers are right as often as asked: a threshold with a guarantee.

Rows that trained nothing are asked; the guarantee is about rows that are drawn like them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from tunesmith.messages import say
from tunesmith.statistics.intervals import Floats, Groups

THRESHOLDS = (0.995, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.0)
"""Confidences that are tried, the strictest first: fixed before anybody has seen a row."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `value` on an answer is given; None: no threshold is known to keep the promise."""

    value: float | None
    rows: int
    """Rows that it was chosen by, of which `answered` are as sure, `right` of these rightly."""
    answered: int = 0
    right: int = 0
    least: float | None = None
    """What the share of right answers is at least, at the confidence asked for."""
    reason: str | None = None


def choose_threshold(
    confidence: Floats,
    right: Floats,
    *,
    accuracy: float,
    certainty: float,
    looks: int = 1,
    groups: Groups | None = None,
) -> Threshold:
    """The lowest threshold whose answers are right in at least `accuracy` of all rows to come.

    That is wrong with a probability of at most 1 - `certainty`, over the rows that choose it: Learn
    then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021) with exact binomial bounds (Clopper
    and Pearson 1934), and the levels handed on from threshold to threshold by the fallback
    procedure (Wiens 2003), strictest first. `looks` are the models that these rows picked this one
    of; each shares the level (Bonferroni). Of rows in `groups`, one of each is asked.
    """
    if groups is not None:
        _, first = np.unique(groups, return_index=True)
        confidence, right = confidence[first], right[first]
    share = (1 - certainty) / looks / len(THRESHOLDS)
    found, carried = Threshold(None, len(right)), 0.0
    for threshold in THRESHOLDS:
        level = share + carried
        sure = confidence >= threshold
        answered, hits = int(sure.sum()), int(right[sure].sum())
        least = _least_share(hits, answered, level)
        carried = level if least >= accuracy else 0.0
        if carried:
            found = Threshold(threshold, len(right), answered, hits, least)
    if found.value is not None:
        return found
    reason = say(
        "none of the confidences tried makes answers of {n:,} validation rows right in "
        "{accuracy:.0%} with a certainty of {certainty:.0%}: more rows, or a better adapter, "
        "are needed",
        n=len(right),
        accuracy=accuracy,
        certainty=certainty,
    )
    return Threshold(None, len(right), reason=reason)


def _least_share(hits: int, rows: int, level: float) -> float:
    """The lower end of Clopper and Pearson's one-sided interval."""
    return float(betaincinv(hits, rows - hits + 1, level)) if hits else 0.0
