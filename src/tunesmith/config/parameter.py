"""What a sweep varies: the values that one field may take."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, model_validator

from tunesmith.config.section import Section
from tunesmith.messages import say


class Parameter(Section):
    """The values that one field may take: a range, or choices."""

    low: float | None = Field(None, description="Smallest value.")
    high: float | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Search by magnitude, as for a learning rate.")
    step: float | None = Field(None, gt=0.0, description="Distance of two values of a range.")
    choices: list[Any] | None = Field(None, min_length=1, description="All values.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError(say("needs either choices, or low and high"))
        if self.choices is not None and (self.low, self.high, self.step, self.log) != (
            None, None, None, False,
        ):  # fmt: skip
            raise ValueError(
                say("has choices, which stand for themselves: no low, high, log, step")
            )
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError(say("needs a low below its high"))
            if self.log and self.low <= 0:
                raise ValueError(say("needs a low above 0 with log"))
            if self.log and self.step is not None:
                raise ValueError(say("takes log or step, not both"))
        return self

    @property
    def count(self) -> float:
        """How many values it has; infinite for a range without a step, or a very small one."""
        if self.choices is not None:
            return float(len(self.choices))
        if self.low is None or self.high is None or self.step is None:
            return math.inf
        steps = (self.high - self.low) / self.step
        return math.floor(steps + 1e-9) + 1.0 if math.isfinite(steps) else math.inf

    def listed(self) -> list[Any]:
        """Every value; there must be an end of them."""
        if self.choices is not None:
            return list(self.choices)
        low, step = self.low or 0.0, self.step or 1.0
        values = [low + number * step for number in range(int(self.count))]
        return [int(v) if float(v).is_integer() else v for v in values]
