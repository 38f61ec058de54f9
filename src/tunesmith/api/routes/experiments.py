"""Experiments: listed, read, changed, deleted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from tunesmith.api.deps import (
    AuditDep,
    ChangeableDep,
    ExperimentDep,
    JsonObject,
    Member,
    ServiceDep,
    SettingsDep,
    ShortTurnDep,
    StoreDep,
    Text,
    Viewer,
)
from tunesmith.api.documentation import BODY, edit_body, errors, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.routes.train import position_of, submitted
from tunesmith.api.schemas.base import LARGEST, TEXT
from tunesmith.api.schemas.experiments import (
    Deleted,
    ExperimentPage,
    ExperimentStats,
    ExperimentSummary,
    ExperimentTags,
    ExperimentWhole,
    Priority,
    Submitted,
    TagCount,
    TaskState,
    task_state,
)
from tunesmith.errors import ConfigError, Problem
from tunesmith.experiments import control
from tunesmith.experiments.edits import MOST_TAGS, differences, read_edit
from tunesmith.settings import Settings
from tunesmith.tracking.entities import SORT_KEYS, Experiment, ExperimentStatus, Filters
from tunesmith.tracking.store import Store

router = APIRouter(prefix="/experiments", tags=["experiments"])

MOST = 1000
"""Most experiments in one answer."""


def _as_written(value: object) -> object:
    """Refuse numbers, which Pydantic would take for seconds since 1970."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value) is None:
        raise ValueError("must be a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z")
    return value


def _to_its_end(value: object, read: ValidatorFunctionWrapHandler) -> datetime | None:
    """A day alone means all of it where it is the last one."""
    time: datetime | None = read(value)
    if time is not None and re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
        return datetime.combine(time, datetime.max.time())
    return time


def _in_utc(field: str, time: datetime | None, settings: Settings) -> datetime | None:
    """`time` in UTC; without a zone it is one of the server's. Raises ConfigError."""
    if time is None:
        return None
    try:
        return (time if time.tzinfo else time.replace(tzinfo=settings.timezone)).astimezone(UTC)
    except OverflowError:
        message = "is in no year from 1 to 9999, in UTC"
        raise ConfigError([Problem(field, message, time.isoformat())]) from None


_DAY_OR_TIME = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": kind} for kind in ("date", "date-time")]
              + [{"type": "null"}]}
)  # fmt: skip
Start = Annotated[datetime | None, BeforeValidator(_as_written), _DAY_OR_TIME]
End = Annotated[
    datetime | None, BeforeValidator(_as_written), WrapValidator(_to_its_end), _DAY_OR_TIME
]


Tag = Annotated[str, Field(max_length=200, pattern=TEXT)]


@router.get(
    "",
    response_model=ExperimentPage,
    responses={**errors(), **unchanged()},
    summary="List experiments",
)
def list_experiments(
    request: Request,
    store: StoreDep,
    settings: SettingsDep,
    _: Viewer,
    name: Annotated[Text, Query(description="Part of the name.")] = None,
    status: Annotated[ExperimentStatus | None, Query(description="Exactly this status.")] = None,
    model: Annotated[Text, Query(description="Part of the base model's name.")] = None,
    dataset: Annotated[Text, Query(description="Part of the dataset's name.")] = None,
    text: Annotated[
        Text, Query(description="Words that occur in names, id, reason, note or tags.")
    ] = None,
    tag: Annotated[
        tuple[Tag, ...],
        Query(max_length=MOST_TAGS, description="A tag that it has; several: all of them."),
    ] = (),
    owner: Annotated[Text, Query(description="Exactly this owner.")] = None,
    min_accuracy: Annotated[
        float | None, Query(ge=0, le=1, description="Lowest eval_accuracy.")
    ] = None,
    max_runtime: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Longest training, in seconds.")
    ] = None,
    start_date: Annotated[
        Start,
        Query(
            description="Earliest day or time of creation; a day begins at 0:00, and "
            "what names no zone is in the server's time zone (TZ)."
        ),
    ] = None,
    end_date: Annotated[
        End,
        Query(
            description="Latest day or time of creation; a day counts to its end, and "
            "what names no zone is in the server's time zone (TZ)."
        ),
    ] = None,
    sort_by: Annotated[
        str,
        Query(
            description=f"One of {', '.join(SORT_KEYS)}.",
            json_schema_extra={"enum": list(SORT_KEYS)},
        ),
    ] = "created_at",
    desc: Annotated[
        bool | None, Query(description="Largest first; by default only for created_at.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most that are given.")] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="How many to pass over.")] = 0,
) -> Response:
    """The experiments that pass all filters, the newest first, with their number in all."""
    filters = Filters(
        name=name, status=status, model=model, dataset=dataset, text=text, tags=tag, owner=owner,
        min_accuracy=min_accuracy, max_runtime=max_runtime,
        start_date=_in_utc("start_date", start_date, settings),
        end_date=_in_utc("end_date", end_date, settings),
        sort_by=sort_by, desc=desc, limit=limit, offset=offset,
    )  # fmt: skip
    found = store.list(filters, details=False)
    page = ExperimentPage(
        items=summaries(found, store), total=store.count(filters), limit=limit, offset=offset
    )
    return conditional(request, page)


@router.get(
    "/stats",
    response_model=ExperimentStats,
    responses={**errors(), **unchanged()},
    summary="All experiments in a few numbers",
)
def stats(request: Request, store: StoreDep, _: Viewer) -> Response:
    """Counts by status, best and mean accuracy, total and mean runtime in seconds."""
    return conditional(request, ExperimentStats.model_validate(store.stats()))


