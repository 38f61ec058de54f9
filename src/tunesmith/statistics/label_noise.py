"""How many labels are wrong, with an interval, and how probably each of them is.

A classifier contradicts some labels because they are wrong, and others because it is. Counting
contradictions, as confident learning does, separates the two by no more than a threshold; here they
are separated by their likelihood. A row has its true label in the data, or another: each other
equally often, or with probabilities of their own for each pair of labels. The interval holds what
either leaves open, for systematic flips look like mistakes to the first, and mistakes like
systematic flips to the second. Which label is true, the logits say once they are calibrated. That
is logistic regression with misclassified answers (Copas 1988, "Binary Regression Models for
Contaminated Data"; Hausman, Abrevaya and Scott-Morton 1998, "Misclassification of the dependent
variable in a discrete-response setting"), on the logits alone. Calibration has a slope, a power of
the margin by which the classifier is surer of some rows than of others (so that its surest mistakes
need not be wrong labels), and a bias for each label; all are fitted together with the share of
wrong labels. What the data can't separate, the share's interval, of its profile likelihood, leaves
open. Where it begins at 0, calibration explains all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, softmax

from tunesmith.loading import load
from tunesmith.statistics.intervals import LEVEL, Floats, Groups, by_group, normal

PATIENCE = {"ftol": 1e-7, "maxiter": 100}
"""How exactly a point is looked for: far more so than the interval is sure."""

MOST = 0.45
"""Largest share looked for: beyond half, wrong labels look like right ones."""

FEWEST_ROWS = 30
"""Rows below which no share is estimated."""

MOST_OF_A_LABEL = 0.95
"""Largest share wrong of the rows of one label."""

POWERS = (0.2, 1.5)
"""Bounds of the power of the margin; 1 is plain temperature scaling."""

BENT = 0.3
"""Standard deviation of that power around 1."""

UNEVEN = 1.0
"""Standard deviation, on a scale of logarithms, of how often one label stands for another."""

MOST_UNEVEN = 8
"""Labels above which each stands for each other as often: of so many pairs rows say little."""

BIAS = 3.0
"""Standard deviation of the labels' biases: few rows say little of rare labels'."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """The share of wrong labels, and what each row adds to it."""

    share: float
    low: float
    high: float
    chances: Floats
    """How probably the label of each row is wrong, shape (rows,)."""
    chances_low: Floats
    """The same at the lower end of the interval, and at the upper."""
    chances_high: Floats

    @property
    def stands_out(self) -> bool:
        """Whether more labels are contradicted than a classifier's own mistakes explain."""
        return self.low > 0

    def precision(self, rows: Integers) -> tuple[float, float, float] | None:
        """The share of these `rows` whose label is wrong, and its interval; None without rows."""
        if not len(rows):
            return None
        return _share(self.chances[rows], self.chances_low[rows], self.chances_high[rows])


def estimate_noise(logits: Floats, given: Integers, groups: Groups | None = None) -> Noise | None:
    """The share of wrong labels among `given`; None where there are too few rows.

    `logits` are of rows that were not trained on, shape (rows, labels). Rows of one of `groups` go
    together: the interval is wider by as much as they vary more (Chandler and Bate 2007, "Inference
    for clustered data using the independence loglikelihood").
    """
    if len(given) < FEWEST_ROWS or len(np.unique(given)) < 2:
        return None
    models = [_Mixture(logits, given, uneven=False)]
    if logits.shape[1] <= MOST_UNEVEN:
        models.append(_Mixture(logits, given, uneven=True))
    points = [model.ends(groups) for model in models]
    chances = np.array(
        [
            [model.wrong(point) for point in three]
            for model, three in zip(models, points, strict=True)
        ]
    )
    best, low, high = chances.swapaxes(0, 1)
    low, high = low[low.mean(axis=1).argmin()], high[high.mean(axis=1).argmax()]
    value, least, most = _share(best.mean(axis=0), low, high)
    stands_out = all(three[1][0] > 0 for three in points)
    return Noise(value, least if stands_out else 0.0, most, best.mean(axis=0), low, high)


