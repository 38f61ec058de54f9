"""Likely label errors: held-out rows whose label the trained classifier contradicts.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70). The method needs predictions for
rows that were not trained on: the held-out rows, or all rows, each left out of a training in turn.
How many labels are wrong in all, and how many of those listed, `label_noise` estimates: the share
that confident learning gives follows the model's own mistakes, and says as much of clean data.
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

from tunesmith.messages import Message, say
from tunesmith.statistics.intervals import group_numbers
from tunesmith.statistics.label_noise import estimate_noise
from tunesmith.tasks.results import Prediction
from tunesmith.values import no_formula, shortened

METHOD = "confident learning (Northcutt, Jiang and Chuang 2021)"
CAVEAT = say(
    "Judged by the model's own answers for rows that it was not trained on: one that it "
    "has not learned, or that nobody can label for sure, looks wrong too. Look at each row before "
    "changing it."
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
    chance_wrong: float | None = None
    """How probably the label is wrong, 0 to 1; None where too few rows were judged."""


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated share, 0 to 1, and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelErrors:
    """What confident learning found among the rows it judged, the surest first."""

    rows_judged: int
    found: tuple[LabelError, ...]
    wrong: Share | None = None
    """The share of wrong labels among the rows judged; None where those are too few."""
    precision: Share | None = None
    """The share of wrong labels among the rows found; None where those are none."""

    @property
    def conclusion(self) -> Message:
        """What it comes to, in a sentence."""
        wrong, listed = self.wrong, self.precision
        if wrong is None:
            return say("Too few rows were judged to estimate how many labels are wrong.")
        if wrong.low <= 0:
            return say(
                "None stands out: what the model contradicts may all be its own mistakes. At most "
                "{high:.1%} of the labels are wrong (95 % interval from 0).",
                high=wrong.high,
            )
        every = {"share": wrong.value, "low": wrong.low, "high": wrong.high}
        if listed is None:
            return say(
                "About {share:.1%} of the labels are wrong (95 % interval {low:.1%} to "
                "{high:.1%}).",
                **every,
            )
        return say(
            "About {share:.1%} of the labels are wrong (95 % interval {low:.1%} to {high:.1%}), "
            "and {listed:.0%} of those listed ({least:.0%} to {most:.0%}).",
            **every,
            listed=listed.value,
            least=listed.low,
            most=listed.high,
        )

    def to_json(self, limit: int = LISTED) -> dict[str, Any]:
        """As `metrics.json` holds it: the first `limit` rows, their texts shortened."""
        return {
            "method": METHOD,
            "caveat": CAVEAT,
            "conclusion": self.conclusion,
            "rows_judged": self.rows_judged,
            "wrong_share": _rounded(self.wrong),
            "precision": _rounded(self.precision),
            "found": len(self.found),
            "rows": [
                (_rounded(error) or {}) | {"text": shortened(error.text, SHOWN_CHARACTERS)}
                for error in self.found[:limit]
            ],
        }

    def to_csv(self) -> str:
        """All rows as CSV; `confidence` is the probability of the suggested label."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            ["row", "label", "suggested", "confidence", "margin", "chance_wrong", "text"]
        )
        for error in self.found:
            confidence, margin = f"{error.suggested_probability:.4f}", f"{error.margin:.4f}"
            chance = "" if error.chance_wrong is None else f"{error.chance_wrong:.4f}"
            writer.writerow(
                [
                    error.row, no_formula(error.label), no_formula(error.suggested),
                    confidence, margin, chance, no_formula(error.text),
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
    it doesn't contradict them.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    if len(labels) < 2 or not predictions:
        return None
    for prediction in predictions:
        known = isinstance(prediction.expected, str) and prediction.expected in numbers
        if not known or len(prediction.scores) != len(labels):
            return None
    given = np.array([numbers[prediction.expected] for prediction in predictions])
    logits = np.array([prediction.scores for prediction in predictions])
    groups = [prediction.group for prediction in predictions]
    noise = estimate_noise(logits, given, group_numbers(groups) if any(groups) else None)
    chances = softmax(logits, axis=1)
    counted = _counted_as(chances, given)
    margins = _margins(chances, given)
    suspects = np.flatnonzero((counted >= 0) & (counted != given) & (margins < 0))
    order = suspects[np.argsort(margins[suspects], kind="stable")]
    listed = noise and noise.precision(order)
    return LabelErrors(
        rows_judged=len(predictions),
        wrong=Share(noise.share, noise.low, noise.high) if noise else None,
        precision=Share(*listed) if listed else None,
        found=tuple(
            LabelError(
                row=predictions[i].row,
                text=predictions[i].text,
                label=labels[given[i]],
                suggested=labels[counted[i]],
                label_probability=float(chances[i, given[i]]),
                suggested_probability=float(chances[i, counted[i]]),
                margin=float(margins[i]),
                chance_wrong=float(noise.chances[i]) if noise else None,
            )
            for i in order.tolist()
        ),
    )


def _rounded(values: LabelError | Share | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(values).items()
    }


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
