"""How sure a score is: intervals that hold the truth as often as they say, with few rows too.

Every interval here was chosen by its coverage in `python -m benchmarks.coverage`, whose table
stands in `docs/statistics.md`. None of them collapses where a few rows are all right, as
percentiles of a bootstrap do; where none would be honest there is none, with the reason in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtri, stdtrit

from tunesmith.messages import say, say_plural

LEVEL = 0.95
"""Confidence level of every interval; 1 less this is every test's significance level."""

FEWEST_ROWS = 2
"""Rows that add something to a ratio, below which their variance can't be estimated."""

FEWEST_NUMBERS = 5
"""The same where rows add squares of errors, which vary more."""

AS_GROUP = 0.7
"""Share, on a scale of logarithms, of a whole group's weight in the rows that are added to the
variance of groups: with 1 intervals of rows that go their own ways are too wide, with 0.5 those of
groups that are nearly all right too narrow (`python -m benchmarks.coverage`)."""

OUTDATED = frozenset({"bootstrap", say("paired bootstrap")})
"""Methods of earlier versions, which claim too much with few rows: [1, 1] where all are right."""

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
"""The number of each row's group, from 0 on, shape (rows,)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value probably is, by `method`, from `rows` rows."""

    low: float
    high: float
    level: float
    method: str
    rows: int
    groups: int | None = None
    """Groups of rows that go together, which the rows are drawn by; None: each by itself."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """An interval, or why there is none, in words."""

    interval: Interval | None
    reason: str | None = None


def wilson(right: int, rows: int) -> Interval:
    """Wilson's score interval (1927) of the share of `right` answers among `rows` (at least 1).

    The one interval of such a share, after a training as in a comparison. Brown, Cai and DasGupta
    (2001, "Interval Estimation for a Binomial Proportion") recommend it for all sizes, with the
    end near 0 or 1 moved outwards where few answers are of the rarer kind: without that it holds
    a share of 0.97 only 86 times of 100 with 5 rows.
    """
    low, high = _wilson(right / rows, float(rows))
    return Interval(low, high, LEVEL, "Wilson", rows)


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """The ends of Wilson's interval; `rows` needn't be whole, as effective ones aren't."""
    squared = normal(LEVEL) ** 2
    middle = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = math.sqrt(squared * (share * (1 - share) + squared / (4 * rows)) / rows)
    half /= 1 + squared / rows
    low = 0.0 if share == 0 else middle - half
    high = 1.0 if share == 1 else middle + half
    few = (2 if rows <= 50 else 3) + 1e-9
    if 0 < (hits := rows * share) <= few:
        low = min(low, float(gammaincinv(hits, 1 - LEVEL)) / rows)
    if 0 < (misses := rows * (1 - share)) <= few:
        high = max(high, 1 - float(gammaincinv(misses, 1 - LEVEL)) / rows)
    return max(low, 0.0), min(high, 1.0)


def interval_of(
    points: Floats, weights: Floats, *, bounded: bool, groups: Groups | None = None
) -> Uncertainty:
    """Interval of a metric that is the sum of `points` by that of `weights`, each of shape (rows,).

    `bounded`: each row adds from nothing to its weight, as to F1. Else it is a share of explained
    variance, as R²: weights are squared distances from the rows' mean, points those less squared
    errors. `groups`: the rows of a group (an author, a document) were drawn together, so that the
    groups' sums are what varies (cluster-robust; Miller 2024, "Adding Error Bars to Evals").
    """
    if groups is None:
        return _ratio(points, weights) if bounded else _explained(points, weights)
    rows, answers = len(points), int((weights > 0).sum())
    points, weights = by_group(np.column_stack((points, weights)), groups).T
    found = _ratio(points, weights, answers) if bounded else _explained(points, weights)
    if found.interval is None:
        return Uncertainty(
            None,
            say_plural(
                "{n:,} group of held-out rows is too few",
                "{n:,} groups of held-out rows are too few",
                n=len(points),
            ),
        )
    return Uncertainty(replace(found.interval, rows=rows, groups=len(points)))


