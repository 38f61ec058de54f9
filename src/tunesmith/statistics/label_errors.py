"""Likely label errors: held-out rows whose label the trained classifier contradicts.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70). The method needs predictions for
rows that were not trained on; the held-out rows are such rows, so they are the ones judged.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from tunesmith.messages import say
from tunesmith.tasks.results import Prediction
from tunesmith.values import no_formula, shortened

METHOD = "confident learning (Northcutt, Jiang and Chuang 2021)"
CAVEAT = say(
    "Judged by the model's own answers for the held-out rows: one that it "
    "has not learned looks wrong too. Look at each row before changing it."
)
LISTED = 20
"""Rows in `metrics.json`; the file holds all."""
SHOWN_CHARACTERS = 200

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelError:
    """One held-out row whose label is probably wrong."""

    row: int
    """1-based number of the row in its source."""
    text: str
    label: str
    """The label in the data."""
    suggested: str
    """The label that the model gives it."""
    label_probability: float
    """Probability the model gives to `label`, 0 to 1."""
    suggested_probability: float
    margin: float
    """Probability of the label less that of the likeliest other: -1 (surely wrong) to 0."""


@dataclass(frozen=True)
class LabelErrors:
    """What confident learning found among the rows it judged, the surest first."""

    rows_judged: int
    found: tuple[LabelError, ...]

    def to_json(self, limit: int = LISTED) -> dict[str, Any]:
        """As `metrics.json` holds it: the first `limit` rows, their texts shortened."""
        return {
            "method": METHOD,
            "caveat": CAVEAT,
            "rows_judged": self.rows_judged,
            "found": len(self.found),
            "rows": [
                {
                    name: round(value, 4) if isinstance(value, float) else value
                    for name, value in asdict(error).items()
                }
                | {"text": shortened(error.text, SHOWN_CHARACTERS)}
                for error in self.found[:limit]
            ],
        }

    def to_csv(self) -> str:
        """All rows as CSV; `confidence` is the probability of the suggested label."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "label", "suggested", "confidence", "margin", "text"])
        for error in self.found:
            confidence, margin = f"{error.suggested_probability:.4f}", f"{error.margin:.4f}"
            writer.writerow(
                [
                    error.row, no_formula(error.label), no_formula(error.suggested),
                    confidence, margin, no_formula(error.text),
                ]
            )  # fmt: skip
        return text.getvalue()


def find_label_errors(
    predictions: Sequence[Prediction], labels: Sequence[str]
) -> LabelErrors | None:
    """The rows of `predictions` whose label is probably wrong; None where that can't be judged.

    `predictions` are of rows that were not trained on, with one logit per label of `labels` as
    `scores`: single-label classification. For anything else the answer is None.

    A row counts as label j when the model gives j at least the probability that it gives, on
    average, to rows labelled j (the likeliest such j). Rows that count as another label than theirs
    are the suspects, but for those whose own label the model still finds likelier than the other:
    it doesn't contradict them. How many labels are wrong in all is not estimated: such a number
    follows the model's own error rate, and says as much of clean data.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    if len(labels) < 2 or not predictions:
        return None
    for prediction in predictions:
        known = isinstance(prediction.expected, str) and prediction.expected in numbers
        if not known or len(prediction.scores) != len(labels):
            return None
    given = np.array([numbers[prediction.expected] for prediction in predictions])
    chances = softmax(np.array([prediction.scores for prediction in predictions]), axis=1)
    counted = _counted_as(chances, given)
    margins = _margins(chances, given)
    suspects = np.flatnonzero((counted >= 0) & (counted != given) & (margins < 0))
    order = suspects[np.argsort(margins[suspects], kind="stable")]
    return LabelErrors(
        rows_judged=len(predictions),
        found=tuple(
            LabelError(
                row=predictions[i].row,
                text=predictions[i].text,
                label=labels[given[i]],
                suggested=labels[counted[i]],
                label_probability=float(chances[i, given[i]]),
                suggested_probability=float(chances[i, counted[i]]),
                margin=float(margins[i]),
            )
            for i in order.tolist()
        ),
    )


def _counted_as(chances: _Floats, given: _Integers) -> _Integers:
    """The label that each row counts as; -1 where no probability reaches its label's threshold.

    `chances`: shape (rows, labels). A label that no row has, has no threshold to reach.
    """
    thresholds = np.array(
        [
            chances[given == label, label].mean() if (given == label).any() else np.inf
            for label in range(chances.shape[1])
        ]
    )
    reached = np.where(chances >= thresholds, chances, -1.0)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def _margins(chances: _Floats, given: _Integers) -> _Floats:
    """Each row's probability of its label less that of the likeliest other label."""
    rows = np.arange(len(given))
    others = chances.copy()
    others[rows, given] = -1.0
    return np.asarray(chances[rows, given] - others.max(axis=1))
