"""Queues and the workers that take from them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tunesmith.api.deps import Admin, Viewer
from tunesmith.api.http.documentation import errors, polled
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import ExperimentSummary
from tunesmith.schemas.service import Queue, QueueReport, Workers, WorkerState
from tunesmith.store.entities.experiments import QUEUES, Filters
from tunesmith.store.store import Store

router = APIRouter(tags=["queue"])

Name = Annotated[
    str, Path(description=f"One of {', '.join(QUEUES)}.", examples=["cpu"], max_length=20)
]


@router.get("/queue", response_model=QueueReport, responses=polled(), summary="What waits")
def queue(
    call: Viewer,
    limit: Annotated[int, Query(ge=0, le=1000, description="Waiting experiments to list.")] = 50,
    offset: Annotated[
        int, Query(ge=0, le=2**53, description="Those to leave out, by their places.")
    ] = 0,
) -> Response:
    """Every queue, and the experiments that wait, in the order in which they are taken."""
    queue = call.store.queue
    first = queue.first(limit, offset) if limit else ()
    lines = [ExperimentSummary.of(experiment, position=place) for place, experiment in first]
    report = QueueReport(
        queues=queue.states(),
        waiting=sorted(lines, key=lambda line: (line.queue or "", line.position or 0)),
        broker=call.service.broker(),
    )
    return call.polled(report)


@router.post("/queue/{name}/pause", responses=errors(404), summary="Pause a queue")
def pause(name: Name, call: Admin) -> Queue:
    """Let nothing more be taken from a queue; what runs goes on."""
    call.store.queue.pause(name, call.identity.name)
    call.record("queue.pause", name)
    return _state(name, call.store)


@router.post("/queue/{name}/continue", responses=errors(404), summary="Continue a queue")
def continue_(name: Name, call: Admin) -> Queue:
    """Let experiments be taken from a queue again."""
    call.store.queue.continue_(name)
    call.record("queue.continue", name)
    call.service.notify(name)
    return _state(name, call.store)


@router.get("/workers", response_model=Workers, responses=polled(), summary="The workers")
def workers(call: Viewer) -> Response:
    """Every worker with its devices, and what it trains now."""
    running = call.store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
    items = []
    for worker in call.store.queue.workers():
        trains = [experiment.id for experiment in running if experiment.worker == worker.name]
        items.append(WorkerState.of(worker, running=trains, usage=worker.usage or None))
    return call.polled(Workers(items=items))


def _state(name: str, store: Store) -> Queue:
    return next(state for state in store.queue.states() if state.name == name)
