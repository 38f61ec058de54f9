"""How one number is distributed over rows: quantiles, and a histogram with round borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

QUANTILES = (1, 5, 25, 50, 75, 95, 99)
_BINS = 20


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values counted in bins of one width; the first bin begins at a multiple of it."""

    edges: list[int]
    """Borders of the bins, one more than `counts`; a bin holds its lower border."""
    counts: list[int]
    above: int
    """Values beyond the last border: the few longest, which would squeeze the rest together."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one number, such as a text's length, is distributed over rows."""

    rows: int
    min: int
    max: int
    mean: float
    quantiles: dict[int, int]
    """Percent → the smallest value that so many percent of the rows don't exceed."""
    histogram: Histogram
    limit: int | None = None
    over_limit: float | None = None
    """Share of rows above `limit`, 0 to 1; None where there is no limit."""


def distribution(values: Integers, limit: int | None = None) -> Distribution | None:
    """The distribution of `values` (integers, one a row); None where there are none."""
    if not len(values):
        return None
    quantiles = np.percentile(values, QUANTILES, method="inverted_cdf")
    return Distribution(
        rows=len(values),
        min=int(values.min()),
        max=int(values.max()),
        mean=round(float(values.mean()), 2),
        quantiles={q: int(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        histogram=_histogram(values),
        limit=limit,
        over_limit=None if limit is None else float((values > limit).mean()),
    )


def _histogram(values: Integers) -> Histogram:
    """Up to some 20 bins of 1, 2 or 5 times a power of ten; the longest 2 % may lie above."""
    low = int(values.min())
    high = int(np.percentile(values, 98, method="inverted_cdf"))
    steps = (factor * 10**power for power in range(18) for factor in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= _BINS)
    first, last = low // step, high // step + 1
    places = np.minimum(values // step, last) - first
    counts = np.bincount(places, minlength=last - first + 1).tolist()
    edges = [number * step for number in range(first, last + 1)]
    return Histogram(edges, counts[:-1], counts[-1])
