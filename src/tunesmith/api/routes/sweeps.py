"""Sweeps: begun, listed, read, cancelled. Workers and API drive them by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tunesmith.api.deps import (
    AuditDep,
    JsonObject,
    Member,
    ServiceDep,
    SettingsDep,
    ShortTurnDep,
    StoreDep,
    Viewer,
)
from tunesmith.api.documentation import BODY, errors, sweep_body, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.schemas.sweeps import SweepPage, SweepState, SweepWhole
from tunesmith.config.sweep import read_sweep
from tunesmith.experiments.sweep_report import sweep_report
from tunesmith.experiments.sweeps import begin, cancel_sweep, queue_of_sweep
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store

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
    "",
    status_code=202,
    responses=errors(*BODY),
    openapi_extra=sweep_body(),
    summary="Begin a sweep",
)
def begin_sweep(
    service: ServiceDep,
    identity: Member,
    audit: AuditDep,
    values: JsonObject,
    _turn: ShortTurnDep,
) -> SweepState:
    """Record a sweep and queue its first trial, at once.

    Every problem of the sweep and of its base configuration is listed. What may be named there is
    what POST /train takes.
    """
    sweep = begin(
        read_sweep(values), service.store, service.settings, owner=identity.owner, confined=True
    )
    audit.record("sweep.submit", sweep.id, name=sweep.name)
    service.notify(queue_of_sweep(sweep))
    return _state(sweep.id, service.store, service.settings)


@router.get(
    "",
    response_model=SweepPage,
    responses={**errors(), **unchanged()},
    summary="List sweeps",
)
def list_sweeps(
    request: Request,
    store: StoreDep,
    settings: SettingsDep,
    _: Viewer,
    limit: Annotated[int, Query(ge=0, le=100, description="Most that are given.")] = 20,
    offset: Annotated[int, Query(ge=0, le=2**53, description="Those to pass over.")] = 0,
) -> Response:
    """Sweeps with their trials, the newest first."""
    known = store.sweeps.list()
    found = [
        SweepState.model_validate(sweep_report(sweep, store, settings, whole=False))
        for sweep in known[offset : offset + limit]
    ]
    page = SweepPage(total=len(known), limit=limit, offset=offset, items=found)
    return conditional(request, page)


@router.get(
    "/{sweep_id}",
    response_model=SweepWhole,
    responses={**errors(404), **unchanged()},
    summary="One sweep, whole",
)
def get_sweep(
    request: Request, sweep_id: SweepId, store: StoreDep, settings: SettingsDep, _: Viewer
) -> Response:
    """Its trials with intervals, the best so far, what mattered, and the best held against the base
    configuration on the same evaluation rows."""
    report = sweep_report(store.sweeps.get(sweep_id), store, settings)
    return conditional(request, SweepWhole.model_validate(report))


@router.post("/{sweep_id}/cancel", responses=errors(404, 409), summary="Cancel a sweep")
def cancel(
    sweep_id: SweepId,
    store: StoreDep,
    settings: SettingsDep,
    identity: Member,
    audit: AuditDep,
) -> SweepState:
    """Cancel a sweep that runs, and its experiments that wait or run."""
    identity.require_change(store.sweeps.get(sweep_id))
    cancel_sweep(sweep_id, store, by=identity.name)
    audit.record("sweep.cancel", sweep_id)
    return _state(sweep_id, store, settings)


def _state(sweep_id: str, store: Store, settings: Settings) -> SweepState:
    report = sweep_report(store.sweeps.get(sweep_id), store, settings, whole=False)
    return SweepState.model_validate(report)
