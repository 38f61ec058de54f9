"""A section of the configuration: what all of them have in common."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo, field_validator

from tunesmith.messages import say
from tunesmith.tasks.options import Fields


class Section(Fields):
    """A section of the configuration."""

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `learning_rate: true`, which Pydantic would read as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (
            int, float, int | None, float | None
        ):  # fmt: skip
            raise ValueError(say("must be a number"))
        return value
