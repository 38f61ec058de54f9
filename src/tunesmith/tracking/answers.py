"""The answers of an experiment to its evaluation rows, and whether its score follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.significance import ratio


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one experiment to its evaluation rows, in the rows' order: shape (rows,)."""

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

    @property
    def score(self) -> float:
        """The main metric of all rows."""
        return float(self.correct.mean()) if self.parts is None else ratio(*self.parts.T)


def adds_up(experiment: Experiment, answers: Answers) -> bool:
    """Whether the recorded score is what its rows give: the share of right answers, or a ratio."""
    if experiment.score is None or not len(answers.correct):
        return False
    return math.isclose(answers.score, experiment.score, rel_tol=1e-6, abs_tol=1e-9)
