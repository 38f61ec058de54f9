"""The registry: adapters under names, with versions and stages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from tunesmith.api.auth import Identity
from tunesmith.api.deps import (
    AuditDep,
    Member,
    SettingsDep,
    StoreDep,
    Text,
    Viewer,
    find_experiment,
)
from tunesmith.api.documentation import BODY, errors, unchanged
from tunesmith.api.etag import conditional
from tunesmith.api.routes.experiments import Tag
from tunesmith.api.schemas.adapters import (
    AdapterPage,
    AdapterState,
    AdapterVersionState,
    AdapterWhole,
    NewStage,
    NewVersion,
    StageChanged,
)
from tunesmith.api.schemas.base import LARGEST, TEXT
from tunesmith.errors import ConfigError, Problem
from tunesmith.experiments import promotion
from tunesmith.experiments.edits import MOST_TAGS
from tunesmith.experiments.registration import AdapterEdit, NewAdapter
from tunesmith.serving.adapters import fault_of, locate_adapter
from tunesmith.settings import Settings
from tunesmith.tracking.registry_entities import (
    AdapterFilters,
    AdapterVersion,
    Demands,
    RegisteredAdapter,
    Stage,
)
from tunesmith.tracking.service_entities import Role
from tunesmith.tracking.store import Store

router = APIRouter(prefix="/adapters", tags=["adapters"])

MOST = 200
"""Most adapters in one answer."""

Name = Annotated[
    str, Path(description="Name of a registered adapter.", examples=["reviews"], max_length=100)
]
Number = Annotated[int, Path(ge=1, le=LARGEST, description="Number of a version.")]


@router.get(
    "",
    response_model=AdapterPage,
    responses={**errors(), **unchanged()},
    summary="List registered adapters",
)
def list_adapters(
    request: Request,
    store: StoreDep,
    _: Viewer,
    text: Annotated[
        Text,
        Query(description="Words that occur in name, description, tags, or in what a version is."),
    ] = None,
    model: Annotated[Text, Query(description="Part of the base model's name.")] = None,
    task: Annotated[Text, Query(description="Exactly this task.")] = None,
    language: Annotated[Text, Query(description="This language; zh finds zh-TW too.")] = None,
    tag: Annotated[
        tuple[Tag, ...],
        Query(max_length=MOST_TAGS, description="A tag that it has; several: all of them."),
    ] = (),
    stage: Annotated[Stage | None, Query(description="With a version in this stage.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most that are given.")] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="How many to pass over.")] = 0,
) -> Response:
    """Those that pass all filters, by name; model, task and stage are asked of one version."""
    filters = AdapterFilters(
        text=text, model=model, task=task, language=language, tags=tag, stage=stage,
        limit=limit, offset=offset,
    )  # fmt: skip
    found = store.registry.list(filters)
    versions = store.registry.versions(*(each.name for each in found))
    items = [_state(each, versions[each.name]) for each in found]
    total = store.registry.count(filters)
    return conditional(request, AdapterPage(items=items, total=total, limit=limit, offset=offset))


@router.post("", status_code=201, responses=errors(404, 409, *BODY), summary="Register a name")
def register(
    body: NewAdapter, store: StoreDep, settings: SettingsDep, identity: Member, audit: AuditDep
) -> AdapterWhole:
    """A new name, which belongs to who registers it, and its first version where an experiment is
    named."""
    adapter = RegisteredAdapter(
        name=body.name,
        description=body.description,
        language=body.language or None,
        tags=tuple(body.tags),
        demands=body.demands.applied_to(Demands()),
        owner=identity.owner,
    )
    first = None
    if body.experiment_id is not None:
        asked = NewVersion(experiment_id=body.experiment_id, comment=body.comment)
        first = _version(body.name, asked, store, settings, identity)
    store.registry.create(adapter, first)
    target, of = (body.name, None) if first is None else (f"{body.name}@1", first.experiment_id)
    audit.record("adapter.register", target, **({} if of is None else {"experiment": of}))
    return _whole(body.name, store)


@router.get(
    "/{name}",
    response_model=AdapterWhole,
    responses={**errors(404), **unchanged()},
    summary="One registered adapter, whole",
)
def show(request: Request, name: Name, store: StoreDep, _: Viewer) -> Response:
    """Its versions with what was known of each, what is demanded, and who did what when."""
    return conditional(request, _whole(name, store))


@router.patch("/{name}", responses=errors(404, *BODY), summary="Edit a registered adapter")
def edit(
    name: Name, body: AdapterEdit, store: StoreDep, identity: Member, audit: AuditDep
) -> AdapterWhole:
    """Change its description, language, tags or demands; what is left out or null stays."""
    identity.require_change(store.registry.get(name))
    admin = identity.role.allows(Role.ADMIN)
    if details := promotion.edit(name, body, store, may_demand_less=admin):
        audit.record("adapter.edit", name, **details)
    return _whole(name, store)


@router.delete("/{name}", status_code=204, responses=errors(404, 409), summary="Remove a name")
def remove(
    name: Name,
    store: StoreDep,
    identity: Member,
    audit: AuditDep,
    confirm: Annotated[str, Query(max_length=200, pattern=TEXT, description="The name, again.")],
) -> None:
    """Remove a name with its versions, none of which may be in production; experiments stay."""
    identity.require_change(store.registry.get(name))
    if confirm != name:
        raise ConfigError([Problem("confirm", "is not the name of this adapter", confirm, name)])
    store.registry.remove(name)
    audit.record("adapter.remove", name)


@router.post(
    "/{name}/versions",
    status_code=201,
    responses=errors(404, 409, *BODY),
    summary="Register a version",
)
def add_version(
    name: Name,
    body: NewVersion,
    store: StoreDep,
    settings: SettingsDep,
    identity: Member,
    audit: AuditDep,
) -> AdapterVersionState:
    """The adapter of an experiment that has succeeded, as the next version of a name: a candidate.
    While it isn't archived, the experiment can't be deleted."""
    identity.require_change(store.registry.get(name))
    added = store.registry.add(_version(name, body, store, settings, identity))
    audit.record("adapter.register", added.reference, experiment=added.experiment_id)
    return AdapterVersionState.model_validate(added)


@router.post(
    "/{name}/versions/{number}/stage",
    responses=errors(404, 409, *BODY),
    summary="Promote or archive a version",
)
def change_stage(
    name: Name,
    number: Number,
    body: NewStage,
    store: StoreDep,
    settings: SettingsDep,
    identity: Member,
    audit: AuditDep,
) -> StageChanged:
    """Give a version another stage. Into production goes what meets every demand of its name; the
    one that was there is archived in the same moment. Every demand that isn't met is told."""
    identity.require_change(store.registry.get(name))
    if body.force:
        identity.require(Role.ADMIN)
    version = store.registry.version(name, number)
    fault = None
    if body.stage is Stage.PRODUCTION:
        experiment = store.get(version.experiment_id)
        fault = fault_of(experiment, settings, version.weights_hash)
    moved = promotion.change_stage(
        version, body.stage, store, settings,
        by=identity.name, comment=body.comment, force=body.force, fault=fault,
    )  # fmt: skip
    audit.record("adapter.stage", version.reference, **moved.details())
    replaced = moved.replaced
    return StageChanged(
        version=AdapterVersionState.model_validate(moved.version),
        archived=None if replaced is None else AdapterVersionState.model_validate(replaced),
        unmet=list(moved.unmet),
    )


