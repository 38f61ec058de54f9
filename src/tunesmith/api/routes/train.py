"""Submitting an experiment, and asking how far it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tunesmith.api.deps import (
    AuditDep,
    JsonObject,
    Member,
    ServiceDep,
    ShortTurnDep,
    StoreDep,
    Viewer,
    find_experiment,
)
from tunesmith.api.documentation import BODY, EXAMPLE, configuration_body, errors, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.schemas.base import EXPERIMENT_ID
from tunesmith.api.schemas.experiments import (
    TASK_STATUS,
    Broker,
    Submitted,
    TaskState,
    task_state,
)
from tunesmith.config.yaml import read_draft
from tunesmith.experiments.submission import enqueue
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.store import Store

router = APIRouter(tags=["train"])


@router.post(
    "/train",
    status_code=202,
    response_model=Submitted,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Submit an experiment",
)
def train(
    request: Request,
    service: ServiceDep,
    identity: Member,
    audit: AuditDep,
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
        service.store,
        service.settings,
        owner=identity.owner,
        runs_after=runs_after,
        confined=True,
    )
    request.state.experiment = experiment.id
    audit.record("experiment.submit", experiment.id, name=experiment.name)
    return submitted(experiment, service.store, service.notify(experiment.queue))


@router.get(
    "/task/{task_id}",
    response_model=TaskState,
    responses={**errors(404), **unchanged()},
    summary="Where an experiment stands",
)
def task(request: Request, task_id: str, store: StoreDep, _: Viewer) -> Response:
    """Status (PENDING, STARTED, SUCCESS, FAILURE, REVOKED), phase, progress, place in the queue,
    and the results once there are any."""
    experiment = find_experiment(task_id, store)
    return conditional(request, task_state(experiment, position_of(experiment, store)))


def submitted(experiment: Experiment, store: Store, broker: Broker) -> Submitted:
    """The answer to whoever queued `experiment`."""
    return Submitted(
        task_id=experiment.id,
        experiment_id=experiment.id,
        name=experiment.name,
        status=TASK_STATUS[experiment.status],
        queue=experiment.queue,
        position=position_of(experiment, store),
        broker=broker,
    )


def position_of(experiment: Experiment, store: Store) -> int | None:
    """Place in its queue, 1 for the next; None where it doesn't wait in one."""
    if not experiment.status.is_live or experiment.queue is None:
        return None
    return store.jobs.positions([experiment.id]).get(experiment.id)
