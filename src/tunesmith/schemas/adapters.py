"""Registered adapters, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tunesmith.schemas.base import FiniteOrNull, Page, ResponseModel, Said, WithMessages
from tunesmith.schemas.enums import Stage
from tunesmith.schemas.experiments import EXAMPLE_ID
from tunesmith.schemas.notes import Note


class NewVersion(BaseModel):
    """The experiment whose adapter is to be the next version."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"experiment_id": EXAMPLE_ID}}
    )

    experiment_id: Annotated[str, Field(max_length=100, description="One that has succeeded.")]
    comment: Note = Field("", description="What is to be said of it.")


class NewStage(BaseModel):
    """The stage that a version shall be in."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"stage": "production", "comment": "tried"}}
    )

    stage: Stage
    comment: Note = Field("", description="Why; it stays in the history.")
    force: StrictBool = Field(
        False,
        description="Into production though it doesn't meet the promotion rule: for admins, with a "
        "comment.",
    )


class PromotionRuleState(ResponseModel):
    """A promotion rule: what a version must reach to go into production."""

    minimum_score: FiniteOrNull = Field(
        description="What the lower end of the score's 95 % interval must reach."
    )
    verified: bool = Field(
        description="Whether the saved adapter, loaded again, must have given the same predictions."
    )
    better_than_production: bool = Field(
        description="Whether it must be better than the one there, by the paired test."
    )
    minimum_coverage: FiniteOrNull = Field(
        None, description="What the lower end of the share of rows that it answers must reach."
    )
    maximum_calibration_error: FiniteOrNull = Field(
        None, description="What the upper end of its expected calibration error must not exceed."
    )
    maximum_forgetting: FiniteOrNull = Field(
        None,
        description="What the upper end of its loss on general text, in nats per token above the "
        "base model's, must not exceed.",
    )
    validated: bool = Field(
        False, description="Whether rows of their own must have stopped and picked."
    )
    grouped: bool = Field(
        False, description="Whether its interval must be by groups, where its data know groups."
    )


class AdapterVersionState(ResponseModel):
    """One version: an experiment, and what was known of it when it was registered."""

    name: str
    number: int = Field(description="1 for the first; never given twice.")
    reference: str = Field(description="What names it.", examples=["reviews@3"])
    stage: Stage
    experiment_id: str = Field(examples=[EXAMPLE_ID])
    comment: str
    created_at: datetime
    created_by: str = Field(description="Who registered it.")
    task: str
    model_name: str = Field(description="The base model.")
    model_identity: str | None = Field(description="Its commit, or the hash of its weights.")
    score_name: str | None = Field(description="Name of the task's main metric.")
    score: FiniteOrNull
    low: FiniteOrNull = Field(description="Lower end of the score's 95 % interval.")
    high: FiniteOrNull = Field(description="Upper end of it.")
    method: str | None = Field(description="How the interval is made.")
    rows: int | None = Field(description="Evaluation rows that it is made from.")
    dataset: str = Field(description="The data, such as reviews@3.")
    dataset_hash: str | None = Field(description="Content hash of the data.")
    evaluation_hash: str | None = Field(description="Content hash of the evaluation rows.")
    reload_verified: bool = Field(
        description="Whether the saved adapter, loaded again, gave the same predictions."
    )
    weights_hash: str = Field(description="SHA-256 of its adapter_model.safetensors.")


class StageStep(WithMessages, ResponseModel):
    """One step of a version from one stage to another."""

    number: int = Field(description="Of the version.")
    at: datetime
    actor: str = Field(description="Who did it; empty where nobody has to say who they are.")
    was: Stage | None = Field(description="null: it was registered.")
    stage: Stage
    comment: Said
    forced: bool = Field(description="Whether it went into production against unmet demands.")
    unmet: list[Said] = Field(description="Those demands, in words.")


class AdapterState(ResponseModel):
    """A registered adapter with its versions."""

    name: str
    description: str
    language: str | None = Field(description="Language of its texts (BCP 47).")
    tags: list[str]
    owner: str = Field(description="Who registered it; empty where nobody has to say.")
    created_at: datetime
    demands: PromotionRuleState
    versions: list[AdapterVersionState] = Field(description="The newest first.")


class AdapterWhole(AdapterState):
    """A registered adapter, whole."""

    history: list[StageStep] = Field(description="Who did what when, the newest first.")


class AdapterPage(Page):
    """Registered adapters, by name."""

    items: list[AdapterState]


class StageChanged(WithMessages, ResponseModel):
    """A version after it was given another stage."""

    version: AdapterVersionState
    archived: AdapterVersionState | None = Field(
        description="The one that was in production, whose place it took."
    )
    unmet: list[Said] = Field(description="The demands against which it was forced.")
