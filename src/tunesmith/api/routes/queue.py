"""Queues and the workers that take from them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tunesmith.api.deps import Admin, AuditDep, ServiceDep, StoreDep, Viewer
from tunesmith.api.documentation import errors, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.schemas.experiments import ExperimentSummary
from tunesmith.api.schemas.service import Queue, QueueReport, Usage, Workers, WorkerState
from tunesmith.tracking.entities import QUEUES, ExperimentStatus, Filters
from tunesmith.tracking.store import Store

router = APIRouter(tags=["queue"])

Name = Annotated[
    str, Path(description=f"One of {', '.join(QUEUES)}.", examples=["cpu"], max_length=20)
]


@router.get(
    "/queue",
    response_model=QueueReport,
    responses={**errors(), **unchanged()},
    summary="What waits",
)
def queue(
    request: Request,
    service: ServiceDep,
    _: Viewer,
    limit: Annotated[int, Query(ge=0, le=1000, description="Waiting experiments to list.")] = 50,
    offset: Annotated[
        int, Query(ge=0, le=2**53, description="Those to leave out, by their places.")
    ] = 0,
) -> Response:
    """Every queue, and the experiments that wait, in the order in which they are taken."""
    jobs = service.store.jobs
    lines = []
    for place, experiment in jobs.first(limit, offset) if limit else ():
        line = ExperimentSummary.model_validate(experiment)
        line.position = place
        lines.append(line)
    report = QueueReport(
        queues=[Queue.model_validate(state) for state in jobs.states()],
        waiting=sorted(lines, key=lambda line: (line.queue or "", line.position or 0)),
        broker=service.broker(),
    )
    return conditional(request, report)


@router.post("/queue/{name}/pause", responses=errors(404), summary="Pause a queue")
def pause(name: Name, identity: Admin, store: StoreDep, audit: AuditDep) -> Queue:
    """Let nothing more be taken from a queue; what runs goes on."""
    store.jobs.pause(name, identity.name)
    audit.record("queue.pause", name)
    return _state(name, store)


@router.post("/queue/{name}/continue", responses=errors(404), summary="Continue a queue")
def continue_(name: Name, _: Admin, service: ServiceDep, audit: AuditDep) -> Queue:
    """Let experiments be taken from a queue again."""
    service.store.jobs.continue_(name)
    audit.record("queue.continue", name)
    service.notify(name)
    return _state(name, service.store)


@router.get(
    "/workers",
    response_model=Workers,
    responses={**errors(), **unchanged()},
    summary="The workers",
)
def workers(request: Request, store: StoreDep, _: Viewer) -> Response:
    """Every worker with its devices, and what it trains now."""
    running = store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
    found = Workers(
        items=[
            WorkerState(
                name=worker.name,
                host=worker.host,
                pid=worker.pid,
                devices=list(worker.devices),
                queues=list(worker.queues),
                slots=worker.slots,
                version=worker.version,
                started_at=worker.started_at,
                seen_at=worker.seen_at,
                running=[e.id for e in running if e.worker == worker.name],
                usage=Usage.model_validate(worker.usage) if worker.usage else None,
            )
            for worker in store.jobs.workers()
        ]
    )
    return conditional(request, found)


def _state(name: str, store: Store) -> Queue:
    state = next(state for state in store.jobs.states() if state.name == name)
    return Queue.model_validate(state)
