"""Submitting an experiment, and asking how far it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from tunesmith.api.deps import Call, JsonObject, Member, ShortTurnDep, Viewer, find_experiment
from tunesmith.api.http.documentation import BODY, CONFIGURATION_BODY, errors, polled
from tunesmith.api.task_state import task_state
from tunesmith.config.yaml import read_draft
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.schemas.base import EXPERIMENT_ID
from tunesmith.schemas.experiments import TASK_STATUS, Broker, Submitted, TaskState
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

router = APIRouter(tags=["train"])


@router.post(
    "/train",
    status_code=202,
    responses=errors(*BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Submit an experiment",
)
def train(
    call: Member,
    values: JsonObject,
    _turn: ShortTurnDep,
    runs_after: Annotated[
        str | None,
        Query(
            pattern=EXPERIMENT_ID,
            description="Id of an experiment that must have ended, in whatever way, before.",
        ),
    ] = None,
) -> Submitted:
    """Queue an experiment for the workers, at once: its data are read by the worker.

    Fields, and what contradicts itself, are checked now, and every problem is listed. Data and
    models may be named by hub id, as `package:NAME/path`, as a dataset's version (`reviews@3`), or
    by a path in the server's data folder.
    """
    experiment = enqueue(
        read_draft(values),
        call.store,
        call.settings,
        owner=call.identity.owner,
        runs_after=runs_after,
        confined=True,
    )
    call.request.state.experiment = experiment.id
    call.record("experiment.submit", experiment.id, name=experiment.name)
    return queued(experiment, call)


@router.get(
    "/task/{task_id}",
    response_model=TaskState,
    responses=polled(404),
    summary="Where an experiment stands",
)
def task(task_id: str, call: Viewer) -> Response:
    """Status (PENDING, STARTED, SUCCESS, FAILURE, REVOKED), phase, progress, place in the queue,
    and the results once there are any."""
    experiment = find_experiment(task_id, call.store)
    return call.polled(task_state(experiment, position_of(experiment, call.store)))


def queued(experiment: Experiment, call: Call) -> Submitted:
    """The answer to whoever queued `experiment`; workers hear of it."""
    return submitted(experiment, call.store, call.service.notify(experiment.queue))


def submitted(experiment: Experiment, store: Store, broker: Broker) -> Submitted:
    """Where `experiment` waits."""
    return Submitted.of(
        experiment,
        task_id=experiment.id,
        experiment_id=experiment.id,
        status=TASK_STATUS[experiment.status],
        position=position_of(experiment, store),
        broker=broker,
    )


def position_of(experiment: Experiment, store: Store) -> int | None:
    """Place in its queue, 1 for the next; None where it doesn't wait in one."""
    if not experiment.status.is_live or experiment.queue is None:
        return None
    return store.queue.positions([experiment.id]).get(experiment.id)
