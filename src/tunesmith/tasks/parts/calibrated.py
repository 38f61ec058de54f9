"""Tasks that give each label a probability: how their scores become that, the one place for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from tunesmith.tasks.options import TaskOptions
from tunesmith.tasks.parts.labels import LabelTask
from tunesmith.tasks.results import UNSURE, Answer

if TYPE_CHECKING:
    import torch


NEVER = 2.0
"""A confidence that no answer has."""


class CalibratedOptions(TaskOptions):
    """Options of tasks that can say that they are not sure."""

    selective_accuracy: float | None = Field(
        None, gt=0.0, lt=1.0,
        description="Answer only what is sure enough for at least this share of the answers to be "
        "right; null: answer everything.",
    )  # fmt: skip
    selective_certainty: float = Field(
        0.95, ge=0.5, lt=1.0,
        description="How certain selective_accuracy must be, over the choice of validation rows.",
    )  # fmt: skip


class CalibratedTask(LabelTask):
    """A task whose logits are divided by a temperature before they are probabilities.

    That changes no answer. It is fitted after training, as is the confidence from which on an
    answer is given, and both are saved with the adapter.
    """

    options: CalibratedOptions
    several: bool = False
    """Whether a row may have several labels, each with its own probability."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.temperature = 1.0
        self.sure_from = 0.0
        """The least confidence of an answer that is given; NEVER: none is."""

    def facts(self) -> dict[str, Any]:
        known = {"temperature": self.temperature, "sure_from": self.sure_from}
        return {**super().facts(), **known}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.temperature = float(facts.get("temperature", 1.0))
        self.sure_from = float(facts.get("sure_from", 0.0))

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Self | None:
        """Temperature and confidence are the adapter's, and none of the base model's."""
        if (found := super().of_base(settings, fresh)) is None:
            return None
        own = self._with(found.labels)
        own.temperature, own.sure_from = 1.0, 0.0
        return own

    def chances(self, logits: torch.Tensor, temperature: float | None = None) -> list[list[float]]:
        """Probability of each label, (rows, labels); by another `temperature` where given."""
        scaled = logits / (temperature or self.temperature)
        found: list[list[float]] = (
            scaled.sigmoid() if self.several else scaled.softmax(dim=1)
        ).tolist()
        return found

    def confidence(self, chances: Sequence[float]) -> float:
        """How sure the answer is: of several labels, the least sure one."""
        return min(max(p, 1 - p) for p in chances) if self.several else max(chances)

    def chosen(self, scores: Sequence[float]) -> Any:
        """The label with the highest of its logits; of several all that are likelier than not."""
        if self.several:
            return [label for label, score in zip(self.labels, scores, strict=True) if score > 0]
        return self.labels[max(range(len(scores)), key=scores.__getitem__)]

    def said(self, scores: Sequence[float], chances: Sequence[float]) -> Answer:
        """The answer of these logits and probabilities, marked where it is not sure enough."""
        reason = UNSURE if self.confidence(chances) < self.sure_from else None
        likely = dict(zip(self.labels, chances, strict=True))
        return Answer(self.chosen(scores), likely, reason=reason)

    def calibrating_code(self) -> str:
        """Lines of Python after which the probabilities of a loaded `model` are calibrated."""
        if self.temperature == 1.0:
            return ""
        return f"""
def calibrated(module, given, output):
    output.logits /= {self.temperature}  # the temperature of its probabilities

model.register_forward_hook(calibrated)
"""
