"""How sure a share of right answers is, and whether two of them differ: intervals and tests.

Everything here follows from counts. To draw n rows with replacement from n rows is one draw from a
multinomial distribution of how their pairs of answers turned out, so that a bootstrap over rows
costs no more for a million rows than for ten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtri

LEVEL = 0.95
"""Level of every interval; a test's false-alarm rate is what is left to 1."""

POWER = 0.80
"""Chance to find a difference that is there, for which `rows_needed` asks."""

RESAMPLES = 2000
SEED = 0
"""The same counts give the same interval, always."""

FEWEST_APART = 10
"""Rows that tell two experiments apart, below which a bootstrap has too little to draw from; chosen
by its coverage (tests/tracking/test_significance.py)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value probably is, by `method`, from `rows` rows."""

    low: float
    high: float
    level: float
    method: str
    rows: int


def wilson(right: int, rows: int) -> Interval:
    """Wilson's score interval (1927) of the share of `right` answers among `rows` (at least 1).

    The one interval of such a share, after a training as in a comparison. Brown, Cai and DasGupta
    (2001) recommend it for all sizes. `scipy.stats` has it too, but takes longer to import than a
    small training takes to evaluate.
    """
    share, squared = right / rows, _normal(LEVEL) ** 2
    middle = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = math.sqrt(squared * (share * (1 - share) + squared / (4 * rows)) / rows)
    half /= 1 + squared / rows
    low = 0.0 if right == 0 else middle - half
    high = 1.0 if right == rows else middle + half
    return Interval(low, high, LEVEL, "Wilson", rows)


def difference_interval(lost: int, won: int, rows: int) -> Interval:
    """Interval of the difference of two shares of right answers to the same `rows` rows.

    `won` rows are right in the second only, `lost` in the first only. The percentile bootstrap over
    pairs of answers; where fewer than FEWEST_APART rows tell the two apart, the adjusted Wald
    interval of Bonett and Price (2012).
    """
    if lost + won < FEWEST_APART:
        first, second = (lost + 1) / (rows + 2), (won + 1) / (rows + 2)
        middle = second - first
        half = _normal(LEVEL) * math.sqrt((first + second - middle**2) / (rows + 2))
        low, high = max(-1.0, middle - half), min(1.0, middle + half)
        return Interval(low, high, LEVEL, "Bonett and Price", rows)
    chances = [lost / rows, won / rows, (rows - lost - won) / rows]
    drawn = np.random.default_rng(SEED).multinomial(rows, chances, RESAMPLES)
    return _percentile((drawn[:, 1] - drawn[:, 0]) / rows, rows, "paired bootstrap")


def mid_p_mcnemar(lost: npt.ArrayLike, won: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """p-values of McNemar's test with the mid-p correction, two-sided; counts may be arrays.

    Twice the chance, were either side as likely to win a row, of fewer rows on the smaller side,
    counting what was observed by half. Fagerland, Lydersen and Laake (2013), "The McNemar test for
    binary matched-pairs data: mid-p and asymptotic are better than exact conditional".
    """
    lost, won = np.asarray(lost, dtype=np.int64), np.asarray(won, dtype=np.int64)
    fewer, both = np.minimum(lost, won), lost + won
    up_to = bdtr(fewer, both, 0.5)
    below = np.where(fewer > 0, bdtr(np.maximum(fewer - 1, 0), both, 0.5), 0.0)
    found: npt.NDArray[np.float64] = np.where(lost == won, 1.0, np.minimum(up_to + below, 1.0))
    return found


def fewest_rows_that_differ(level: float = LEVEL) -> int:
    """How many rows must tell two experiments apart before the test can find anything."""
    count = 1
    while mid_p_mcnemar(0, count) > 1 - level:
        count += 1
    return count


def rows_needed(lost: int, won: int, rows: int, level: float = LEVEL) -> int | None:
    """Rows in all with which McNemar's test would find the observed difference with power POWER.

    That is, if rows tell the two apart as often, and as unevenly, as these do. Connor (1987),
    "Sample size for testing differences in proportions for the paired-sample design". None where
    the observed difference is zero: no number of rows would find it.
    """
    difference = abs(won - lost) / rows
    if not difference:
        return None
    apart = (lost + won) / rows
    threshold = _normal(level) * math.sqrt(apart)
    margin = float(ndtri(POWER)) * math.sqrt(apart - difference**2)
    return math.ceil(((threshold + margin) / difference) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being several, in their order (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _percentile(drawn: npt.NDArray[Any], rows: int, method: str) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), LEVEL, method, rows)


def _normal(level: float) -> float:
    """How many standard deviations to each side hold `level` of a normal distribution."""
    return float(ndtri((1 + level) / 2))
