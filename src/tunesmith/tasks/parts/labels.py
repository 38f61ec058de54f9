"""What tasks share that answer with labels: their names and order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from tunesmith.tasks.base import Task
from tunesmith.tasks.parts.label_texts import certain_key, clean
from tunesmith.values import canonical

MOST_NAMES = 10_000
"""Texts whose label is remembered."""


class LabelTask(Task):
    """A task whose model has an output for each of its labels."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.labels: list[str] = []
        """By the number of their output."""
        self._names: dict[str, str] = {}
        """Text → the label that it stands for, as far as it was asked."""

    def facts(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.labels = list(facts["labels"])

    def resolved(self) -> dict[str, Any]:
        return {**super().resolved(), "labels": list(self.labels)}

    def model_arguments(self) -> dict[str, Any]:
        return {
            **super().model_arguments(),
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Self | None:
        if fresh:
            return None
        own = self._with(_in_order_of_outputs(settings.get("id2label") or {}))
        return own if len(own.labels) == len(self.labels) else self

    def with_labels_of(self, names: Mapping[str, Any]) -> Self | None:
        """Capitals don't matter in `names`."""
        known = {label.casefold(): label for label in self.labels}
        theirs = [name.casefold() for name in _in_order_of_outputs(names)]
        if len(known) < len(self.labels) or sorted(theirs) != sorted(known):
            return None
        found = [known[name] for name in theirs]
        return None if found == self.labels else self._with(found)

    def _named(self, value: Any) -> str:
        """The label that `value` stands for, as the options or the data trained on write it."""
        text = canonical(value)
        if text not in self._names:
            label, known = clean(text), self.labels or self.labels_wanted() or ()
            if label not in known:
                same = (name for name in known if certain_key(name) == certain_key(label))
                label = next(same, label)
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names[text] = label
        return self._names[text]

    def _with(self, labels: list[str]) -> Self:
        own = self.fresh()
        own.restore({**self.facts(), "labels": labels})
        return own


def _in_order_of_outputs(names: Mapping[str, Any]) -> list[str]:
    """The labels in a model's `id2label`."""
    return [str(names[number]) for number in sorted(names, key=int)]


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels by number where all are numbers, else by name."""
    by_name = sorted(labels)
    try:
        numbers = [float(label) for label in by_name]
    except ValueError:
        return by_name
    if any(map(math.isnan, numbers)):
        return by_name
    return [label for _, label in sorted(zip(numbers, by_name, strict=True))]
