"""Configurations: what can be configured, what is wrong with one, what its defaults are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from tunesmith.api.computing import computations
from tunesmith.api.deps import JsonObject, LightTurnDep, TurnDep, Viewer
from tunesmith.api.http.documentation import BODY, CONFIGURATION_BODY, configuration_schema, errors
from tunesmith.api.http.problems import field_problem
from tunesmith.config.presets import presets
from tunesmith.config.yaml import parse_yaml, read_draft, to_yaml
from tunesmith.experiments.questions.estimates import expect
from tunesmith.models.catalogue import base_models
from tunesmith.schemas.base import TEXT
from tunesmith.schemas.data import (
    BaseModels,
    ConfigurationCheck,
    Estimate,
    HubModels,
    ParsedConfiguration,
    Presets,
    PresetState,
    Resolved,
    Validation,
    YamlText,
)
from tunesmith.schemas.enums import Role
from tunesmith.schemas.row_tokens import MOST_ROWS, RowsAsTokens
from tunesmith.store.database.column_types import to_json

router = APIRouter(prefix="/configuration", tags=["configuration"])


@router.get("/schema", responses=errors(), summary="JSON schema of a configuration")
def schema(_: Viewer) -> dict[str, Any]:
    """Every field with its name, type, bounds, default and one line of description."""
    return configuration_schema()


@router.get("/presets", responses=errors(), summary="Ready-made configurations")
def list_presets(_: Viewer) -> Presets:
    """What to begin with: the starter first."""
    return Presets(items=[PresetState.of(each, yaml=each.text) for each in presets().values()])


@router.post(
    "/validate",
    responses=errors(*BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Check a configuration",
)
def validate(call: Viewer, values: JsonObject, _turn: TurnDep) -> Validation:
    """Hold a configuration against itself, its data and its model; nothing is queued.

    Nothing is fetched from the hub: what lies there is listed as unchecked. Problems are an answer
    here, not an error.
    """
    found, unchecked = call.service.computing.run(computations.validate, values, call.settings)
    problems = [field_problem(problem) for problem in found]
    return Validation(valid=not problems, problems=problems, unchecked=unchecked)


@router.get("/models", responses=errors(), summary="Base models at hand, or of the hub")
def list_models(
    call: Viewer,
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
        # It asks another server, which a viewer may not make us do.
        call.identity.require(Role.MEMBER)
        found = call.service.hub.find(search)
        hub = HubModels(state=found.state, items=found.models)
    return BaseModels(items=base_models(), hub=hub)


@router.post(
    "/check",
    responses=errors(404, *BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Hold the data of a configuration against its rules",
)
def check_rows(
    call: Viewer,
    values: JsonObject,
    _turn: TurnDep,
    findings: Annotated[int, Query(ge=0, le=10_000, description="Findings to list.")] = 100,
) -> ConfigurationCheck:
    """Every row against the rules of `data.validation_rules`: what is wrong, where, what is done.

    Takes a while for many rows. Data of the hub are fetched for members and admins only.
    """
    run, hub = call.service.computing.run, call.identity.may_fetch
    found = run(computations.check_rows, values, call.settings, findings, hub=hub)
    return ConfigurationCheck.model_validate(found)


@router.post(
    "/tokens",
    responses=errors(404, *BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Rows as the model of a configuration sees them",
)
def row_tokens(
    call: Viewer,
    values: JsonObject,
    _turn: TurnDep,
    row: Annotated[
        list[Annotated[int, Field(ge=1, le=2**53)]],
        Query(min_length=1, max_length=MOST_ROWS, description="Numbers of rows in the source."),
    ],
) -> RowsAsTokens:
    """Rows encoded as in training: what is learned, what is cut off, what is unknown.

    Data and models of the hub are fetched for members and admins only.
    """
    run, hub = call.service.computing.run, call.identity.may_fetch
    found = run(computations.row_tokens, values, row, call.settings, hub=hub)
    return RowsAsTokens.model_validate(found)


@router.post(
    "/rejected",
    response_class=Response,
    responses={
        **errors(404, *BODY),
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
    },
    openapi_extra=CONFIGURATION_BODY,
    summary="The rows that the rules reject",
)
def rejected_rows(call: Viewer, values: JsonObject, _turn: TurnDep) -> Response:
    """The rows that a training would not use, with rule and reason, as CSV.

    Data of the hub are fetched for members and admins only.
    """
    run, hub = call.service.computing.run, call.identity.may_fetch
    found = run(computations.rejected_csv, values, call.settings, hub=hub)
    named = {"Content-Disposition": 'attachment; filename="rejected.csv"'}
    return Response(found, media_type="text/csv", headers=named)


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
    responses=errors(*BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Fill in the defaults",
)
def resolve(_: Viewer, values: JsonObject, _turn: LightTurnDep) -> Resolved:
    """The complete configuration, as JSON and as YAML, without a look at data or model."""
    config = read_draft(values).config()
    return Resolved(config=config.model_dump(mode="json"), yaml=to_yaml(config))


@router.post(
    "/estimate",
    responses=errors(*BODY),
    openapi_extra=CONFIGURATION_BODY,
    summary="Estimate memory and time",
)
def estimate(call: Viewer, values: JsonObject, _turn: LightTurnDep) -> Estimate:
    """What a training will take, before it is trained; nothing is fetched, no data are read.

    The time is that of earlier experiments with the same model, else computed from the model's
    size and this machine's speed.
    """
    config = computations.confined(values, call.settings).config()
    found = expect(config, call.store, call.settings)
    least, most = found.seconds or (None, None)
    return Estimate(
        memory_bytes=found.memory,
        memory_free_bytes=found.memory_free,
        seconds_least=least,
        seconds_most=most,
        experiments=[one.id for one in found.measured],
        hosts=sorted({one.host for one in found.measured if one.host}),
    )
