"""What is asked of an adapter, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from tunesmith.messages import say
from tunesmith.schemas.base import ResponseModel, Said, WithMessages

MOST_INPUTS = 64
MOST_CHARACTERS = 100_000
"""In all inputs of a request together."""

MOST_NEW_TOKENS = 2048


class Turn(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant", "tool"]
    content: StrictStr | None = None
    tool_calls: list[dict[str, Any]] | None = Field(None, description="Calls, in OpenAI's form.")
    tool_call_id: StrictStr | None = None
    name: StrictStr | None = None


class Conversation(BaseModel):
    """A conversation whose answer is wanted."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Turn] = Field(min_length=1, description="The last one is the user's.")
    tools: list[dict[str, Any]] | None = Field(
        None, description="What may be called: JSON schemas, as OpenAI's API takes them."
    )


Input = StrictStr | Conversation | dict[str, JsonValue]


class Questions(BaseModel):
    """What to ask an adapter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"inputs": ["A film to remember."], "base": False}},
    )

    inputs: list[Input] = Field(
        min_length=1,
        max_length=MOST_INPUTS,
        description="Each a text, a row as it was trained on (its columns by name), or a "
        "conversation, of at most "
        f"{MOST_CHARACTERS:,} characters together.",
    )
    base: StrictBool = Field(False, description="Whether the base model answers too.")
    max_new_tokens: Annotated[StrictInt, Field(ge=1, le=MOST_NEW_TOKENS)] | None = Field(
        None,
        description="Longest generated answer in tokens; null: as long as those learned from.",
    )
    unsure: StrictBool = Field(
        False,
        description="Whether answers are given too that are not sure enough for what the adapter "
        "promises (task.selective_accuracy).",
    )

    @model_validator(mode="after")
    def _not_too_long(self) -> Self:
        total = sum(
            len(given) if isinstance(given, str) else len(str(plain(given)))
            for given in self.inputs
        )
        if total > MOST_CHARACTERS:
            raise ValueError(
                say(
                    "inputs have {n:,} characters; at most {most:,} are accepted",
                    n=total,
                    most=MOST_CHARACTERS,
                )
            )
        return self


class Entity(ResponseModel):
    """An entity that was found in a text."""

    label: str
    text: str
    start: int = Field(description="Its first character in the input, from 0.")
    end: int = Field(description="The character behind its last one.")
    score: float = Field(description="Mean probability of its words' tags, 0 to 1.")


class PredictedAnswer(ResponseModel):
    """The answer to one input."""

    answer: str | float | list[str] | list[Entity] | None = Field(
        description="A label, several labels, a text, a number, or the entities of a text; null: "
        "none is given."
    )
    reason: Literal["unsure"] | None = Field(
        None, description="unsure: it is not sure enough for what the adapter promises."
    )
    probabilities: dict[str, float] | None = Field(
        description="Label → probability, for every label; null for a text."
    )
    cut: bool = Field(description="Whether the input was too long, and only its part was seen.")


class Predictions(WithMessages, ResponseModel):
    """Answers in the order of the inputs."""

    answers: list[PredictedAnswer]
    base: list[PredictedAnswer] | None = Field(
        description="The base model's own answers, where they were asked for and it has any."
    )
    base_reason: Said | None = Field(None, description="Why the base model has no answers.")
    seconds: float = Field(description="Time it took, loading included.")


def plain(given: Input) -> object:
    """An input as JSON has it."""
    return given.model_dump(exclude_none=True) if isinstance(given, BaseModel) else given
