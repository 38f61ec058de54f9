"""The options of a task: fields of a configuration, each within bounds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tunesmith.messages import say

LONGEST_TEXT = 20_000
"""Characters of a text in a configuration, at most."""

MOST_ITEMS = 10_000
"""Items of a list or mapping in a configuration, at most."""

LARGEST = 2**53
"""Beyond it, not every whole number is a float's; JSON's readers lose digits there."""


class Fields(BaseModel):
    """Fields of a configuration: frozen, none unknown, numbers finite, nothing without a bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _within_bounds(cls, value: Any) -> Any:
        """Refuse what is larger than anything that makes sense, where the field has no bound."""
        parts = [value]
        while parts:
            part = parts.pop()
            if isinstance(part, str) and len(part) > LONGEST_TEXT:
                raise ValueError(say("must have at most {most:,} characters", most=LONGEST_TEXT))
            if isinstance(part, int | float) and abs(part) > LARGEST:
                raise ValueError(say("must be from -{largest} to {largest}", largest=LARGEST))
            if isinstance(part, list | dict):
                if len(part) > MOST_ITEMS:
                    raise ValueError(say("must have at most {most:,} items", most=MOST_ITEMS))
                parts += part
                parts += part.values() if isinstance(part, dict) else ()
        return value


def column(description: str) -> Any:
    """A field with the name of a column, which is found where it is null."""
    return Field(None, description=description)


class TaskOptions(Fields):
    """The options of one task: the `task:` section of a configuration."""
