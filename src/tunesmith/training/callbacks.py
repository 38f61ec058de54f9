"""What the trainer tells the reporter while it runs, and how it is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith.training.group import Group
from tunesmith.training.monitor import Part, PerformanceMonitor, Usage, is_due
from tunesmith.training.reporter import Reporter


@dataclass
class Progress:
    """What must outlive an interruption so that a resumed training ends with the same numbers."""

    loss_sum: float = 0.0
    """Sum of the losses of all steps so far."""
    steps: int = 0
    """Steps whose loss is in the sum."""
    epoch: float = 0.0
    """Passes over the data so far."""
    samples: int = 0
    """Examples gone through so far; one row may give several."""
    tokens: int = 0
    """Tokens gone through so far, padding left out."""
    seconds: float = 0.0
    """Training time so far."""
    usage: Usage = field(default_factory=Usage)
    """What it took of the machine so far."""
    first_step: float | None = None
    """Seconds from the start of the process to the end of the first step."""
    rows_at_once: int | None = None
    """Rows of a batch that are computed at once, where not all of them fit into memory."""

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Progress:
        """What `dataclasses.asdict` made of one; in early versions it had no `usage`."""
        return cls(**{**saved, "usage": Usage.from_json(saved.get("usage", asdict(Usage())))})

    @property
    def mean_loss(self) -> float | None:
        """Mean loss of all steps so far."""
        return self.loss_sum / self.steps if self.steps else None


class Report(TrainerCallback):
    """Passes losses and steps to the reporter, and the reporter's wish to stop to the trainer."""

    def __init__(
        self, reporter: Reporter, progress: Progress, group: Group, *, skip_last_eval: bool
    ) -> None:
        self.reporter = reporter
        self.progress = progress
        self.group = group
        self.skip_last_eval = skip_last_eval
        """Leave out the evaluation after the last step: the full one follows at once."""
        self.stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Show where training begins: above 0 when resumed."""
        self.reporter.progress(state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Report the step; log whenever a checkpoint is due, so that no loss falls between two."""
        self.reporter.progress(state.global_step, state.max_steps)
        if state.global_step == 1:
            self.progress.first_step = time.time() - psutil.Process().create_time()
        ends = _ends_epoch(state) or state.global_step >= state.max_steps
        self.group.check()
        if self.group.any(self.reporter.should_stop()):  # all stop after the same step
            self.stopped = True
            control.should_training_stop = True
            control.should_save = control.should_save or not ends
        if control.should_save or control.should_evaluate or ends:
            control.should_log = True
        self._leave_out(state, control)
        return control

    def _leave_out(self, state: TrainerState, control: TrainerControl) -> None:
        if self.skip_last_eval and state.global_step >= state.max_steps:
            control.should_evaluate = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Don't evaluate, nor save again, on the way out of a training stopped within an epoch.

        Stopped by its last step, an epoch ends as it would have, so that resuming changes nothing.
        """
        if self.stopped:
            whole = _ends_epoch(state) or state.global_step >= state.max_steps
            control.should_evaluate = control.should_evaluate and whole
            control.should_save = whole
        self._leave_out(state, control)
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Report losses; they are means over the steps since the last log."""
        values = dict(logs or {})
        epoch = values.pop("epoch", 0.0)
        if "loss" in values:
            steps = state.global_step - self.progress.steps
            self.progress.loss_sum += values["loss"] * steps
            self.progress.steps = state.global_step
            self.progress.epoch = epoch
        elif not any(name.startswith("eval_") for name in values):
            return  # the trainer's own summary: ours counts interrupted parts too
        self.reporter.metrics(state.global_step, epoch, values)


class ReportResources(TrainerCallback):
    """Passes what the steps cost from the monitor to the reporter, beside losses.

    It must come before `Report` among the callbacks.
    """

    def __init__(
        self,
        reporter: Reporter,
        progress: Progress,
        monitor: PerformanceMonitor,
        rows_per_example: float,
    ) -> None:
        self.reporter = reporter
        self.progress = progress
        self.monitor = monitor
        self.rows_per_example = rows_per_example

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave out of the points what came before the first step."""
        self.monitor.settle()
        self._point()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Gradients were clipped and weights changed."""
        self.monitor.lap(Part.OPTIMIZER)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Report where it is due, and at the end."""
        due = is_due(state.global_step, int(args.logging_steps))
        if "loss" in (logs or {}) and (due or control.should_training_stop):
            self.reporter.resources(state.global_step, float(state.epoch or 0), self._point())

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count what came after the last step."""
        self.monitor.settle()

    def _point(self) -> dict[str, float]:
        rows = self.progress.samples * self.rows_per_example
        return self.monitor.point(rows, self.progress.tokens)


def _ends_epoch(state: TrainerState) -> bool:
    return float(state.epoch or 0).is_integer()
