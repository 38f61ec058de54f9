"""What all answers have in common: made from records, numbers that JSON can say."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Answer(BaseModel):
    """What the API gives; made from a record by its attributes."""

    model_config = ConfigDict(from_attributes=True, ser_json_inf_nan="null")


class Page(Answer):
    """A part of a list."""

    total: int = Field(description="How many there are in all, whatever limit and offset.")
    limit: int = Field(description="Most that are given at once.")
    offset: int = Field(description="How many were passed over.")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


FiniteOrNull = Annotated[float | None, BeforeValidator(_finite)]
"""A number; null where it is none or not finite, because JSON can't say NaN."""

TEXT = r"^[^\x00]*$"
"""Text that every database can be asked for."""

LARGEST = 2**53
"""Beyond it JSON's numbers are no longer exact."""

EXPERIMENT_ID = r"^[0-9a-f]{12}$"
"""An experiment's id."""
