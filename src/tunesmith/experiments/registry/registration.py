"""What people say of a registered adapter, checked: its name, words, tags and promotion rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from tunesmith.config.schema import composed
from tunesmith.experiments.lifecycle.edits import read_as
from tunesmith.messages import say
from tunesmith.names import LATEST, SIMPLE_NAME, has_unseen
from tunesmith.schemas.notes import MOST_TAGS, Note, Tag
from tunesmith.store.entities.experiments import ID_LENGTH
from tunesmith.store.entities.registry import PromotionRule

_ACCEPTED = {
    "name": say("1 to 100 letters, digits, _ . - and neither . nor - at the beginning"),
    "language": say("a language as BCP 47 writes it, such as en or zh-TW"),
    "demands.minimum_score": say("a number from 0 to 1, or null"),
    "demands.verified": say("true or false"),
    "demands.better_than_production": say("true or false"),
    "demands.minimum_coverage": say("a number from 0 to 1, or null"),
    "demands.maximum_calibration_error": say("a number from 0 to 1, or null"),
    "demands.maximum_forgetting": say("a number of nats per token from 0 on, or null"),
    "demands.validated": say("true or false"),
    "demands.grouped": say("true or false"),
}


def _means_nothing_else(value: str) -> str:
    if value == LATEST or re.fullmatch(f"[0-9a-f]{{{ID_LENGTH}}}", value):
        raise ValueError(say("would be taken for an experiment"))
    if has_unseen(value):
        raise ValueError(say("has characters that nobody sees"))
    return value


AdapterName = Annotated[
    str,
    BeforeValidator(composed),
    Field(pattern=SIMPLE_NAME),
    AfterValidator(_means_nothing_else),
]
"""A name under which adapters can be registered."""

Language = Annotated[str, Field(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")]


class PromotionRuleEdit(BaseModel):
    """Conditions of a promotion rule to change; what is left out stays."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    minimum_score: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="What the lower end of the score's 95 % interval must reach; null: nothing.",
    )
    verified: StrictBool = Field(
        False, description="The saved adapter, loaded again, must have given the same predictions."
    )
    better_than_production: StrictBool = Field(
        False,
        description="It must be better than the version in production, by the paired test on the "
        "same evaluation rows; not distinguishable isn't better.",
    )
    minimum_coverage: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="What the lower end of the 95 % interval of the share of rows that it answers "
        "must reach, with task.selective_accuracy kept; null: nothing.",
    )
    maximum_calibration_error: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="What the upper end of the 95 % interval of its expected calibration error "
        "must not exceed; null: nothing.",
    )
    maximum_forgetting: float | None = Field(
        None,
        ge=0,
        strict=True,
        description="What the upper end of the 95 % interval of its loss on general text, in nats "
        "per token above the base model's, must not exceed; null: nothing.",
    )
    validated: StrictBool = Field(
        False, description="Rows of their own must have stopped and picked: none that judge."
    )
    grouped: StrictBool = Field(
        False, description="Its interval must be by groups, where its data know groups."
    )

    def applied_to(self, before: PromotionRule) -> PromotionRule:
        """`before` with what was given here."""
        return PromotionRule(**(before.as_stored() | self.model_dump(exclude_unset=True)))


class AdapterEdit(BaseModel):
    """What is to be changed of a registered adapter; what is null or left out stays."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "example": {"tags": ["shop"], "demands": {"minimum_score": 0.8, "verified": True}}
        },
    )

    description: Note | None = Field(None, description="What it is for.")
    language: Language | None = Field(
        None, description="Language of its texts (BCP 47), such as en or zh-TW; empty: none."
    )
    tags: list[Tag] | None = Field(
        None, max_length=MOST_TAGS, description="All tags that it shall have."
    )
    demands: PromotionRuleEdit | None = Field(
        None,
        description="What a version must be like to go into production. Only an admin may "
        "relax it.",
    )


class NewAdapter(BaseModel):
    """A name to register, and its first version where an experiment is named."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"name": "reviews", "experiment_id": "3f9c21d07a4e"}},
    )

    name: AdapterName = Field(description="Letters, digits, _ . -")
    description: Note = Field("", description="What it is for.")
    language: Language = Field("", description="Language of its texts (BCP 47), such as zh-TW.")
    tags: list[Tag] = Field([], max_length=MOST_TAGS)
    demands: PromotionRuleEdit = Field(
        PromotionRuleEdit(), description="What a version must be like to go into production."
    )
    experiment_id: str | None = Field(
        None, max_length=100, description="The experiment whose adapter is its first version."
    )
    comment: Note = Field("", description="What is to be said of that version.")


def read_adapter_edit(values: Mapping[str, Any]) -> AdapterEdit:
    """What `values` ask to be changed. Raises ConfigError with every problem."""
    return read_as(AdapterEdit, values, _ACCEPTED)


def read_new_adapter(values: Mapping[str, Any]) -> NewAdapter:
    """What `values` ask to be registered. Raises ConfigError with every problem."""
    return read_as(NewAdapter, values, _ACCEPTED)
