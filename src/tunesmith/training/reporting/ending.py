"""How training ended: after its last step or early, and which step's weights the adapter has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.messages import say


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
    evaluations: int = 1
    """Those that the kept one was, or could have been, the best of."""

    @property
    def stopped_early(self) -> bool:
        """Whether steps were left out because evaluations got no better."""
        return self.step < self.planned

    def notes(self) -> Iterator[str]:
        """What people should know of it; nothing where no best evaluation was looked for."""
        if self.stopped_early:
            yield say(
                "training.early_stopping_patience: {n} ended training at step {step} of "
                "{steps}: {metric} was no longer getting better",
                n=self.patience,
                step=self.step,
                steps=self.planned,
                metric=self.metric,
            )
        if self.best_step is None or self.best_value is None:
            return
        best = say("{metric} {best_value:.4f}", metric=self.metric, best_value=self.best_value)
        if self.keeps_best and self.kept == self.step:
            yield say(
                "the adapter is that of the last step, {step}: the best checkpoint ({best})",
                step=self.step,
                best=best,
            )
        elif self.keeps_best:
            yield say(
                "the adapter is that of step {kept}, the best checkpoint ({best}), and "
                "not that of the last step, {step}",
                kept=self.kept,
                best=best,
                step=self.step,
            )
        elif self.best_step != self.step:
            yield say(
                "the adapter is that of the last step, {step}; step {best_step} was "
                "better ({best}): training.load_best_model_at_end: true keeps the best",
                step=self.step,
                best_step=self.best_step,
                best=best,
            )

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        notes = list(self.notes())
        return {**asdict(self), "stopped_early": self.stopped_early, "notes": notes}
