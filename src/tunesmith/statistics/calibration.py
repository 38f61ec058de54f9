"""Whether probabilities are what they say: temperature scaling, calibration errors, Brier scores.

A temperature divides all scores before they become probabilities: no answer changes, only how sure
it sounds. How often the interval holds the truth stands in `docs/statistics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from tunesmith.messages import say
from tunesmith.statistics.intervals import LEVEL, Floats, Groups

FEWEST_ROWS = 20
"""Rows below which no temperature is fitted."""

LEAST_GAIN = 1.92
"""Nats in all rows that a temperature must gain: half of 3.84, where a likelihood-ratio test with
one degree of freedom rejects 1 at a level of 5 %."""

TEMPERATURES = (0.05, 20.0)

MOST_BINS = 15
"""As in Guo et al. (2017)."""

ROWS_A_BIN = 20
"""Fewer rows make fewer bins: the share of right answers in each must be worth something."""

DRAWS = 2000
"""Of the noise in the bins, by which the interval is found."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """What scores are divided by; 1 where there is a `reason` to leave them."""

    value: float
    rows: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A bin of a reliability diagram: rows that are about as sure."""

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidence lies from the share that is right: in the mean of rows, and by bins."""

    ece: float
    low: float
    high: float
    points: tuple[Point, ...]


def fit_temperature(scores: Floats, truth: Floats, *, several: bool) -> Temperature:
    """The temperature of least loss on rows that trained nothing (Guo et al. 2017, "On Calibration
    of Modern Neural Networks").

    `scores` are logits, `truth` 1 for each label that is right: both (rows, labels). One row more,
    for which each label is as likely, keeps a model that is right everywhere from being certain.
    """
    rows = len(scores)
    if rows < FEWEST_ROWS:
        reason = say(
            "{n:,} validation rows are too few for it: there must be {least}",
            n=rows,
            least=FEWEST_ROWS,
        )
        return Temperature(1.0, rows, reason)
    anything = np.full(truth.shape, 0.5 if several else 1 / truth.shape[1])
    wanted = truth + anything / rows

    def loss(logarithm: float) -> float:
        scaled = scores / math.exp(logarithm)
        if several:
            certain = np.logaddexp(0, scaled)
            return float((certain * (1 + 1 / rows) - wanted * scaled).sum())
        certain = logsumexp(scaled, axis=1)
        return float((certain * (1 + 1 / rows)).sum() - (wanted * scaled).sum())

    bounds = [math.log(end) for end in TEMPERATURES]
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    if loss(0.0) - float(found.fun) < LEAST_GAIN:
        return Temperature(1.0, rows, say("another than 1 is no better on the validation rows"))
    return Temperature(round(math.exp(float(found.x)), 4), rows)


def brier(chances: Floats, truth: Floats) -> float:
    """Brier's score (1950): squared distances of probabilities from what was true, summed over the
    labels, and the mean of the rows. From 0 to 2, the lower the better.
    """
    return float(((chances - truth) ** 2).sum(axis=1).mean())


def reliability(confidence: Floats, right: Floats, groups: Groups | None = None) -> Reliability:
    """The expected calibration error of answers, each of shape (rows,), with its 95 % interval.

    Bins hold equally many rows, in the order of their confidence (Nguyen and O'Connor 2015), so
    that none is empty; at most 15. `groups` are rows whose errors go together.
    """
    rows = len(confidence)
    bins = max(1, min(MOST_BINS, rows // ROWS_A_BIN))
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    points = [Point(float(confidence[p].mean()), float(right[p].mean()), len(p)) for p in parts]
    gaps = np.array([point.confidence - point.accuracy for point in points])
    weights = np.array([point.rows for point in points]) / rows
    noise = _noise(confidence - right, parts, points, groups)
    low, high = _ends(gaps, weights, noise)
    return Reliability(float(weights @ np.abs(gaps)), low, high, tuple(points))


def _noise(
    residuals: Floats,
    parts: Sequence[npt.NDArray[np.int64]],
    points: Sequence[Point],
    groups: Groups | None,
) -> Floats:
    """Draws of what chance adds to each bin's gap, (draws, bins): normal, as the rows vary.

    A bin that is all right varies too: at least as what is as sure as its rows.
    """
    groups = np.arange(len(residuals)) if groups is None else groups
    sums = np.zeros((int(groups.max()) + 1, len(parts)))
    for number, (part, point) in enumerate(zip(parts, points, strict=True)):
        apart = residuals[part] - (point.confidence - point.accuracy)
        sums[:, number] = np.bincount(groups[part], apart, len(sums)) / point.rows
    covariance = sums.T @ sums
    for number, point in enumerate(points):
        least = point.confidence * (1 - point.confidence) / point.rows
        covariance[number, number] = max(covariance[number, number], least)
    draw = np.random.default_rng(0).multivariate_normal
    return draw(np.zeros(len(parts)), covariance, DRAWS, method="eigh")


def _ends(gaps: Floats, weights: Floats, noise: Floats) -> tuple[float, float]:
    """The ends of the errors, all gaps in the proportion seen, that what was seen agrees with.

    Chance only adds to a mean of absolute gaps, so that percentiles of a bootstrap lie too high;
    an error is in the interval where neither tail of what it would show holds what was seen. The
    tails are half of what 95 % leaves: gaps lie in other proportions than those seen.
    """
    seen, tail = float(weights @ np.abs(gaps)), (1 - LEVEL) / 4
    if not seen:
        return 0.0, float(np.quantile(np.abs(noise) @ weights, 1 - tail))
    most = 1 + 4 * float((np.abs(noise) @ weights).mean()) / seen
    scales = np.linspace(0.0, most, 101)
    shown = np.array([np.abs(scale * gaps + noise) @ weights for scale in scales])
    more, less = (shown >= seen).mean(axis=1), (shown <= seen).mean(axis=1)
    fitting = scales[(more >= tail) & (less >= tail)]
    if not len(fitting):  # less than chance alone would show
        return 0.0, seen
    return float(fitting[0]) * seen, float(fitting[-1]) * seen
