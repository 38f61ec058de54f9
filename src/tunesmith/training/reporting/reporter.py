"""The reporter: the only voice of training, and what it hands over at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tunesmith.errors import Interrupted
from tunesmith.statistics.label_errors import LabelErrors
from tunesmith.tasks.base import Row
from tunesmith.tasks.results import Prediction
from tunesmith.training.plan import Plan


class Phase(StrEnum):
    """What an experiment is doing, in the order in which it does it."""

    PREPARING_DATA = "preparing data"
    LOADING_MODEL = "loading model"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"
    VERIFYING = "verifying"


class Reporter:
    """Who listens to a training; here, one who does nothing.

    Methods are called from the training's own thread, in order.
    """

    def phase(self, phase: Phase, note: str = "") -> None:
        """A phase begins."""

    def plan(self, plan: Plan) -> None:
        """How this machine will run it."""

    def message(self, text: str) -> None:
        """Something worth a line in the log."""

    def warning(self, text: str) -> None:
        """Something that may change what the result means."""

    def notice(self, text: str) -> None:
        """A warning that whoever looks at the experiment later should see too."""
        self.warning(text)

    def progress(self, done: int, total: int) -> None:
        """Steps (or rows, outside training) done of the present phase."""

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Values measured after `step` optimizer steps."""

    def resources(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """What the last steps until `step` cost: speed, time and machine, not what was learned.

        Their loss follows, by `metrics`. Names and units are those of `schemas.metrics`.
        """

    def should_stop(self) -> bool:
        """Whether the user wants it to end; training then saves a checkpoint and stops."""
        return False

    def stop_if_asked(self) -> None:
        """Raise Interrupted where the user wants a training to end that has not begun."""
        if self.should_stop():
            raise Interrupted("stopped before training began")


@dataclass(frozen=True)
class TrainingData:
    """What is learned from, what stops and picks, and what is judged by."""

    train: Sequence[Row]
    evaluation: Sequence[Row]
    dataset: Mapping[str, Any]
    """What the results say of the data: name, version, hash, source, and `overlap`, the held-out
    rows whose text is trained on too."""
    groups: Sequence[str] | None = None
    """The group of each evaluation row, by `data.group_column`; "" for one without."""
    validation: Sequence[Row] = ()
    """The rows that stop and pick; where there are none, the evaluation rows do."""
    validation_groups: Sequence[str] | None = None
    """As `groups`, of these rows."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves: results as in `metrics.json`, a prediction for each held-out row."""

    metrics: dict[str, Any]
    predictions: list[Prediction] = field(repr=False)
    score_name: str
    score: float
    label_errors: LabelErrors | None = None
    """None where labels can't be judged."""
