"""OpenAI's chat completions, as far as they are answered here.

https://platform.openai.com/docs/api-reference/chat
Fields that would change the answer and aren't understood may only have the value that changes
nothing; those that are for OpenAI's own accounts are accepted and not looked at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from tunesmith.api.schemas.base import LARGEST, Answer
from tunesmith.api.schemas.predict import MOST_CHARACTERS, MOST_NEW_TOKENS

MOST_STOPS = 4
LONGEST_STOP = 200
"""Characters."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "web_search_options": (),
}
"""Field → what it may be beside null: that what it asks for isn't done here."""

UNREAD = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
)
"""Fields that change no answer here."""


class TextPart(BaseModel):
    """A part of a turn."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: StrictStr


class ChatTurn(BaseModel):
    """One turn of a conversation; `name` is accepted and not shown to the model."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: StrictStr | list[TextPart]
    name: StrictStr | None = None
    refusal: None = None
    tool_calls: None = None
    tool_call_id: StrictStr | None = None
    function_call: None = None
    audio: None = None
    annotations: list[Any] | None = None

    def plain(self) -> dict[str, str]:
        """Role and text, in the words of chat templates."""
        text = (
            self.content
            if isinstance(self.content, str)
            else "".join(part.text for part in self.content)
        )
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(BaseModel):
    """What a stream tells beside the answer."""

    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool = False
    include_obfuscation: StrictBool | None = None


class ChatRequest(BaseModel):
    """A conversation whose answer is wanted, and how."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "model": "support",
                "messages": [{"role": "user", "content": "Where is my order?"}],
            }
        },
    )

    model: StrictStr = Field(description="A name that GET /v1/models lists.")
    messages: list[ChatTurn] = Field(min_length=1, description="The last one is the user's.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="0 or null: the likeliest token each time, so the same answer each time."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Draws among the likeliest tokens of this share; needs a temperature."
    )
    max_tokens: Annotated[StrictInt, Field(ge=1, le=MOST_NEW_TOKENS)] | None = Field(
        None, description="The same under its old name."
    )
    max_completion_tokens: Annotated[StrictInt, Field(ge=1, le=MOST_NEW_TOKENS)] | None = Field(
        None, description="Longest answer in tokens; null: as long as those learned from."
    )
    stop: StrictStr | list[StrictStr] | None = Field(
        None, description=f"Up to {MOST_STOPS} texts at which the answer ends, without them."
    )
    seed: Annotated[StrictInt, Field(ge=-LARGEST, le=LARGEST)] | None = Field(
        None, description="Draws the same tokens each time."
    )
    stream: StrictBool | None = Field(None, description="Server-sent events, a piece each.")
    stream_options: StreamOptions | None = None

    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    n: Any = None
    response_format: Any = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    web_search_options: Any = None
    metadata: Any = None
    parallel_tool_calls: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: Any = None
    verbosity: Any = None

    @field_validator(*NEUTRAL)
    @classmethod
    def _changes_nothing(cls, value: Any, info: Any) -> Any:
        allowed = NEUTRAL[info.field_name]
        if value is None or value in allowed:
            return value
        shown = " or ".join([*map(str, allowed), "null"])
        raise ValueError(f"isn't supported here; accepted: {shown}")

    @field_validator("stop")
    @classmethod
    def _can_be_met(cls, value: str | list[str] | None) -> str | list[str] | None:
        texts = [value] if isinstance(value, str) else value or []
        if len(texts) > MOST_STOPS:
            raise ValueError(f"holds {len(texts)} texts; at most {MOST_STOPS} are accepted")
        if not all(0 < len(text) <= LONGEST_STOP for text in texts):
            raise ValueError(f"each text has 1 to {LONGEST_STOP} characters")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        total = sum(len(turn.plain()["content"]) for turn in self.messages)
        if total > MOST_CHARACTERS:
            raise ValueError(
                f"messages have {total:,} characters; at most {MOST_CHARACTERS:,} are accepted"
            )
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise ValueError("max_tokens and max_completion_tokens differ; give one of them")
        return self

    @property
    def stops(self) -> list[str]:
        """The texts at which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Usage(Answer):
    """Tokens of the conversation and of its answer, the end of the answer included."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Message(Answer):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(Answer):
    """The one answer that there is."""

    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(Answer):
    """An answer as a whole."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(Answer):
    """A model that can be asked, with what Tunesmith says of it beside OpenAI's fields."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it was trained, in seconds since 1970.")
    owned_by: str = "tunesmith"
    experiment: str = Field(description="Id of the experiment whose adapter it is.")
    task: str
    base_model: str
    is_base: bool = Field(description="Whether it is the base model without the adapter.")
    path: str = Field(description="Where it is asked.")
    system_prompt: str | None = Field(
        description="System turn that is put before conversations without one."
    )
    prompt_template: str | None = Field(description="Template of the user's turns in training.")
    fills_prompt_template: bool = Field(
        description="Whether the server puts the user's turns into it; if not, the client must."
    )


class Models(Answer):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Ready(Answer):
    """Whether models can be asked, and how many requests wait or are answered."""

    ready: bool
    models: int
    requests: int
