"""What the processes of one training leave for each other in a temporary folder, as JSON.

The first process writes how to train and the encoded rows; the others, that they are ready or why
they failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import distributed

from tunesmith import errors
from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ConfigError, Problem, TrainingError, TunesmithError
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Example
from tunesmith.training.encoding import read_examples, write_examples
from tunesmith.training.fitting import Training
from tunesmith.training.model import ModelSource
from tunesmith.training.plan import Plan
from tunesmith.training.reporter import Reporter, TrainingData


class _Silent(Reporter):
    """The first process alone reports."""


class Handover:
    """The folder's files. Raises OSError where they can't be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._training = folder / "training.json"
        self._examples = folder / "examples.jsonl"

    def store(self, size: int) -> distributed.FileStore:  # type: ignore[name-defined]
        """Where `size` processes find each other."""
        meeting = str(self.folder / "meeting")
        return distributed.FileStore(meeting, size)  # type: ignore[attr-defined]

    def log(self, rank: int) -> Path:
        """What process `rank` prints."""
        return self.folder / f"{rank}.log"

    def write_training(self, work: Training) -> None:
        """Leave how to train."""
        source = asdict(work.source)
        described = {
            "config": work.config.model_dump(mode="json"),
            "facts": work.task.facts(),
            "source": {**source, "folder": str(work.source.folder)},
            "plan": {**asdict(work.plan), "choices": ()},
        }
        self._training.write_text(json.dumps(described), encoding="utf-8")

    def read_training(self, rank: int) -> Training:
        """The same training, as process `rank` sees it: with a GPU of its own, and no rows yet."""
        read = json.loads(self._training.read_text(encoding="utf-8"))
        config = ExperimentConfig.model_validate(read["config"])
        task = TASKS[config.task_name](config.task)
        task.restore(read["facts"])
        source = ModelSource(**{**read["source"], "folder": Path(read["source"]["folder"])})
        plan = Plan(**read["plan"])
        if plan.device.startswith("cuda"):
            plan = replace(plan, device=f"cuda:{rank}")
        nothing = TrainingData([], [], {}, {})
        return Training(config, task, nothing, source, plan, self.folder / str(rank), _Silent())

    def write_examples(self, examples: Sequence[Example]) -> None:
        """Leave the encoded rows."""
        write_examples(self._examples, examples)

    def read_examples(self) -> list[Example]:
        """The encoded rows, as they were."""
        return read_examples(self._examples)

    def say_ready(self, rank: int) -> None:
        """Process `rank` has model and rows, and waits."""
        self._ready(rank).touch()

    def is_ready(self, rank: int) -> bool:
        """Whether process `rank` has model and rows."""
        return self._ready(rank).exists()

    def _ready(self, rank: int) -> Path:
        return self.folder / f"{rank}.ready"

    def say_failed(self, rank: int, error: TunesmithError) -> None:
        """Process `rank` can't go on."""
        self._failed(rank).write_text(as_told(error), encoding="utf-8")

    def failure(self, rank: int) -> TunesmithError | None:
        """Why process `rank` can't go on, if it said so."""
        if not self._failed(rank).exists():
            return None
        return told(self._failed(rank).read_text(encoding="utf-8"))

    def _failed(self, rank: int) -> Path:
        return self.folder / f"{rank}.failed"


def as_told(error: TunesmithError) -> str:
    """`error` as JSON, for another process."""
    return json.dumps({"kind": type(error).__name__, "message": str(error)})


def told(text: str, who: str = "") -> TunesmithError:
    """The error that `as_told` wrote; `who` met it."""
    read = json.loads(text)
    message = f"{who}: {read['message']}" if who else read["message"]
    if read["kind"] == ConfigError.__name__:
        return ConfigError([Problem("", message)])
    error: TunesmithError = getattr(errors, read["kind"], TrainingError)(message)
    return error