def _share(best: Floats, low: Floats, high: Floats) -> tuple[float, float, float]:
    """The share of rows that are so by these chances, and its interval.

    How well the chances are known, and which rows are so by them, add up as variances do; four rows
    more of which nothing is known keep chances of 0 and 1 from claiming certainty.
    """
    value, ends = float(best.mean()), []
    for chances, side in ((low, -1), (high, 1)):
        spread = normal(LEVEL) ** 2 * (float((chances * (1 - chances)).sum()) + 1.0)
        spread /= len(best) ** 2
        ends.append(value + side * math.sqrt(spread + (float(chances.mean()) - value) ** 2))
    return value, max(ends[0], 0.0), min(ends[1], 1.0)


@dataclass(frozen=True)
class _Parts:
    """What the likelihood at a point is made of."""

    slope: Floats
    """Of each row's logits."""
    true: Floats
    """Probabilities of the true labels, shape (rows, labels)."""
    weights: Floats
    """Of each wrong label for each true one, shape (labels, labels): together 1 a row, on average,
    and 0 where no more can be wrong."""
    wrong: Floats
    """The probability of each wrong label for each true one, of the same shape."""
    emitted: Floats
    """The chance of the label given, were each label the true one, shape (rows, labels)."""
    chance: Floats
    """That of the label given."""


