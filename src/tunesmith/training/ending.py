"""How training ended: after its last step or early, and which step's weights the adapter has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Ending:
    """Where training ended, and the best evaluation, where one was looked for."""

    step: int
    """The last step that was made."""
    planned: int
    """The steps that would have been made."""
    kept: int
    """The step whose weights the adapter has."""
    keeps_best: bool = False
    """`training.load_best_model_at_end`."""
    patience: int | None = None
    """`training.early_stopping_patience`, where it is set."""
    metric: str | None = None
    """What says which evaluation was the best; None where the best was not looked for."""
    best_step: int | None = None
    best_value: float | None = None

    @property
    def stopped_early(self) -> bool:
        """Whether steps were left out because evaluations got no better."""
        return self.step < self.planned

    def notes(self) -> list[str]:
        """What people should know of it; nothing where no best evaluation was looked for."""
        notes = []
        if self.stopped_early:
            notes.append(
                f"training.early_stopping_patience: {self.patience} ended training at step "
                f"{self.step} of {self.planned}: {self.metric} was no longer getting better"
            )
        if self.best_step is None or self.best_value is None:
            return notes
        best = f"{self.metric} {self.best_value:.4f}"
        if self.keeps_best and self.kept == self.step:
            notes.append(
                f"the adapter is that of the last step, {self.step}: the best checkpoint ({best})"
            )
        elif self.keeps_best:
            notes.append(
                f"the adapter is that of step {self.kept}, the best checkpoint ({best}), and not "
                f"that of the last step, {self.step}"
            )
        elif self.best_step != self.step:
            notes.append(
                f"the adapter is that of the last step, {self.step}; step {self.best_step} was "
                f"better ({best}): training.load_best_model_at_end: true keeps the best"
            )
        return notes

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        return {
            **asdict(self),
            "stopped_early": self.stopped_early,
            "notes": self.notes(),
        }
