"""Experiments, as the API takes and gives them."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tunesmith.messages import say
from tunesmith.schemas.base import FiniteOrNull, Page, ResponseModel, Said, WithMessages
from tunesmith.schemas.enums import ExperimentStatus

EXAMPLE_ID = "3f9c21d07a4e"


class TaskStatus(StrEnum):
    """Where an experiment stands, in the words of task queues and the order of its statuses."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


TASK_STATUS = dict(zip(ExperimentStatus, TaskStatus, strict=True))


class Broker(WithMessages, ResponseModel):
    """Whether workers hear of new work at once."""

    live: bool = Field(description="Whether the last contact with the broker succeeded.")
    message: Said = Field(description="What that means for experiments that wait.")


class Submitted(ResponseModel):
    """An experiment that was queued."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "task_id": EXAMPLE_ID,
                "experiment_id": EXAMPLE_ID,
                "name": "reviews",
                "status": "PENDING",
                "queue": "cpu",
                "position": 1,
                "broker": {"live": True, "message": "Workers hear of new work at once."},
            }
        }
    )

    task_id: str = Field(description="The experiment's id, for GET /task/{task_id}.")
    experiment_id: str = Field(description="The experiment's id.")
    name: str = Field(description="The experiment's name.")
    status: TaskStatus = Field(description="PENDING: it waits for a worker.")
    queue: str | None = Field(description="The queue it waits in.")
    position: int | None = Field(
        description="Place in its queue, 1 for the next; null once it runs."
    )
    broker: Broker = Field(description="Whether workers hear of it at once.")


class TaskState(WithMessages, ResponseModel):
    """Where an experiment stands: made to be asked for often, with If-None-Match."""

    task_id: str = Field(description="The experiment's id.")
    experiment_id: str = Field(description="The experiment's id.")
    name: str = Field(description="The experiment's name.")
    status: TaskStatus = Field(description="PENDING, STARTED, SUCCESS, FAILURE or REVOKED.")
    phase: str | None = Field(description="What it does now, such as training.")
    progress: float = Field(description="Share of the training that is done, 0 to 1.")
    time_left: FiniteOrNull = Field(description="Estimated seconds until training ends.")
    position: int | None = Field(description="Place in its queue, 1 for the next, while it waits.")
    cancelling: bool = Field(description="Whether it was asked to stop and hasn't yet.")
    restarts: int = Field(description="Times it was put back because its process died.")
    reason: Said | None = Field(description="Why it failed, was cancelled or waits again.")
    result: dict[str, Any] | None = Field(description="The metrics, once it succeeded.")


class ExperimentSummary(WithMessages, ResponseModel):
    """An experiment as a line of a list."""

    id: str = Field(description="Its id: 12 hexadecimal digits.", examples=[EXAMPLE_ID])
    name: str
    status: ExperimentStatus
    phase: str | None = Field(description="What it does now, such as training.")
    progress: float = Field(description="Share of the training that is done, 0 to 1.")
    time_left: FiniteOrNull = Field(description="Estimated seconds until training ends.")
    task: str = Field(description="What is learned, such as text-classification.")
    model_name: str = Field(description="The base model.")
    dataset_name: str = Field(description="The data as they were named.")
    dataset_hash: str | None = Field(description="Content hash of the data.")
    dataset_version: int | None = Field(description="Number of the dataset's version.")
    directory: str | None = Field(description="Its folder on the machine that trains it.")
    reason: Said | None = Field(description="Why it failed, was cancelled or waits again.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    train_runtime: FiniteOrNull = Field(description="Seconds of training.")
    eval_accuracy: FiniteOrNull = Field(description="Accuracy on the held-out rows, 0 to 1.")
    score_name: str | None = Field(description="Name of the task's main metric.")
    score: FiniteOrNull = Field(description="Value of the task's main metric.")
    owner: str = Field(description="Who submitted it; empty where nobody has to say.")
    queue: str | None = Field(description="Queue it belongs to; null when trained by hand.")
    priority: int = Field(description="The highest is taken first.")
    runs_after: str | None = Field(description="Id of one that must have ended before.")
    restarts: int = Field(description="Times it was put back because its process died.")
    worker: str | None = Field(description="Worker that took it.")
    host: str | None = Field(description="Machine that trains it.")
    pid: int | None = Field(description="Process that trains it.")
    cancel_requested_at: datetime | None = Field(description="When it was asked to stop.")
    note: str = Field(description="What people say of it.")
    tags: list[str] = Field(description="Words that people put on it, by the alphabet.")
    position: int | None = Field(
        None, description="Place in its queue, 1 for the next; null where it doesn't wait."
    )


class ExperimentWhole(ExperimentSummary):
    """An experiment, whole."""

    config: dict[str, Any] = Field(description="The complete configuration.")
    data: dict[str, Any] = Field(description="Identity of the data: rows and hash of each split.")
    environment: dict[str, Any] = Field(description="Versions, git commit and hardware.")
    plan: dict[str, Any] = Field(description="How the machine ran it: device, formats, batches.")
    metrics: dict[str, Any] = Field(description="The results, as in metrics.json.")


class ExperimentPage(Page):
    """A part of the list of experiments."""

    items: list[ExperimentSummary]


class TagCount(ResponseModel):
    """A tag."""

    tag: str
    experiments: int = Field(description="How many have it, in capitals or not.")


class ExperimentTags(ResponseModel):
    """The tags of experiments, the commonest first."""

    items: list[TagCount]


class ExperimentStats(ResponseModel):
    """All experiments in a few numbers; null where none has a value."""

    total: int
    by_status: dict[ExperimentStatus, int] = Field(description="Every status, with 0 for none.")
    best_accuracy: FiniteOrNull
    mean_accuracy: FiniteOrNull
    total_runtime: float = Field(description="Seconds of training, all together.")
    mean_runtime: FiniteOrNull = Field(description="Mean seconds of training.")


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError(say("must be a whole number"))
    return value


class Priority(BaseModel):
    """The priority to give to a waiting experiment."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"priority": 10}})

    priority: Annotated[int, BeforeValidator(_number)] = Field(
        ge=-100, le=100, description="The highest is taken first."
    )


class MetricPoint(ResponseModel):
    """One value of one metric."""

    step: int = Field(description="Optimizer step.")
    value: FiniteOrNull = Field(description="Null where it was NaN or infinite.")
    epoch: FiniteOrNull = Field(description="Times the data were gone through by then.")
    recorded_at: datetime

    @property
    def number(self) -> float:
        """The value, NaN where it wasn't finite."""
        return math.nan if self.value is None else self.value


class MetricHistories(ResponseModel):
    """Metrics over steps."""

    experiment_id: str
    points: int = Field(description="Most points per metric: longer histories are thinned out.")
    metrics: dict[str, list[MetricPoint]] = Field(
        description="Name → points by step. Thinned-out histories keep their extremes."
    )


class LogPart(ResponseModel):
    """A part of logs.txt."""

    text: str = Field(description="Whole lines.")
    offset: int = Field(description="Where it begins, in bytes.")
    next_offset: int = Field(description="Where to go on reading, in bytes.")
    size: int = Field(description="Bytes of the whole log now.")


class FileEntry(ResponseModel):
    """A file of an experiment."""

    path: str = Field(description="Path in the experiment's folder.")
    size: int = Field(description="Bytes.")


class FileList(ResponseModel):
    """The files of an experiment."""

    experiment_id: str
    files: list[FileEntry]


class Deleted(ResponseModel):
    """An experiment that is gone."""

    id: str
    files_deleted: bool = Field(
        description="Whether its files went too: a folder that was imported from elsewhere stays."
    )
