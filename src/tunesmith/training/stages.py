"""The stages of a training as values: each is the one before, and what was found out since."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tunesmith.config.schema import ExperimentConfig
from tunesmith.models.locate import ModelSource
from tunesmith.statistics.calibration import Temperature
from tunesmith.statistics.selective import Threshold
from tunesmith.tasks.base import Example, Row, Task
from tunesmith.tasks.results import Prediction, Score
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.callbacks import Progress
from tunesmith.training.reporting.ending import Ending
from tunesmith.training.reporting.reporter import Reporter, TrainingData


@dataclass(frozen=True)
class Training:
    """What is asked, and how this machine will run it."""

    config: ExperimentConfig
    task: Task
    data: TrainingData
    source: ModelSource
    plan: Plan
    directory: Path
    """The experiment's folder."""
    reporter: Reporter
    cache: Path | None = None
    """Where encoded rows are kept for the next training; None: nowhere."""

    @classmethod
    def after(cls, before: Training, **found: Any) -> Self:
        """This stage: all that is known from `before`, and what was `found`."""
        return cls(**{**vars(before), **found})


@dataclass(frozen=True, kw_only=True)
class Encoded(Training):
    """Rows are tokens."""

    tokenizer: Any
    train_rows: list[Row]
    train_examples: list[Example]
    eval_examples: list[Example]
    validation_examples: list[Example] = field(default_factory=list)

    @property
    def rows_per_example(self) -> float:
        """Below 1 where rows are learned as several examples each."""
        return len(self.train_rows) / max(len(self.train_examples), 1)


@dataclass(frozen=True, kw_only=True)
class Placed(Encoded):
    """It is known how many rows the memory of the device has room for."""

    rows_at_once: int | None = None
    """Rows of a training batch that are computed at once, where not all of them will fit."""
    rows_judged: int
    """Rows in one evaluation batch."""
    memory_estimate: int | None = None
    """Most bytes that this process will probably take; on a GPU, of the GPU's memory."""

    @classmethod
    def beside(cls, training: Training, tokenizer: Any, examples: list[Example]) -> Placed:
        """As the processes beside the first one have it: they learn, and judge nothing."""
        return cls.after(
            training,
            tokenizer=tokenizer,
            train_rows=[],
            train_examples=examples,
            eval_examples=[],
            rows_judged=training.config.eval_batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class Fitted(Placed):
    """The adapter has learned."""

    progress: Progress
    ending: Ending


@dataclass(frozen=True, kw_only=True)
class Judged(Fitted):
    """The test side has judged it."""

    predictions: list[Prediction]
    score: Score
    validation: list[Prediction]
    """Of the rows that stopped and picked; none where there are none."""
    validation_score: Score | None
    untrained: Score
    """That of the model as it began."""
    answers_changed: float | None
    """The share of the test side's answers that differ from that model's; None for numbers."""
    temperature: Temperature | None
    """What scores are divided by; None where answers have no probabilities."""
    forgetting: dict[str, Any] | None
    """What it lost of what it could do before, as `metrics.json` has it; None: not asked."""
    threshold: Threshold | None
    """From which confidence on answers are given; None where all are."""
