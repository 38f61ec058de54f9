"""Sweeps: begun, listed, read, cancelled. Workers and API drive them by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tunesmith.api.deps import Call, JsonObject, Member, Offset, ShortTurnDep, Viewer
from tunesmith.api.http.documentation import BODY, SWEEP_BODY, errors, polled
from tunesmith.config.sweep import read_sweep
from tunesmith.experiments.sweeps.driving import begin, cancel_sweep, queue_of_sweep
from tunesmith.experiments.sweeps.report import sweep_report
from tunesmith.schemas.sweeps import SweepPage, SweepState, SweepWhole

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

SweepId = Annotated[
    str,
    Path(
        description="Id of a sweep: 12 hexadecimal digits.",
        examples=["3f9c21d07a4e"],
        max_length=100,
    ),
]


@router.post(
    "", status_code=202, responses=errors(*BODY), openapi_extra=SWEEP_BODY, summary="Begin a sweep"
)
def begin_sweep(call: Member, values: JsonObject, _turn: ShortTurnDep) -> SweepState:
    """Record a sweep and queue its first trial, at once.

    Every problem of the sweep and of its base configuration is listed. What may be named there is
    what POST /train takes.
    """
    asked, owner = read_sweep(values), call.identity.owner
    sweep = begin(asked, call.store, call.settings, owner=owner, confined=True)
    call.record("sweep.submit", sweep.id, name=sweep.name)
    call.service.notify(queue_of_sweep(sweep))
    return _state(sweep.id, call)


@router.get("", response_model=SweepPage, responses=polled(), summary="List sweeps")
def list_sweeps(
    call: Viewer,
    limit: Annotated[int, Query(ge=0, le=100, description="Most that are given.")] = 20,
    offset: Offset = 0,
) -> Response:
    """Sweeps with their trials, the newest first."""
    known = call.store.sweeps.list()
    found = [
        sweep_report(sweep, call.store, call.settings, whole=False)
        for sweep in known[offset : offset + limit]
    ]
    return call.polled(SweepPage(total=len(known), limit=limit, offset=offset, items=found))


@router.get(
    "/{sweep_id}", response_model=SweepWhole, responses=polled(404), summary="One sweep, whole"
)
def get_sweep(sweep_id: SweepId, call: Viewer) -> Response:
    """Its trials with intervals, the best so far, what mattered, and the best held against the base
    configuration on the same evaluation rows."""
    return call.polled(sweep_report(call.store.sweeps.get(sweep_id), call.store, call.settings))


@router.post("/{sweep_id}/cancel", responses=errors(404, 409), summary="Cancel a sweep")
def cancel(sweep_id: SweepId, call: Member) -> SweepState:
    """Cancel a sweep that runs, and its experiments that wait or run."""
    call.identity.require_change(call.store.sweeps.get(sweep_id))
    cancel_sweep(sweep_id, call.store, by=call.identity.name)
    call.record("sweep.cancel", sweep_id)
    return _state(sweep_id, call)


def _state(sweep_id: str, call: Call) -> SweepState:
    sweep = call.store.sweeps.get(sweep_id)
    return sweep_report(sweep, call.store, call.settings, whole=False)
