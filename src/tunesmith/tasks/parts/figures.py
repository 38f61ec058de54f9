"""Figures for each label, which stay small however many labels there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.messages import say, say_plural
from tunesmith.schemas.metrics import most_confused

MOST_LABELS = 100
"""Labels whose figures are kept: those of the most rows."""

MOST_IN_MATRIX = 50
"""Labels up to which every cell of the confusion matrix is kept."""

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
    found: dict[str, Any] = {"confusions": most_confused(cells)}
    if len(labels) <= MOST_IN_MATRIX:
        found["confusion_matrix"] = {
            "labels": list(labels),
            "rows_expected_columns_predicted": [
                [cells[expected, predicted] for predicted in labels] for expected in labels
            ],
        }
    return found


def labels_without_rows(details: Mapping[str, Any], *, entities: bool = False) -> list[str]:
    """What must be said of one label, or several, that no row was judged by; none without one."""
    absent = details.get("labels_without_rows")
    if not absent:
        return []
    shown, count = list(map(repr, absent["first"])), absent["count"]
    names = say("{names}", names=shown)
    if more := count - len(shown):
        names = say("{names} and {n:,} more", names=shown, n=more)
    if entities:
        return [
            say_plural(
                "no held-out row has the entity {names}: the score says nothing about it",
                "no held-out row has the entities {names}: the score says nothing about them",
                n=count, names=names,
            )
        ]  # fmt: skip
    return [
        say_plural(
            "no held-out row has the label {names}: the score says nothing about it",
            "no held-out row has the labels {names}: the score says nothing about them",
            n=count, names=names,
        )
    ]  # fmt: skip