@router.get(
    "/tags",
    response_model=ExperimentTags,
    responses={**errors(), **unchanged()},
    summary="All tags",
)
def tags(request: Request, store: StoreDep, _: Viewer) -> Response:
    """The tags that experiments have, and how many have each: the commonest 1,000."""
    counts = store.tags()
    items = [TagCount(tag=tag, experiments=count) for tag, count in counts.items()]
    return conditional(request, ExperimentTags(items=items))


@router.get(
    "/{experiment_id}",
    response_model=ExperimentWhole,
    responses={**errors(404), **unchanged()},
    summary="One experiment, whole",
)
def show(request: Request, experiment: ExperimentDep, store: StoreDep) -> Response:
    """Everything that is recorded of it: configuration, data, environment, plan, metrics."""
    whole = ExperimentWhole.model_validate(experiment)
    whole.position = position_of(experiment, store)
    return conditional(request, whole)


@router.patch(
    "/{experiment_id}", responses=errors(404, *BODY), openapi_extra=edit_body(), summary="Edit"
)
def edit(
    experiment: ChangeableDep,
    values: JsonObject,
    service: ServiceDep,
    audit: AuditDep,
    _turn: ShortTurnDep,
) -> ExperimentSummary:
    """Change its name, note or tags, whatever its status; what is left out or null stays."""
    wanted = read_edit(values)
    changed = control.edit(experiment.id, service.store, service.settings, wanted)
    if details := differences(experiment, changed):
        audit.record("experiment.edit", experiment.id, **details)
    return summaries([changed], service.store)[0]


@router.post("/{experiment_id}/cancel", responses=errors(404, 409), summary="Cancel")
def cancel(
    experiment: ChangeableDep, identity: Member, service: ServiceDep, audit: AuditDep
) -> TaskState:
    """A waiting experiment is cancelled at once; a running one saves a checkpoint and stops."""
    changed = control.cancel(experiment.id, service.store, by=identity.owner)
    audit.record("experiment.cancel", experiment.id)
    return task_state(changed, None)


@router.post("/{experiment_id}/resume", responses=errors(404, 409), summary="Resume")
def resume(experiment: ChangeableDep, service: ServiceDep, audit: AuditDep) -> Submitted:
    """Queue a failed or cancelled experiment, to go on from its newest whole checkpoint."""
    changed = control.resume(experiment.id, service.store)
    audit.record("experiment.resume", experiment.id)
    return submitted(changed, service.store, service.notify(changed.queue))


@router.post("/{experiment_id}/retry", responses=errors(404, 409), summary="Retry")
def retry(experiment: ChangeableDep, service: ServiceDep, audit: AuditDep) -> Submitted:
    """Queue a failed or cancelled experiment, to begin from the start."""
    changed = control.retry(experiment.id, service.store)
    audit.record("experiment.retry", experiment.id)
    return submitted(changed, service.store, service.notify(changed.queue))


@router.post("/{experiment_id}/rerun", status_code=202, responses=errors(404, 422), summary="Rerun")
def rerun(
    experiment: ExperimentDep,
    identity: Member,
    service: ServiceDep,
    audit: AuditDep,
    _turn: ShortTurnDep,
) -> Submitted:
    """Queue a new experiment with the configuration of this one; it belongs to who asks."""
    new = control.rerun(
        experiment.id, service.store, service.settings, owner=identity.owner, confined=True
    )
    audit.record("experiment.rerun", experiment.id, new=new.id)
    return submitted(new, service.store, service.notify(new.queue))


@router.post("/{experiment_id}/front", responses=errors(404, 409), summary="Move to the front")
def front(experiment: ChangeableDep, service: ServiceDep, audit: AuditDep) -> Submitted:
    """Let a waiting experiment be the next of its queue."""
    service.store.jobs.move_to_front(experiment.id)
    audit.record("experiment.front", experiment.id)
    return submitted(service.store.get(experiment.id), service.store, service.broker())


@router.put("/{experiment_id}/priority", responses=errors(404, 409, *BODY), summary="Set priority")
def priority(
    experiment: ChangeableDep, body: Priority, service: ServiceDep, audit: AuditDep
) -> Submitted:
    """Give a waiting experiment another priority; the highest is taken first."""
    service.store.jobs.set_priority(experiment.id, body.priority)
    audit.record("experiment.priority", experiment.id, priority=body.priority)
    return submitted(service.store.get(experiment.id), service.store, service.broker())


@router.delete("/{experiment_id}", responses=errors(404, 409), summary="Delete")
def delete(
    experiment: ChangeableDep,
    service: ServiceDep,
    audit: AuditDep,
    confirm: Annotated[
        str, Query(max_length=200, pattern=TEXT, description="The experiment's name, again.")
    ],
) -> Deleted:
    """Delete an ended experiment: its record, its metrics and its folder. It can't be undone."""
    if confirm != experiment.name:
        raise ConfigError(
            [Problem("confirm", "is not the name of this experiment", confirm, experiment.name)]
        )
    gone = control.delete(experiment.id, service.store, service.settings)
    audit.record("experiment.delete", experiment.id, name=experiment.name)
    return Deleted(id=experiment.id, files_deleted=gone)


def summaries(found: Sequence[Experiment], store: Store) -> list[ExperimentSummary]:
    """Experiments as lines of a list, with their places in the queue."""
    waiting = [e.id for e in found if e.status is ExperimentStatus.QUEUED]
    places: dict[str, Any] = store.jobs.positions(waiting) if waiting else {}
    lines = [ExperimentSummary.model_validate(experiment) for experiment in found]
    for line in lines:
        line.position = places.get(line.id)
    return lines
