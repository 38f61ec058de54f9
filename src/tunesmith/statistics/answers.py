"""What experiments are compared by: how each did on every row that judged it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.statistics.intervals import Groups
from tunesmith.statistics.significance import ratio


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """How one experiment did on each of its evaluation rows, in their order: shape (rows,)."""

    rows: npt.NDArray[np.int64]
    """Number of each row in its source, from 1."""
    expected: npt.NDArray[np.uint64]
    """A digest of each expected answer."""
    correct: npt.NDArray[np.bool_]
    parts: npt.NDArray[np.float64] | None = None
    """What each row adds to the main metric's numerator and denominator, shape (rows, 2); None
    where the metric is the share of rows that are correct."""
    bounded: bool = True
    """Whether each of them adds from nothing to its weight; else they explain a variance."""
    groups: Groups | None = None
    """The number of the group that each was drawn with; None: each by itself."""

    @property
    def summed(self) -> npt.NDArray[np.float64]:
        """`parts`, also where the metric is the share of rows that are correct."""
        if self.parts is not None:
            return self.parts
        return np.column_stack((self.correct.astype(float), np.ones(len(self.correct))))

    @property
    def score(self) -> float:
        """The main metric of all rows."""
        return float(self.correct.mean()) if self.parts is None else ratio(*self.parts.T)
