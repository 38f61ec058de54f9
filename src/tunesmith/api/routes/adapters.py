"""The registry: adapters under names, with versions and stages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tunesmith.api.deps import Call, Member, Offset, Tags, Text, Viewer, find_experiment
from tunesmith.api.http.documentation import BODY, errors, polled
from tunesmith.errors import invalid
from tunesmith.experiments.registry import promotion
from tunesmith.experiments.registry.registration import AdapterEdit, NewAdapter
from tunesmith.messages import say
from tunesmith.schemas.adapters import (
    AdapterPage,
    AdapterState,
    AdapterVersionState,
    AdapterWhole,
    NewStage,
    NewVersion,
    StageChanged,
)
from tunesmith.schemas.base import LARGEST, TEXT
from tunesmith.schemas.enums import Role, Stage
from tunesmith.serving.adapters import fault_of, locate_adapter
from tunesmith.store.entities.registry import (
    AdapterFilters,
    AdapterVersion,
    PromotionRule,
    RegisteredAdapter,
)
from tunesmith.store.store import Store

router = APIRouter(prefix="/adapters", tags=["adapters"])

MOST = 200
"""Most adapters in one answer."""

Name = Annotated[
    str, Path(description="Name of a registered adapter.", examples=["reviews"], max_length=100)
]
Number = Annotated[int, Path(ge=1, le=LARGEST, description="Number of a version.")]


@router.get("", response_model=AdapterPage, responses=polled(), summary="List registered adapters")
def list_adapters(
    call: Viewer,
    text: Annotated[
        Text,
        Query(description="Words that occur in name, description, tags, or in what a version is."),
    ] = None,
    model: Annotated[Text, Query(description="Part of the base model's name.")] = None,
    task: Annotated[Text, Query(description="Exactly this task.")] = None,
    language: Annotated[Text, Query(description="This language; zh finds zh-TW too.")] = None,
    tag: Tags = (),
    stage: Annotated[Stage | None, Query(description="With a version in this stage.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most that are given.")] = 50,
    offset: Offset = 0,
) -> Response:
    """Those that pass all filters, by name; model, task and stage are asked of one version."""
    filters = AdapterFilters(
        text=text, model=model, task=task, language=language, tags=tag, stage=stage,
        limit=limit, offset=offset,
    )  # fmt: skip
    registry = call.store.registry
    found = registry.list(filters)
    versions = registry.versions(*(each.name for each in found))
    items = [AdapterState.of(each, versions=versions[each.name]) for each in found]
    total = registry.count(filters)
    return call.polled(AdapterPage(items=items, total=total, limit=limit, offset=offset))


@router.post("", status_code=201, responses=errors(404, 409, *BODY), summary="Register a name")
def register(body: NewAdapter, call: Member) -> AdapterWhole:
    """A new name, which belongs to who registers it, and its first version where an experiment is
    named."""
    adapter = RegisteredAdapter(
        name=body.name,
        description=body.description,
        language=body.language or None,
        tags=tuple(body.tags),
        demands=body.demands.applied_to(PromotionRule()),
        owner=call.identity.owner,
    )
    if body.experiment_id is None:
        call.store.registry.create(adapter, None)
        call.record("adapter.register", body.name)
    else:
        asked = NewVersion(experiment_id=body.experiment_id, comment=body.comment)
        call.store.registry.create(adapter, _version(body.name, asked, call))
        call.record("adapter.register", f"{body.name}@1", experiment=body.experiment_id)
    return _whole(body.name, call.store)


@router.get(
    "/{name}",
    response_model=AdapterWhole,
    responses=polled(404),
    summary="One registered adapter, whole",
)
def show(name: Name, call: Viewer) -> Response:
    """Its versions with what was known of each, its promotion rule, and who did what when."""
    return call.polled(_whole(name, call.store))


@router.patch("/{name}", responses=errors(404, *BODY), summary="Edit a registered adapter")
def edit(name: Name, body: AdapterEdit, call: Member) -> AdapterWhole:
    """Change its description, language, tags or promotion rule; what is left out or null stays."""
    _require_change(name, call)
    admin = call.identity.role.allows(Role.ADMIN)
    if details := promotion.edit(name, body, call.store, may_relax=admin):
        call.record("adapter.edit", name, **details)
    return _whole(name, call.store)


@router.delete("/{name}", status_code=204, responses=errors(404, 409), summary="Remove a name")
def remove(
    name: Name,
    call: Member,
    confirm: Annotated[str, Query(max_length=200, pattern=TEXT, description="The name, again.")],
) -> None:
    """Remove a name with its versions, none of which may be in production; experiments stay."""
    _require_change(name, call)
    if confirm != name:
        raise invalid("confirm", say("is not the name of this adapter"), confirm, name)
    call.store.registry.remove(name)
    call.record("adapter.remove", name)


@router.post(
    "/{name}/versions",
    status_code=201,
    responses=errors(404, 409, *BODY),
    summary="Register a version",
)
def add_version(name: Name, body: NewVersion, call: Member) -> AdapterVersionState:
    """The adapter of an experiment that has succeeded, as the next version of a name: a candidate.
    While it isn't archived, the experiment can't be deleted."""
    _require_change(name, call)
    added = call.store.registry.add(_version(name, body, call))
    call.record("adapter.register", added.reference, experiment=added.experiment_id)
    return AdapterVersionState.model_validate(added)


@router.post(
    "/{name}/versions/{number}/stage",
    responses=errors(404, 409, *BODY),
    summary="Promote or archive a version",
)
def change_stage(name: Name, number: Number, body: NewStage, call: Member) -> StageChanged:
    """Give a version another stage. Into production goes what meets the promotion rule of its name;
    the one that was there is archived in the same moment. Unmet conditions are listed."""
    _require_change(name, call)
    if body.force:
        call.identity.require(Role.ADMIN)
    version = call.store.registry.version(name, number)
    fault = None
    if body.stage is Stage.PRODUCTION:
        experiment = call.store.get(version.experiment_id)
        fault = fault_of(experiment, call.settings, version.weights_hash)
    moved = promotion.change_stage(
        version, body.stage, call.store, call.settings,
        by=call.identity.name, comment=body.comment, force=body.force, fault=fault,
    )  # fmt: skip
    call.record("adapter.stage", version.reference, **moved.details())
    return StageChanged.of(moved, archived=moved.replaced)


@router.delete(
    "/{name}/versions/{number}",
    status_code=204,
    responses=errors(404, 409),
    summary="Remove a version",
)
def remove_version(name: Name, number: Number, call: Member) -> None:
    """Remove a version that isn't in production, with its history; its number isn't given again."""
    _require_change(name, call)
    call.store.registry.remove_version(name, number)
    call.record("adapter.remove", f"{name}@{number}")


def _require_change(name: str, call: Call) -> None:
    call.identity.require_change(call.store.registry.get(name))


def _version(name: str, asked: NewVersion, call: Call) -> AdapterVersion:
    experiment = find_experiment(asked.experiment_id, call.store)
    weights = locate_adapter(experiment, call.settings).weights_hash()
    by = call.identity.name
    return promotion.version_of(experiment, name, weights, comment=asked.comment, by=by)


def _whole(name: str, store: Store) -> AdapterWhole:
    known, versions = store.registry, store.registry.versions(name)[name]
    return AdapterWhole.of(known.get(name), versions=versions, history=known.history(name))
