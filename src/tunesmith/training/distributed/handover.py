"""What the processes of one training leave for each other in a temporary folder, as JSON.

The first process writes how to train and the encoded rows; the others, that they are ready or why
they failed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from torch import distributed

from tunesmith import errors
from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ConfigError, Problem, TrainingError, TunesmithError
from tunesmith.messages import say
from tunesmith.models.locate import ModelSource
from tunesmith.tasks import TASKS
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Training

LOOK_EVERY = 0.02
"""Seconds between two looks at what is waited for."""


class Handover:
    """The folder's files. Raises OSError where they can't be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._training = folder / "training.json"
        self.examples = folder / "examples.jsonl"
        """The encoded rows; there once it is known which these are."""

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
            "columns": work.task.columns,
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
        task.bind(read["columns"])
        task.restore(read["facts"])
        source = ModelSource(**{**read["source"], "folder": Path(read["source"]["folder"])})
        plan = Plan(**read["plan"])
        if plan.device.startswith("cuda"):
            plan = replace(plan, device=f"cuda:{rank}")
        nothing = TrainingData([], [], {})
        return Training(config, task, nothing, source, plan, self.folder / str(rank), Reporter())

    def ready(self, rank: int) -> Path:
        """There once process `rank` has model and rows, and waits."""
        return self.folder / f"{rank}.ready"

    def say_failed(self, rank: int, error: TunesmithError) -> None:
        """Process `rank` can't go on."""
        self._failed(rank).write_text(as_json(error), encoding="utf-8")

    def failure(self, rank: int) -> TunesmithError | None:
        """Why process `rank` can't go on, if it said so."""
        if not self._failed(rank).exists():
            return None
        return error_from(self._failed(rank).read_text(encoding="utf-8"))

    def _failed(self, rank: int) -> Path:
        return self.folder / f"{rank}.failed"


def as_json(error: TunesmithError) -> str:
    """`error` as JSON, for another process."""
    return json.dumps({"kind": type(error).__name__, "message": str(error)})


def error_from(text: str, who: str = "") -> TunesmithError:
    """The error that `as_json` wrote; `who` met it."""
    read = json.loads(text)
    message = say("{who}: {message}", who=who, message=read["message"]) if who else read["message"]
    if read["kind"] == ConfigError.__name__:
        return ConfigError([Problem("", message)])
    error: TunesmithError = getattr(errors, read["kind"], TrainingError)(message)
    return error
