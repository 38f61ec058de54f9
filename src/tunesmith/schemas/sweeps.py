"""Sweeps, as the API gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from tunesmith.schemas.base import FiniteOrNull, Page, ResponseModel, Said, WithMessages
from tunesmith.schemas.enums import SweepStatus, TrialState


class SweepTrial(WithMessages, ResponseModel):
    """One setting, trained once or with several seeds."""

    number: int = Field(description="0 for the first.")
    state: TrialState
    is_baseline: bool = Field(description="Whether it is the base configuration's own setting.")
    parameters: dict[str, Any] = Field(description="Dotted field → value.")
    value: FiniteOrNull = Field(
        description="Mean of the metric over its seeds, on the rows that pick; of a pruned one the "
        "last one known."
    )
    low: FiniteOrNull = Field(description="Lower end of its 95 % interval.")
    high: FiniteOrNull = Field(description="Upper end of its 95 % interval.")
    method: str | None = Field(description="How the interval is made.")
    spread: FiniteOrNull = Field(description="Standard deviation over its seeds.")
    epoch: FiniteOrNull = Field(description="How far a pruned one came.")
    progress: float = Field(description="Share of its trainings that is done, 0 to 1.")
    runtime: float = Field(description="Seconds of training.")
    reason: Said | None = Field(description="Why it was pruned, failed or was cancelled.")
    experiments: list[str] = Field(description="Ids of its experiments, one for each seed.")
    finished_at: datetime | None


class SweepState(WithMessages, ResponseModel):
    """A sweep with its trials, as a line of a list."""

    id: str = Field(description="Its id: 12 hexadecimal digits.", examples=["3f9c21d07a4e"])
    name: str
    status: SweepStatus
    reason: Said | None = Field(description="Why it failed or was cancelled.")
    owner: str = Field(description="Who submitted it; empty where nobody has to say.")
    created_at: datetime
    finished_at: datetime | None
    metric: str = Field(description="What it is judged by.")
    direction: str = Field(description="maximize or minimize.")
    sampler: str = Field(description="grid, random or tpe.")
    pruner: str = Field(description="none, median or asha.")
    seeds: int = Field(description="Times each setting is trained.")
    total: int = Field(description="Trials that it will have.")
    parameters: dict[str, dict[str, Any]] = Field(description="Dotted field → what is searched.")
    trials: list[SweepTrial]
    best: int | None = Field(description="Number of the best trial that ended by itself.")
    baseline: int | None = Field(
        description="Number of the base configuration's trial, once it succeeded."
    )
    best_so_far: list[tuple[int, float]] = Field(
        description="Trials that ended by themselves with the best value until then, by their ends."
    )


class TestScore(ResponseModel):
    """What the rows of the test side, which picked nothing, say of the best trial."""

    metric: str
    value: float
    low: FiniteOrNull = Field(description="Lower end of its 95 % interval.")
    high: FiniteOrNull = Field(description="Upper end of its 95 % interval.")
    method: str | None = Field(description="How the interval is made.")


class SweepWhole(SweepState):
    """A sweep with what it found."""

    test: TestScore | None = Field(
        None,
        description="The best trial's score on the test side; null where there were too few rows "
        "for a side that picks, so that the values of the trials are those of the test side.",
    )

    importance: dict[str, float] = Field(
        description="Parameter → share of what made trials good (PED-ANOVA); empty for few trials."
    )
    verdict: Said | None = Field(
        description="Whether the best is better than the base configuration, called the first, or "
        "lucky."
    )
    hint: Said | None = Field(
        None, description="Why the metric can't tell the trials apart, and what could."
    )


class SweepPage(Page):
    """Sweeps, the newest first."""

    items: list[SweepState]
