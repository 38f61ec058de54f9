"""Tasks that give each label a probability: how their scores become that, the one place for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from tunesmith.tasks.parts.labels import LabelTask

if TYPE_CHECKING:
    import torch


class CalibratedTask(LabelTask):
    """A task whose logits are divided by a temperature before they are probabilities.

    That changes no answer. It is fitted after training, and saved with the adapter.
    """

    several: bool = False
    """Whether a row may have several labels, each with a probability by itself."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.temperature = 1.0

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "temperature": self.temperature}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.temperature = float(facts.get("temperature", 1.0))

    def of_base(self, settings: Mapping[str, Any], fresh: Sequence[str]) -> Self | None:
        """The temperature is the adapter's, and none of the base model's."""
        if (found := super().of_base(settings, fresh)) is None:
            return None
        own = self._with(found.labels)
        own.temperature = 1.0
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

    def calibrating_code(self) -> str:
        """Lines of Python after which the probabilities of a loaded `model` are calibrated."""
        if self.temperature == 1.0:
            return ""
        return f"""
def calibrated(module, given, output):
    output.logits /= {self.temperature}  # the temperature of its probabilities

model.register_forward_hook(calibrated)
"""