def group_numbers(groups: Iterable[str]) -> Groups:
    """A number from 0 on for each group, by its name; rows whose group has none stand alone."""
    known: dict[str | int, int] = {}
    return np.array([known.setdefault(name or row, len(known)) for row, name in enumerate(groups)])


def by_group(parts: Floats, groups: Groups) -> Floats:
    """The sums of `parts`, shape (rows, k), over the rows of each group: shape (groups, k)."""
    return np.column_stack([np.bincount(groups, column) for column in parts.T])


def _ratio(points: Floats, weights: Floats, answers: int | None = None) -> Uncertainty:
    """Wilson's interval with the effective number of rows, after Korn and Graubard (1998).

    That many independent answers would leave the score as unsure as these rows do, whose answers
    go together; Franco, Little, Louis and Slud (2019, "Comparative Study of Confidence Intervals
    for Proportions in Complex Sample Surveys") find it to cover best, with Student's t for the
    unsure variance. Two rows of mean weight, one all right and one all wrong, are added to the
    variance, as Agresti and Coull (1998) do: rows that are all right don't make it 0. Where these
    rows are groups of `answers` rows, a group's weight would be too much to add where its rows go
    their own ways: it lies, by AS_GROUP, between that and the rows that weigh as one answer.
    """
    there = weights > 0
    rows, whole = int(there.sum()), float(weights.sum())
    if rows < FEWEST_ROWS:
        return Uncertainty(None, say("fewer than {n} held-out rows count for it", n=FEWEST_ROWS))
    score, mean = float(points.sum()) / whole, whole / rows
    if answers is not None:
        single, independent = whole / answers, score * (1 - score) * whole**2 / answers
        squares = float(((points - score * weights)[there] ** 2).sum()) * rows / (rows - 1)
        as_one = squares / independent if independent else math.inf
        mean = min(max(single, single * as_one), mean) ** (1 - AS_GROUP) * mean**AS_GROUP
    smoothed = (float(points.sum()) + mean) / (whole + 2 * mean)
    squares = float(((points - smoothed * weights)[there] ** 2).sum())
    squares += mean**2 * ((1 - smoothed) ** 2 + smoothed**2)
    variance = squares * (rows + 2) / (rows + 1) / (whole + 2 * mean) ** 2
    effective = smoothed * (1 - smoothed) / variance
    # No more than there are answers, each of which F1 counts twice: as expected and predicted.
    effective = min(effective, max(whole / 2, answers or rows))
    effective *= (normal(LEVEL) / _student(rows - 1)) ** 2
    low, high = _wilson(score, effective)
    return Uncertainty(Interval(low, high, LEVEL, "Wilson, effective rows", len(points)))


def _explained(points: Floats, weights: Floats) -> Uncertainty:
    """Student's interval of the logarithm of what is not explained, by leaving out one row each.

    Miller (1968, "Jackknifing Variances"): a ratio of variances is near normal by its logarithm
    alone.
    """
    rows, errors = len(points), weights - points
    if rows < FEWEST_NUMBERS:
        return Uncertainty(None, say("fewer than {n} held-out rows", n=FEWEST_NUMBERS))
    left_errors, left_spread = _left_out(errors, 1.0), _left_out(weights, rows / (rows - 1))
    if not (left_spread > 0).all() or not (left_errors > 0).all():
        reason = say("all numbers but one are the same, or all errors but one are 0")
        return Uncertainty(None, reason)
    each = np.log(left_errors / left_spread)
    middle = math.log(float(errors.sum()) / float(weights.sum()))
    half = _half_width(each)
    low, high = 1 - _exp(middle + half), 1 - _exp(middle - half)
    return Uncertainty(Interval(low, high, LEVEL, "jackknife", rows))


