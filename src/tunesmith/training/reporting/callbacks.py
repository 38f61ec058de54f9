"""What the trainer tells the reporter while it runs, and how it is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
from pydantic import TypeAdapter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith.tasks.results import OF_SIDES
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.monitor import Part, PerformanceMonitor, Usage, is_due
from tunesmith.training.reporting.reporter import Reporter


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

    @property
    def mean_loss(self) -> float | None:
        return self.loss_sum / self.steps if self.steps else None


SAVED_PROGRESS = TypeAdapter(Progress)
"""Reads what `dataclasses.asdict` made of one; in early versions it had no `usage`."""


class Report(TrainerCallback):
    """Passes losses, steps and their costs to the reporter, its wish to stop to the trainer."""

    def __init__(
        self, reporter: Reporter, progress: Progress, group: Group, *, skip_last_eval: bool
    ) -> None:
        self.reporter = reporter
        self.progress = progress
        self.group = group
        self.skip_last_eval = skip_last_eval
        """Leave out the evaluation after the last step: the full one follows at once."""
        self.monitor: PerformanceMonitor | None = None
        """What measures the costs; in the first process alone."""
        self.rows_per_example = 1.0
        self.stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Show where training begins: above 0 when resumed."""
        if self.monitor is not None:
            self.monitor.settle()
            self._costs(self.monitor)  # what came before the first step is in no point
        self.reporter.progress(state.global_step, state.max_steps)

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Gradients were clipped and weights changed."""
        if self.monitor is not None:
            self.monitor.lap(Part.OPTIMIZER)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Count what came after the last step."""
        if self.monitor is not None:
            self.monitor.settle()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Report the step; log whenever a checkpoint is due, so that no loss falls between two."""
        self.reporter.progress(state.global_step, state.max_steps)
        if state.global_step == 1:
            self.progress.first_step = time.time() - psutil.Process().create_time()
        ends = _ends_epoch(state)
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
            control.should_save = _ends_epoch(state)
            control.should_evaluate = control.should_evaluate and control.should_save
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
        if not is_measured(values):
            return  # the trainer's own summary: ours counts interrupted parts too
        if "loss" in values:
            due = is_due(state.global_step, int(args.logging_steps))
            if self.monitor is not None and (due or control.should_training_stop):
                costs = self._costs(self.monitor)
                self.reporter.resources(state.global_step, float(state.epoch or 0), costs)
            steps = state.global_step - self.progress.steps
            self.progress.loss_sum += values["loss"] * steps
            self.progress.steps = state.global_step
            self.progress.epoch = epoch
        self.reporter.metrics(state.global_step, epoch, values)

    def _costs(self, monitor: PerformanceMonitor) -> dict[str, float]:
        rows = self.progress.samples * self.rows_per_example
        return monitor.point(rows, self.progress.tokens)


def is_measured(logged: Mapping[str, Any]) -> bool:
    """Whether what was logged is a loss or an evaluation."""
    return "loss" in logged or any(name.startswith(OF_SIDES) for name in logged)


def _ends_epoch(state: TrainerState) -> bool:
    """Whether the step was the last one of an epoch, or of all."""
    return float(state.epoch or 0).is_integer() or state.global_step >= state.max_steps
