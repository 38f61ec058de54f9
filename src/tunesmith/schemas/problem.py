"""The form of every answer that is no success (RFC 9457)."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from tunesmith import errors
from tunesmith.schemas.base import Said, WithMessages

KINDS_OF_ERRORS: tuple[tuple[type[errors.TunesmithError], int, str, str], ...] = (
    (errors.UnauthenticatedError, 401, "unauthenticated", "Who asks isn't known"),
    (errors.TooManyAttemptsError, 429, "too-many-attempts", "Too many failed attempts"),
    (errors.AccessError, 403, "forbidden", "Not allowed"),
    (errors.NotFoundError, 404, "not-found", "Not found"),
    (errors.StateError, 409, "state", "Not in this state"),
    (errors.LeaseLostError, 409, "state", "Not in this state"),
    (errors.ConfigError, 422, "invalid", "The request has problems"),
    (errors.DataError, 422, "data", "The data can't be used"),
    (errors.ModelError, 422, "model", "The model can't be used"),
    (errors.DeviceError, 422, "device", "The device can't be used"),
    (errors.UserError, 422, "user", "Can't be done as asked"),
    (errors.StorageError, 503, "storage", "The store doesn't answer"),
    (errors.ServiceError, 503, "service", "A service doesn't answer"),
)
"""Error, status of its answer, end of the `type`, title; the first that fits counts."""


class FieldProblem(WithMessages):
    """One thing wrong with what was sent."""

    field: str = Field(description="Dotted path of the field; empty for the whole.")
    message: Said = Field(description="What is wrong.")
    value: str | int | float | bool | None = Field(
        None, description="What was given, shortened where it is long; null where nothing was."
    )
    accepted: Said | None = Field(None, description="What would be accepted.")
    suggestion: str | None = Field(None, description="The nearest right name.")


class ProblemDetails(WithMessages):
    """Why a request failed, as application/problem+json."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:tunesmith:problem:invalid",
                "title": "The request has problems",
                "status": 422,
                "detail": "lora.rr: unknown field; did you mean r?",
                "instance": "/train",
                "errors": [
                    {
                        "field": "lora.rr",
                        "message": "unknown field",
                        "value": None,
                        "accepted": None,
                        "suggestion": "r",
                    }
                ],
            }
        }
    )

    type: str = Field(description="What kind of problem it is: urn:tunesmith:problem:…")
    title: str = Field(description="The kind in a few words.")
    status: int = Field(description="HTTP status of the answer.")
    detail: Said = Field(description="What happened, in one paragraph.")
    instance: str = Field("", description="Path of the request.")
    errors: list[FieldProblem] = Field(
        default_factory=list, description="Every wrong field, where fields are wrong."
    )
