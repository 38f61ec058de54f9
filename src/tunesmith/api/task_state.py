"""Where an experiment stands, as the API gives it."""

from __future__ import annotations

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import TASK_STATUS, TaskState
from tunesmith.store.entities.experiments import Experiment


def task_state(experiment: Experiment, position: int | None) -> TaskState:
    """Where `experiment` stands; `position` is its number in the queue."""
    done = experiment.status is ExperimentStatus.SUCCEEDED
    running = experiment.status is ExperimentStatus.RUNNING
    return TaskState.of(
        experiment,
        task_id=experiment.id,
        experiment_id=experiment.id,
        status=TASK_STATUS[experiment.status],
        position=position,
        cancelling=running and experiment.cancel_requested_at is not None,
        result=experiment.metrics if done else None,
    )