def share_difference(lost: int, won: int, rows: int) -> Interval:
    """Interval of the difference of two shares of right answers to the same `rows` rows.

    `won` rows are right in the second only, `lost` in the first only. The adjusted Wald interval of
    Bonett and Price (2012, "Adjusted Wald Confidence Interval for a Difference of Binomial
    Proportions Based on Paired Data"): one pair of each kind is added.
    """
    first, second = (lost + 1) / (rows + 2), (won + 1) / (rows + 2)
    middle = second - first
    half = normal(LEVEL) * math.sqrt((first + second - middle**2) / (rows + 2))
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Interval(low, high, LEVEL, "Bonett and Price", rows)


def ratio_difference(
    first: Floats, second: Floats, *, bounded: bool, groups: Groups | None = None
) -> Interval | None:
    """Interval of the difference of two such metrics of the same rows; None where none is honest.

    Each is of shape (rows, 2), points and weights; `groups` as for `interval_of`. Of bounded
    ones Bonett and Price's, from what each row adds to the difference (delta method), with
    Student's t; of explained variances Student's by leaving out one row each.
    """
    if groups is not None:
        found = ratio_difference(by_group(first, groups), by_group(second, groups), bounded=bounded)
        return found and replace(found, rows=len(first), groups=found.rows)
    rows = len(first)
    if bounded:
        return _bounded_difference(first, second) if rows >= FEWEST_ROWS else None
    if rows < FEWEST_NUMBERS:
        return None
    left = _left_out(first[:, 1], rows / (rows - 1))
    gains = second[:, 0] - first[:, 0]
    if not (left > 0).all() or not gains.any():
        return None
    middle = float(gains.sum()) / float(first[:, 1].sum())
    half = _half_width(_left_out(gains, 1.0) / left)
    return Interval(middle - half, middle + half, LEVEL, "jackknife", rows)


def _bounded_difference(first: Floats, second: Floats) -> Interval | None:
    rows, wholes = len(first), (float(first[:, 1].sum()), float(second[:, 1].sum()))
    if not all(wholes):
        return None
    scores = float(first[:, 0].sum()) / wholes[0], float(second[:, 0].sum()) / wholes[1]
    parts = [
        (each[:, 0] - score * each[:, 1]) * rows / whole
        for each, score, whole in zip((first, second), scores, wholes, strict=True)
    ]
    gains = np.concatenate([scores[1] - scores[0] + parts[1] - parts[0], [1.0, -1.0]])
    middle = float(gains.mean())
    half = _student(rows - 1) * float(gains.std()) / math.sqrt(rows + 2)
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Interval(low, high, LEVEL, "Bonett and Price, by rows", rows)


def mean_interval(values: Floats) -> tuple[float, float]:
    """Student's interval of the mean of at least two values, as of a score over seeds."""
    rows, middle = len(values), float(values.mean())
    half = _student(rows - 1) * float(values.std(ddof=1)) / math.sqrt(rows)
    return middle - half, middle + half


def normal(level: float) -> float:
    """How many standard deviations to each side hold `level` of a normal distribution."""
    return float(ndtri((1 + level) / 2))


def _student(freedom: float) -> float:
    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _left_out(values: Floats, share: float) -> Floats:
    """Leave-one-out sums of `values` (jackknife); a spread loses `share` times its square."""
    left: Floats = values.sum() - share * values
    return left


def _half_width(each: Floats) -> float:
    """Half of Student's interval, from the jackknife's estimates without each row.

    Squares vary more than what they are of, so t has half the rows' degrees of freedom, and where
    few rows make most of the variance no more than that variance is known by (Satterthwaite 1946).
    Both are themselves estimated from the rows: two thirds of them hold the truth as often as said.
    """
    rows, squares = len(each), (each - each.mean()) ** 2
    mean = float(squares.mean())
    spread = float((squares**2).mean()) - mean**2
    freedom = (rows - 1) / 2
    if spread > 0:
        freedom = min(freedom, 2 * rows * mean**2 / spread)
    return _student(max(freedom / 1.5, 1.0)) * math.sqrt((rows - 1) * mean)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
