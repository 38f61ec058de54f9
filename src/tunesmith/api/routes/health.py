"""For operators: is it there, can it work, and how much does it do."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from tunesmith.api.deps import ServiceDep, Viewer
from tunesmith.api.http.documentation import errors, public_errors
from tunesmith.errors import StorageError
from tunesmith.messages import say
from tunesmith.schemas.service import Alive, Part, Readiness
from tunesmith.settings import VERSION

router = APIRouter(tags=["health"])

LEAST_FREE = 1 << 26
"""Bytes that must be free: the store's log and a submitted experiment need some."""


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", responses=public_errors(), summary="Is it there")
async def live() -> Alive:
    """Answers as long as the process does; needs no token."""
    return Alive(version=VERSION)


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    responses={
        **public_errors(),
        503: {"model": Readiness, "description": "The store doesn't answer, or the disk is full."},
    },
    summary="Can it work",
)
def ready(service: ServiceDep, response: Response) -> Readiness:
    """Whether the store answers and the disk has room (else 503), and the broker (without which all
    works); needs no token, and tells nothing that needs one."""
    broker = service.broker()
    disk = _disk(service.settings.results_dir)
    try:
        workers = len(service.store.queue.workers())
        store = Part(ok=True, message=say("The store answers."))
    except StorageError:
        workers = 0
        store = Part(ok=False, message=say("The store doesn't answer; the log says why."))
        response.status_code = 503
    if not disk.ok:
        response.status_code = 503
    return Readiness(
        ready=store.ok and disk.ok,
        store=store,
        disk=disk,
        broker=Part(ok=broker.live, message=broker.message),
        workers=workers,
    )


def _disk(folder: Path) -> Part:
    """Whether what is submitted and uploaded finds room in `folder`, or where it would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return Part(ok=False, message=say("The disk of the results folder doesn't answer."))
    if free < LEAST_FREE:
        return Part(ok=False, message=say("The disk of the results folder is full."))
    return Part(ok=True, message=say("The disk of the results folder has room."))


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **errors(),
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
    summary="Measurements for Prometheus",
)
def metrics(call: Viewer) -> Response:
    """Queue lengths, waiting and running times, outcomes, latencies, use of workers."""
    return Response(call.service.measurements.text(), media_type=CONTENT_TYPE_LATEST)