@router.delete(
    "/{name}/versions/{number}",
    status_code=204,
    responses=errors(404, 409),
    summary="Remove a version",
)
def remove_version(
    name: Name, number: Number, store: StoreDep, identity: Member, audit: AuditDep
) -> None:
    """Remove a version that isn't in production, with its history; its number isn't given again."""
    identity.require_change(store.registry.get(name))
    store.registry.remove_version(name, number)
    audit.record("adapter.remove", f"{name}@{number}")


def _version(
    name: str, asked: NewVersion, store: Store, settings: Settings, identity: Identity
) -> AdapterVersion:
    experiment = find_experiment(asked.experiment_id, store)
    weights = locate_adapter(experiment, settings).weights_hash()
    return promotion.version_of(experiment, name, weights, comment=asked.comment, by=identity.name)


def _state(adapter: RegisteredAdapter, versions: list[AdapterVersion]) -> AdapterState:
    return AdapterState.model_validate(_values(adapter, versions))


def _whole(name: str, store: Store) -> AdapterWhole:
    adapter = store.registry.get(name)
    values = _values(adapter, store.registry.versions(name)[name])
    return AdapterWhole.model_validate(values | {"history": store.registry.history(name)})


def _values(adapter: RegisteredAdapter, versions: list[AdapterVersion]) -> dict[str, Any]:
    fields = ("name", "description", "language", "tags", "owner", "created_at", "demands")
    return {field: getattr(adapter, field) for field in fields} | {"versions": versions}
