"""Configurations: what can be configured, what is wrong with one, what its defaults are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from tunesmith.api import computations
from tunesmith.api.deps import (
    JsonObject,
    LightTurnDep,
    ServiceDep,
    SettingsDep,
    StoreDep,
    TurnDep,
    Viewer,
)
from tunesmith.api.documentation import (
    BODY,
    EXAMPLE,
    configuration_body,
    configuration_schema,
    errors,
)
from tunesmith.api.problems import field_problem
from tunesmith.api.schemas.base import TEXT
from tunesmith.api.schemas.data import (
    BaseModels,
    BaseModelState,
    ConfigurationCheck,
    Estimate,
    HubModels,
    HubModelState,
    ParsedConfiguration,
    Presets,
    PresetState,
    Resolved,
    Validation,
    YamlText,
)
from tunesmith.config.presets import presets
from tunesmith.config.yaml import Draft, parse_yaml, read_draft, to_yaml
from tunesmith.experiments.confinement import confinement_problems
from tunesmith.experiments.estimates import expect
from tunesmith.settings import Settings
from tunesmith.tracking.column_types import to_json
from tunesmith.tracking.service_entities import Role
from tunesmith.training.catalogue import base_models

router = APIRouter(prefix="/configuration", tags=["configuration"])


@router.get("/schema", responses=errors(), summary="JSON schema of a configuration")
def schema(_: Viewer) -> dict[str, Any]:
    """Every field with its name, type, bounds, default and one line of description."""
    return configuration_schema()


@router.get("/presets", responses=errors(), summary="Ready-made configurations")
def list_presets(_: Viewer) -> Presets:
    """What to begin with: the starter first."""
    return Presets(
        items=[
            PresetState(
                name=each.name, description=each.description, config=each.config, yaml=each.text
            )
            for each in presets().values()
        ]
    )


@router.post(
    "/validate",
    response_model=Validation,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Check a configuration",
)
def validate(_: Viewer, values: JsonObject, service: ServiceDep, _turn: TurnDep) -> Validation:
    """Hold a configuration against itself, its data and its model; nothing is queued.

    Nothing is fetched from the hub: what lies there is listed as unchecked. Problems are an answer
    here, not an error.
    """
    problems, unchecked = service.computing.run(computations.validate, values, service.settings)
    return Validation(
        valid=not problems,
        problems=[field_problem(problem) for problem in problems],
        unchecked=unchecked,
    )


@router.get("/models", responses=errors(), summary="Base models at hand, or of the hub")
def list_models(
    identity: Viewer,
    service: ServiceDep,
    search: Annotated[
        str | None,
        Query(
            min_length=2,
            max_length=100,
            pattern=TEXT,
            description="Look for models of the hub too whose names contain this; for members.",
        ),
    ] = None,
) -> BaseModels:
    """The base models in installed packages and in the hub's cache of the API's machine.

    A search asks the Hugging Face hub for models that can be adapted and have safetensors, for
    three seconds at most; answers are kept for a minute. Any model of the hub can be named, found
    or not, where workers reach it.
    """
    hub = None
    if search is not None:
        identity.require(Role.MEMBER)  # it asks another server, which a viewer may not make us do
        found = service.hub.find(search)
        models = [HubModelState.model_validate(asdict(model)) for model in found.models]
        hub = HubModels(state=found.state, items=models)
    at_hand = [BaseModelState.model_validate(asdict(model)) for model in base_models()]
    return BaseModels(items=at_hand, hub=hub)


@router.post(
    "/check",
    responses=errors(404, *BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Hold the data of a configuration against its rules",
)
def check_rows(
    identity: Viewer,
    values: JsonObject,
    service: ServiceDep,
    _turn: TurnDep,
    findings: Annotated[int, Query(ge=0, le=10_000, description="Findings to list.")] = 100,
) -> ConfigurationCheck:
    """Every row against the rules of `data.validation_rules`: what is wrong, where, what is done.

    Takes a while for many rows. Data of the hub are fetched for members and admins only.
    """
    found = service.computing.run(
        computations.check_rows, values, service.settings, findings, hub=identity.may_fetch
    )
    return ConfigurationCheck.model_validate(found)


@router.post(
    "/rejected",
    response_class=Response,
    responses={
        **errors(404, *BODY),
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
    },
    openapi_extra=configuration_body(EXAMPLE),
    summary="The rows that the rules reject",
)
def rejected_rows(
    identity: Viewer, values: JsonObject, service: ServiceDep, _turn: TurnDep
) -> Response:
    """The rows that a training would not use, with rule and reason, as CSV.

    Data of the hub are fetched for members and admins only.
    """
    found = service.computing.run(
        computations.rejected_csv, values, service.settings, hub=identity.may_fetch
    )
    return Response(
        found,
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="rejected.csv"'},
    )


def _confined(values: dict[str, Any], settings: Settings) -> Draft:
    """The draft. Raises ConfigError with every problem, also of what may not be named here."""
    draft = read_draft(values)
    if draft.partial is not None and (out := confinement_problems(draft.partial, settings)):
        raise draft.error(out)
    return draft


@router.post("/parse", responses=errors(*BODY), summary="Read a configuration in YAML")
def parse(_: Viewer, given: YamlText, _turn: LightTurnDep) -> ParsedConfiguration:
    """What a text says as JSON, and every problem of its fields; data and model aren't looked at.

    Text that isn't YAML is 422, with its line.
    """
    values = parse_yaml(given.yaml)
    problems = [field_problem(problem) for problem in read_draft(values).problems]
    return ParsedConfiguration(config=to_json(values), problems=problems)


@router.post(
    "/resolve",
    response_model=Resolved,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Fill in the defaults",
)
def resolve(_: Viewer, values: JsonObject, _turn: LightTurnDep) -> Resolved:
    """The complete configuration, as JSON and as YAML, without a look at data or model."""
    config = read_draft(values).config()
    text = to_yaml(config)
    return Resolved(config=config.model_dump(mode="json"), yaml=text)


@router.post(
    "/estimate",
    response_model=Estimate,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Estimate memory and time",
)
def estimate(
    _: Viewer, values: JsonObject, settings: SettingsDep, store: StoreDep, _turn: LightTurnDep
) -> Estimate:
    """What a training will take, before it is trained; nothing is fetched, no data are read.

    The time is that of earlier experiments with the same model, else computed from the model's
    size and this machine's speed.
    """
    found = expect(_confined(values, settings).config(), store, settings)
    least, most = found.seconds or (None, None)
    return Estimate(
        memory_bytes=found.memory,
        memory_free_bytes=found.memory_free,
        seconds_least=least,
        seconds_most=most,
        experiments=[one.id for one in found.measured],
        hosts=sorted({one.host for one in found.measured if one.host}),
    )
