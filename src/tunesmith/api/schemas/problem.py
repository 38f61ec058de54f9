"""The form of every answer that is no success (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FieldProblem(BaseModel):
    """One thing wrong with what was sent."""

    field: str = Field(description="Dotted path of the field; empty for the whole.")
    message: str = Field(description="What is wrong.")
    value: str | int | float | bool | None = Field(
        None, description="What was given, shortened where it is long; null where nothing was."
    )
    accepted: str | None = Field(None, description="What would be accepted.")
    suggestion: str | None = Field(None, description="The nearest right name.")


class ProblemDetails(BaseModel):
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
    detail: str = Field(description="What happened, in one paragraph.")
    instance: str = Field("", description="Path of the request.")
    errors: list[FieldProblem] = Field(
        default_factory=list, description="Every wrong field, where fields are wrong."
    )
