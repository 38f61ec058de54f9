"""Configurations: what can be configured, what is wrong with one, what its defaults are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from tunesmith.api.deps import JsonObject, SettingsDep, TurnDep, Viewer
from tunesmith.api.documentation import (
    BODY,
    EXAMPLE,
    configuration_body,
    configuration_schema,
    errors,
)
from tunesmith.api.problems import field_problem
from tunesmith.api.schemas.data import Resolved, Validation
from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.errors import ConfigError
from tunesmith.experiments.confinement import confinement_problems
from tunesmith.experiments.prepare import check

router = APIRouter(prefix="/configuration", tags=["configuration"])


@router.get("/schema", responses=errors(), summary="JSON schema of a configuration")
def schema(_: Viewer) -> dict[str, Any]:
    """Every field with its name, type, bounds, default and one line of description."""
    return configuration_schema()


@router.post(
    "/validate",
    response_model=Validation,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Check a configuration",
)
def validate(_: Viewer, values: JsonObject, settings: SettingsDep, _turn: TurnDep) -> Validation:
    """Hold a configuration against itself, its data and its model; nothing is queued.

    Nothing is fetched from the hub: what lies there is listed as unchecked. Problems are an answer
    here, not an error.
    """
    draft = read_draft(values)
    try:
        if draft.partial is not None and (out := confinement_problems(draft.partial, settings)):
            raise draft.error(out)
        unchecked = check(draft, settings)
    except ConfigError as error:
        problems = [field_problem(problem) for problem in error.problems]
        return Validation(valid=False, problems=problems, unchecked=[])
    return Validation(valid=True, problems=[], unchecked=unchecked)


@router.post(
    "/resolve",
    response_model=Resolved,
    responses=errors(*BODY),
    openapi_extra=configuration_body(EXAMPLE),
    summary="Fill in the defaults",
)
def resolve(_: Viewer, values: JsonObject) -> Resolved:
    """The complete configuration, as JSON and as YAML, without a look at data or model."""
    config = read_draft(values).config()
    text = to_yaml(config)
    return Resolved(config=config.model_dump(mode="json"), yaml=text)
