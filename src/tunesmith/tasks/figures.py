"""Figures for each label, which stay small however many labels there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_LABELS = 100
"""Labels whose figures are kept: those of the most rows."""

MOST_IN_MATRIX = 50
"""Labels up to which every cell of the confusion matrix is kept."""

MOST_CONFUSED = 100
"""Pairs of expected and predicted label that are kept: the most frequent mistakes."""

NAMED = 5
"""Labels that a sentence names."""


@dataclass
class Counts:
    """How often each label was expected, predicted, and both."""

    expected: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)
    both: Counter[str] = field(default_factory=Counter)

    def add(self, expected: Iterable[Hashable], predicted: Iterable[Hashable]) -> None:
        """Count what one row has: labels, or entities as tuples that begin with their label."""
        right, said = set(expected), set(predicted)
        for counter, found in (
            (self.expected, right), (self.predicted, said), (self.both, right & said)
        ):  # fmt: skip
            counter.update(one[0] if isinstance(one, tuple) else str(one) for one in found)

    def figures(self, label: str) -> dict[str, float]:
        """Precision, recall, F1 and support of one label; 0 where a denominator is 0."""
        return _figures(self.expected[label], self.predicted[label], self.both[label])

    def together(self) -> dict[str, float]:
        """The same of all labels as one."""
        return _figures(self.expected.total(), self.predicted.total(), self.both.total())

    def occurring(self, labels: Iterable[str]) -> list[str]:
        """Those of `labels` that were expected or predicted: of others nothing was measured."""
        return [label for label in labels if self.expected[label] or self.predicted[label]]

    def macro(self, labels: Iterable[str]) -> float:
        """Mean F1 of the labels that were expected or predicted, as scikit-learn averages them.

        https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html, `labels`.
        """
        there = self.occurring(labels)
        return sum(self.figures(label)["f1"] for label in there) / max(len(there), 1)

    def details(self, labels: Sequence[str]) -> dict[str, Any]:
        """Figures of the labels that occur, in their order; of too many those with the most rows.

        Says how many were left out, and which labels no row had.
        """
        there = self.occurring(labels)
        kept = set(sorted(there, key=lambda one: (-self.expected[one], one))[:MOST_LABELS])
        found: dict[str, Any] = {
            "per_class": {label: self.figures(label) for label in there if label in kept}
        }
        if left_out := len(there) - len(kept):
            found["per_class_left_out"] = left_out
        absent = [label for label in labels if not self.expected[label]]
        if absent:
            found["labels_without_rows"] = {"count": len(absent), "first": absent[:NAMED]}
        return found


def _figures(expected: int, predicted: int, both: int) -> dict[str, float]:
    return {
        "precision": both / predicted if predicted else 0.0,
        "recall": both / expected if expected else 0.0,
        "f1": 2 * both / (expected + predicted) if expected + predicted else 0.0,
        "support": expected,
    }


def confusion(pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> dict[str, Any]:
    """What was taken for what: `pairs` of expected and predicted label, one a row.

    The whole matrix where there are few labels; of any number the most frequent mistakes.
    """
    cells = Counter(pairs)
    mistakes = sorted(
        ((-rows, pair) for pair, rows in cells.items() if pair[0] != pair[1]),
    )
    found: dict[str, Any] = {
        "confusions": {
            "pairs": [
                {"expected": pair[0], "predicted": pair[1], "rows": -rows}
                for rows, pair in mistakes[:MOST_CONFUSED]
            ],
            "left_out": max(len(mistakes) - MOST_CONFUSED, 0),
        }
    }
    if len(labels) <= MOST_IN_MATRIX:
        found["confusion_matrix"] = {
            "labels": list(labels),
            "rows_expected_columns_predicted": [
                [cells[expected, predicted] for predicted in labels] for expected in labels
            ],
        }
    return found


def confusions_of(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The most frequent mistakes in recorded `metrics`: `pairs`, and how many are `left_out`.

    Early versions recorded the matrix alone. Without either there are none.
    """
    if "confusions" in metrics:
        found: Mapping[str, Any] = metrics["confusions"]
        return found
    matrix = metrics.get("confusion_matrix") or {"labels": []}
    labels = [str(label) for label in matrix["labels"]]
    cells = matrix.get("rows_expected_columns_predicted") or []
    pairs = [
        (expected, predicted)
        for expected, counts in zip(labels, cells, strict=False)
        for predicted, count in zip(labels, counts, strict=True)
        for _ in range(count)
    ]
    known: Mapping[str, Any] = confusion(pairs, labels)["confusions"]
    return known


LABELS = (
    "no held-out row has the label {names}: the score says nothing about it",
    "no held-out row has the labels {names}: the score says nothing about them",
)
ENTITIES = (
    "no held-out row has the entity {names}: the score says nothing about it",
    "no held-out row has the entities {names}: the score says nothing about them",
)


def without_rows(details: Mapping[str, Any], said: tuple[str, str]) -> list[str]:
    """What must be said of one label, or several, that no row was judged by; none without one."""
    absent = details.get("labels_without_rows")
    if not absent:
        return []
    names = ", ".join(map(repr, absent["first"]))
    if more := absent["count"] - len(absent["first"]):
        names += f" and {more:,} more"
    return [said[absent["count"] > 1].format(names=names)]