class _Mixture:
    """The likelihood of the labels by share of wrong ones and calibration.

    A point is a vector: share, logarithm of the slope, power, biases, unevenness of wrong labels.
    """

    def __init__(self, logits: Floats, given: Integers, *, uneven: bool) -> None:
        self.rows, self.labels = logits.shape
        centered = logits - logits.mean(axis=1, keepdims=True)
        ordered = np.sort(centered, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        scale = float(np.median(margin)) or 1.0
        self.logits = centered / scale
        self.log_margin = np.log(np.maximum(margin / scale, 1e-3))
        self.given = given
        self.own = np.zeros(logits.shape)
        self.own[np.arange(self.rows), given] = 1.0
        self.shares = self.own.mean(axis=0)
        self.others = (1 - np.eye(self.labels)) / (self.labels - 1)
        self.precision = np.array(
            [0.0, 0.0, BENT**-2, *[BIAS**-2] * self.labels, *[UNEVEN**-2] * self.labels**2]
        )
        self.bounds = [
            (0.0, MOST), (-4.0, 6.0), POWERS,
            *[(-10.0, 10.0)] * self.labels,
            *[(-3.0, 3.0) if uneven else (0.0, 0.0)] * self.labels**2,
        ]  # fmt: skip
        self.start = np.zeros(len(self.bounds))
        self.start[2] = 1.0

    def _parts(self, point: Floats) -> _Parts:
        biases = point[3 : 3 + self.labels]
        uneven = point[3 + self.labels :].reshape(self.labels, self.labels)
        slope = np.exp(point[1] + (point[2] - 1) * self.log_margin)
        true = softmax(self.logits * slope[:, None] + biases, axis=1)
        weights = np.exp(uneven) * self.others
        weights /= float(self.shares @ weights.sum(axis=1))
        wrong = point[0] * weights
        too_many = np.maximum(wrong.sum(axis=1, keepdims=True) / MOST_OF_A_LABEL, 1.0)
        wrong, weights = wrong / too_many, weights * (too_many <= 1)
        emitted = (wrong + np.diag(1 - wrong.sum(axis=1))).T[self.given]
        chance = np.maximum((true * emitted).sum(axis=1), 1e-300)
        return _Parts(slope, true, weights, wrong, emitted, chance)

    def value(self, point: Floats) -> float:
        """The penalized logarithm of the likelihood."""
        return float(np.log(self._parts(point).chance).sum()) - self._penalty(point)

    def _penalty(self, point: Floats) -> float:
        return float((self.precision * (point - self.start) ** 2).sum()) / 2

    def gradients(self, parts: _Parts) -> Floats:
        """Of each row's likelihood, shape (rows, numbers of a point but for the unevenness)."""
        relative = parts.true / parts.chance[:, None]
        by_score = relative * (parts.emitted - parts.chance[:, None])
        by_slope = (by_score * self.logits).sum(axis=1) * parts.slope
        by_share = parts.weights.T[self.given] - self.own * parts.weights.sum(axis=1)
        by_share = (relative * by_share).sum(axis=1)
        return np.column_stack((by_share, by_slope, by_slope * self.log_margin, by_score))

    def by_unevenness(self, parts: _Parts) -> Floats:
        """The gradient of all rows' likelihood by the unevenness."""
        gained = (parts.true / parts.chance[:, None]).T @ self.own
        gained = (gained - np.diag(gained)[:, None]) * (parts.weights > 0)
        moved = gained * parts.wrong
        return np.ravel(moved - moved.sum() * self.shares[:, None] * parts.weights)

    def fit(self, share: float | None, start: Floats | None = None) -> Floats:
        """The likeliest point, of this share where one is given."""
        begin = (self.start if start is None else start).copy()
        bounds = list(self.bounds)
        if share is None:
            begin[0] = max(begin[0], 0.01)
        else:
            begin[0], bounds[0] = share, (share, share)

        def loss(point: Floats) -> tuple[float, Floats]:
            parts = self._parts(point)
            value = float(np.log(parts.chance).sum()) - self._penalty(point)
            slopes = self.precision * (point - self.start)
            risen = (self.gradients(parts).sum(axis=0), self.by_unevenness(parts))
            return -value, slopes - np.concatenate(risen)

        found: Any = load("scipy.optimize").minimize(
            loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=PATIENCE
        )
        return np.asarray(found.x)

    def ends(self, groups: Groups | None) -> tuple[Floats, Floats, Floats]:
        """The likeliest point, and those at the ends of the share's interval."""
        none = self.fit(0.0)
        best = max((self.fit(None, start) for start in (none, self.fit(0.1))), key=self.value)
        best = none if self.value(none) >= self.value(best) else best
        drop = float(chdtri(1, 1 - LEVEL)) / 2 * self.design_effect(best, groups)
        return best, self.end(best, 0.0, drop), self.end(best, MOST, drop)

    def end(self, best: Floats, limit: float, drop: float) -> Floats:
        """The point of the share towards `limit` at which the likelihood has fallen by `drop`."""
        highest, found = self.value(best), dict[float, Floats]()

        def excess(share: float) -> float:
            if share not in found:
                nearest = min((best, *found.values()), key=lambda point: abs(point[0] - share))
                found[share] = self.fit(share, nearest)
            fallen = highest - self.value(found[share])
            return math.sqrt(max(fallen, 0.0)) - math.sqrt(drop)

        if best[0] == limit or excess(limit) <= 0:
            return found.get(limit, best)
        root = load("scipy.optimize").brentq(excess, best[0], limit, xtol=5e-4, rtol=1e-2)
        return found[root] if root in found else self.fit(root, best)

    def design_effect(self, best: Floats, groups: Groups | None) -> float:
        """How many times the share varies more than if the rows of a group were independent."""
        if groups is None:
            return 1.0
        slopes = self.gradients(self._parts(best))
        slopes -= slopes.mean(axis=0)
        inner = slopes.T @ slopes + np.diag(self.precision[: slopes.shape[1]] + 1e-6)
        direction = np.linalg.solve(inner, np.eye(len(inner))[0])
        summed = by_group(slopes, groups) @ direction
        alone = float(((slopes @ direction) ** 2).sum())
        return max(1.0, float((summed**2).sum()) / alone) if alone > 0 else 1.0

    def wrong(self, point: Floats) -> Floats:
        """How probably each row's label is wrong: Bayes' rule on what the labels could be."""
        parts = self._parts(point)
        right = (parts.true * parts.emitted * self.own).sum(axis=1)
        return np.asarray(1 - right / parts.chance)
