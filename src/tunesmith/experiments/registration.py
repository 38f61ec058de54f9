"""What people say of a registered adapter, read and checked: its name, words, tags and demands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, ValidationError

from tunesmith.errors import ConfigError
from tunesmith.experiments.edits import MOST_TAGS, Note, Tag, problem_of
from tunesmith.tracking.entities import ID_LENGTH
from tunesmith.tracking.references import LATEST
from tunesmith.tracking.registry_entities import Demands

_ACCEPTED = {
    "name": "1 to 100 letters, digits, _ . - and neither . nor - at the beginning",
    "language": "a language as BCP 47 writes it, such as en or zh-TW",
    "demands.minimum_score": "a number from 0 to 1, or null",
    "demands.verified": "true or false",
    "demands.better_than_production": "true or false",
}


def _means_nothing_else(value: str) -> str:
    if value == LATEST or re.fullmatch(f"[0-9a-f]{{{ID_LENGTH}}}", value):
        raise ValueError("would be taken for an experiment")
    return value


AdapterName = Annotated[
    str, Field(pattern=r"^\w[\w.-]{0,99}$"), AfterValidator(_means_nothing_else)
]
"""A name under which adapters can be registered."""

Language = Annotated[str, Field(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")]


class DemandsEdit(BaseModel):
    """What shall be demanded; what is left out stays."""

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

    def applied_to(self, before: Demands) -> Demands:
        """`before` with what was given here."""
        return Demands(**(before.as_stored() | self.model_dump(exclude_unset=True)))


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
    demands: DemandsEdit | None = Field(
        None,
        description="What a version must be like to go into production. Less than now may be "
        "demanded by an admin alone.",
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
    demands: DemandsEdit = Field(
        DemandsEdit(), description="What a version must be like to go into production."
    )
    experiment_id: str | None = Field(
        None, max_length=100, description="The experiment whose adapter is its first version."
    )
    comment: Note = Field("", description="What is to be said of that version.")


def read_adapter_edit(values: Mapping[str, Any]) -> AdapterEdit:
    """What `values` ask to be changed. Raises ConfigError with every problem."""
    try:
        return AdapterEdit.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError([problem_of(each, _ACCEPTED) for each in found]) from None


def read_new_adapter(values: Mapping[str, Any]) -> NewAdapter:
    """What `values` ask to be registered. Raises ConfigError with every problem."""
    try:
        return NewAdapter.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError([problem_of(each, _ACCEPTED) for each in found]) from None
