"""Experiments: listed, read, changed, deleted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BeforeValidator, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from tunesmith.api.deps import (
    ChangeableDep,
    ExperimentDep,
    JsonObject,
    Member,
    Offset,
    ShortTurnDep,
    Tags,
    Text,
    TurnDep,
    Viewer,
    find_experiment,
)
from tunesmith.api.http.documentation import BODY, EDIT_BODY, errors, polled
from tunesmith.api.routes.train import position_of, queued, submitted
from tunesmith.api.task_state import task_state
from tunesmith.errors import invalid
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.edits import differences, read_edit
from tunesmith.experiments.questions.comparison import FEWEST, compare_experiments
from tunesmith.experiments.questions.comparison import MOST as MOST_COMPARED
from tunesmith.messages import say
from tunesmith.schemas.base import TEXT
from tunesmith.schemas.compare import ExperimentComparison
from tunesmith.schemas.enums import SORT_KEYS, ExperimentStatus
from tunesmith.schemas.experiments import (
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
)
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Filters

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
        said = say("is in no year from 1 to 9999, in UTC")
        raise invalid(field, said, time.isoformat()) from None


_DAY_OR_TIME = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": kind} for kind in ("date", "date-time")]
              + [{"type": "null"}]}
)  # fmt: skip
_ZONE = "what names no zone is in the server's time zone (TZ)."
Start = Annotated[
    datetime | None,
    BeforeValidator(_as_written),
    _DAY_OR_TIME,
    Query(description=f"Earliest day or time of creation; a day begins at 0:00, and {_ZONE}"),
]
End = Annotated[
    datetime | None,
    BeforeValidator(_as_written),
    WrapValidator(_to_its_end),
    _DAY_OR_TIME,
    Query(description=f"Latest day or time of creation; a day counts to its end, and {_ZONE}"),
]


async def get_filters(
    call: Viewer,
    name: Annotated[Text, Query(description="Part of the name.")] = None,
    status: Annotated[ExperimentStatus | None, Query(description="Exactly this status.")] = None,
    model: Annotated[Text, Query(description="Part of the base model's name.")] = None,
    dataset: Annotated[Text, Query(description="Part of the dataset's name.")] = None,
    text: Annotated[
        Text, Query(description="Words that occur in names, id, reason, note or tags.")
    ] = None,
    tag: Tags = (),
    owner: Annotated[Text, Query(description="Exactly this owner.")] = None,
    min_accuracy: Annotated[
        float | None, Query(ge=0, le=1, description="Lowest eval_accuracy.")
    ] = None,
    max_runtime: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Longest training, in seconds.")
    ] = None,
    start_date: Start = None,
    end_date: End = None,
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
    offset: Offset = 0,
) -> Filters:
    """Which experiments are asked for, and in which order. Raises ConfigError."""
    return Filters(
        name=name, status=status, model=model, dataset=dataset, text=text, tags=tag, owner=owner,
        min_accuracy=min_accuracy, max_runtime=max_runtime,
        start_date=_in_utc("start_date", start_date, call.settings),
        end_date=_in_utc("end_date", end_date, call.settings),
        sort_by=sort_by, desc=desc, limit=limit, offset=offset,
    )  # fmt: skip


@router.get("", response_model=ExperimentPage, responses=polled(), summary="List experiments")
def list_experiments(call: Viewer, filters: Annotated[Filters, Depends(get_filters)]) -> Response:
    """The experiments that pass all filters, the newest first, with their number in all."""
    found = call.store.list(filters, details=False)
    waiting = [each.id for each in found if each.status is ExperimentStatus.QUEUED]
    places = call.store.queue.positions(waiting) if waiting else {}
    lines = [ExperimentSummary.model_validate(each) for each in found]
    for line in lines:
        line.position = places.get(line.id)
    page = ExperimentPage(
        items=lines,
        total=call.store.count(filters),
        limit=filters.limit or 0,
        offset=filters.offset,
    )
    return call.polled(page)


@router.get(
    "/stats",
    response_model=ExperimentStats,
    responses=polled(),
    summary="All experiments in a few numbers",
)
def stats(call: Viewer) -> Response:
    """Counts by status, best and mean accuracy, total and mean runtime in seconds."""
    return call.polled(call.store.stats())


@router.get("/tags", response_model=ExperimentTags, responses=polled(), summary="All tags")
def tags(call: Viewer) -> Response:
    """The tags that experiments have, and how many have each: the commonest 1,000."""
    counts = call.store.tags()
    items = [TagCount(tag=tag, experiments=count) for tag, count in counts.items()]
    return call.polled(ExperimentTags(items=items))


@router.get("/compare", responses=errors(404), summary="Compare experiments")
def compare(
    call: Viewer,
    _turn: TurnDep,
    ids: Annotated[
        list[str],
        Query(
            alias="id",
            min_length=FEWEST,
            max_length=MOST_COMPARED,
            description="Ids of different experiments; the first is the baseline.",
            json_schema_extra={"uniqueItems": True},
        ),
    ],
) -> ExperimentComparison:
    """Scores with intervals, each experiment tested against the first on the same evaluation rows,
    what differs in configuration, environment and data, and seeds grouped. Curves are in
    GET /experiments/{experiment_id}/metrics."""
    found = [find_experiment(id_, call.store) for id_ in ids]
    compared = call.service.computing.run(
        compare_experiments, found, call.settings, call.store.looks(found[0].test_side)
    )
    return ExperimentComparison.model_validate(compared)


@router.get(
    "/{experiment_id}",
    response_model=ExperimentWhole,
    responses=polled(404),
    summary="One experiment, whole",
)
def show(experiment: ExperimentDep, call: Viewer) -> Response:
    """Everything that is recorded of it: configuration, data, environment, plan, metrics."""
    position = position_of(experiment, call.store)
    return call.polled(ExperimentWhole.of(experiment, position=position))


@router.patch(
    "/{experiment_id}", responses=errors(404, *BODY), openapi_extra=EDIT_BODY, summary="Edit"
)
def edit(
    experiment: ChangeableDep, values: JsonObject, call: Member, _turn: ShortTurnDep
) -> ExperimentSummary:
    """Change its name, note or tags, whatever its status; what is left out or null stays."""
    changed = control.edit(experiment.id, call.store, call.settings, read_edit(values))
    if details := differences(experiment, changed):
        call.record("experiment.edit", experiment.id, **details)
    return ExperimentSummary.of(changed, position=position_of(changed, call.store))


@router.post("/{experiment_id}/cancel", responses=errors(404, 409), summary="Cancel")
def cancel(experiment: ChangeableDep, call: Member) -> TaskState:
    """A waiting experiment is cancelled at once; a running one saves a checkpoint and stops."""
    changed = control.cancel(experiment.id, call.store, by=call.identity.owner)
    call.record("experiment.cancel", experiment.id)
    return task_state(changed, None)


@router.post("/{experiment_id}/resume", responses=errors(404, 409), summary="Resume")
def resume(experiment: ChangeableDep, call: Member) -> Submitted:
    """Queue a failed or cancelled experiment, to go on from its newest whole checkpoint."""
    changed = control.resume(experiment.id, call.store)
    call.record("experiment.resume", experiment.id)
    return queued(changed, call)


@router.post("/{experiment_id}/retry", responses=errors(404, 409), summary="Retry")
def retry(experiment: ChangeableDep, call: Member) -> Submitted:
    """Queue a failed or cancelled experiment, to begin from the start."""
    changed = control.retry(experiment.id, call.store)
    call.record("experiment.retry", experiment.id)
    return queued(changed, call)


@router.post("/{experiment_id}/rerun", status_code=202, responses=errors(404, 422), summary="Rerun")
def rerun(experiment: ExperimentDep, call: Member, _turn: ShortTurnDep) -> Submitted:
    """Queue a new experiment with the configuration of this one; it belongs to who asks."""
    owner = call.identity.owner
    new = control.rerun(experiment.id, call.store, call.settings, owner=owner, confined=True)
    call.record("experiment.rerun", experiment.id, new=new.id)
    return queued(new, call)


@router.post("/{experiment_id}/front", responses=errors(404, 409), summary="Move to the front")
def front(experiment: ChangeableDep, call: Member) -> Submitted:
    """Let a waiting experiment be the next of its queue."""
    call.store.queue.move_to_front(experiment.id)
    call.record("experiment.front", experiment.id)
    return submitted(call.store.get(experiment.id), call.store, call.service.broker())


@router.put("/{experiment_id}/priority", responses=errors(404, 409, *BODY), summary="Set priority")
def priority(experiment: ChangeableDep, body: Priority, call: Member) -> Submitted:
    """Give a waiting experiment another priority; the highest is taken first."""
    call.store.queue.set_priority(experiment.id, body.priority)
    call.record("experiment.priority", experiment.id, priority=body.priority)
    return submitted(call.store.get(experiment.id), call.store, call.service.broker())


@router.delete("/{experiment_id}", responses=errors(404, 409), summary="Delete")
def delete(
    experiment: ChangeableDep,
    call: Member,
    confirm: Annotated[
        str, Query(max_length=200, pattern=TEXT, description="The experiment's name, again.")
    ],
) -> Deleted:
    """Delete an ended experiment: its record, its metrics and its folder. It can't be undone."""
    if confirm != experiment.name:
        wrong = say("is not the name of this experiment")
        raise invalid("confirm", wrong, confirm, experiment.name)
    gone = control.delete(experiment.id, call.store, call.settings)
    call.record("experiment.delete", experiment.id, name=experiment.name)
    return Deleted(id=experiment.id, files_deleted=gone)
