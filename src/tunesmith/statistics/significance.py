"""Whether two scores differ: paired tests, and how many rows they need (power analysis).

What is said of shares of right answers follows from counts. Other metrics are ratios of sums over
rows. How sure one score is, `statistics.intervals` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtri

from tunesmith.statistics.intervals import LEVEL, Floats, normal

POWER = 0.80
"""Power, the chance to find a difference that is there, for which `rows_needed` asks."""

RESAMPLES = 2000
"""Exchanges that the randomization test draws."""
SEED = 0
"""Seed of the draws: the same answers always give the same p-value."""


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
    """Discordant rows, right in one experiment only, below which the test can't be significant."""
    count = 1
    while mid_p_mcnemar(0, count) > 1 - level:
        count += 1
    return count


def rows_needed(lost: int, won: int, rows: int, level: float = LEVEL) -> int | None:
    """Rows in all with which McNemar's test would find the observed difference with power POWER.

    Discordant rows, right in one experiment only, are taken to stay as frequent and as uneven as
    these. Connor (1987), "Sample size for testing differences in proportions for the
    paired-sample design". None where the observed difference is zero.
    """
    difference = abs(won - lost) / rows
    if not difference:
        return None
    discordant = (lost + won) / rows
    threshold = normal(level) * math.sqrt(discordant)
    margin = float(ndtri(POWER)) * math.sqrt(discordant - difference**2)
    return math.ceil(((threshold + margin) / difference) ** 2)


def ratio(points: Floats, weights: Floats) -> float:
    """Sum of `points` by sum of `weights`, each of shape (rows,); 0 where nothing has a weight."""
    whole = float(weights.sum())
    return float(points.sum()) / whole if whole else 0.0


def randomization(first: Floats, second: Floats) -> float:
    """p-value that two such metrics of the same rows, shapes (rows, 2), differ; two-sided.

    Approximate randomization: if neither were better, each row's answers could as well be the
    other's (Noreen 1989; Yeh 2000, "More accurate tests for the statistical significance of result
    differences", for F1). RESAMPLES exchanges are drawn, so that no p-value is under 1 in 2001.
    """
    random, apart = np.random.default_rng(SEED), second - first
    moved = np.concatenate(
        [random.integers(0, 2, (draws, len(apart))) @ apart for draws in _at_once(len(apart))]
    )
    one, other = first.sum(axis=0) + moved, second.sum(axis=0) - moved
    found = np.abs(_ratios(*one.T) - _ratios(*other.T))
    observed = abs(ratio(*second.T) - ratio(*first.T)) - 1e-12
    return (int((found >= observed).sum()) + 1) / (RESAMPLES + 1)


def ratio_gains(first: Floats, second: Floats) -> Floats:
    """What each row adds to the second metric over the first, shape (rows,); shapes (rows, 2).

    A row adds what its points are over those that its weight would bring at the mean of both
    metrics: the linear part of a ratio (delta method), so that the gains' sum has the difference's
    sign.
    """
    level = (ratio(*first.T) + ratio(*second.T)) / 2
    gains: Floats = (second - first) @ np.array([1.0, -level])
    return gains


def coefficient_of_variation(gains: Floats) -> float | None:
    """Standard deviation of `gains` by the size of their mean; None where that is 0."""
    mean = abs(float(gains.mean()))
    return float(gains.std()) / mean if mean else None


def ratio_rows_needed(variation: float | None, level: float = LEVEL) -> int | None:
    """Rows in all with which a test would find that the mean gain isn't 0, with power POWER.

    `variation` is the gains' coefficient of variation, taken to be that of further rows too. None
    where there is no difference to find.
    """
    if variation is None:
        return None
    return math.ceil(((normal(level) + float(ndtri(POWER))) * variation) ** 2)


def _at_once(rows: int) -> Iterator[int]:
    """RESAMPLES in parts that fit into little memory, each of some draws of `rows` rows."""
    part = max(1, min(RESAMPLES, (1 << 20) // max(rows, 1)))
    for start in range(0, RESAMPLES, part):
        yield min(part, RESAMPLES - start)


def _ratios(points: Floats, weights: Floats) -> Floats:
    return np.divide(points, weights, out=np.zeros_like(points), where=weights > 0)


def holm(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """The p-values adjusted for being several, in their order (Holm 1979).

    `tests` is how many there are, with those whose p-values aren't here: these are taken to be the
    smallest of all, which errs on the safe side. None: there are no others.
    """
    tests = len(p_values) if tests is None else tests
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (tests - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
