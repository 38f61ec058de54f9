"""OpenAI's chat completions, as far as they are answered here.

https://platform.openai.com/docs/api-reference/chat
Fields that would change the answer and aren't understood may only have the value that changes
nothing; those that are for OpenAI's own accounts are accepted and not looked at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from tunesmith.errors import DataError
from tunesmith.schemas.base import LARGEST, ResponseModel
from tunesmith.schemas.predict import MOST_CHARACTERS, MOST_NEW_TOKENS
from tunesmith.tasks.chats.tools import without_nulls

MOST_STOPS = 4
LONGEST_STOP = 200
"""Characters."""


def _only(*allowed: Any) -> AfterValidator:
    """That a field is null or one of those: what else it would ask for isn't done here."""

    def check(value: Any) -> Any:
        if value is None or value in allowed:
            return value
        shown = " or ".join([*map(str, allowed), "null"])
        raise ValueError(f"isn't supported here; accepted: {shown}")

    return AfterValidator(check)


class TextPart(BaseModel):
    """A part of a turn."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: StrictStr


class Function(BaseModel):
    """A function that the model may call."""

    model_config = ConfigDict(extra="forbid")

    name: StrictStr = Field(min_length=1, max_length=256)
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments.")
    strict: Annotated[Any, _only(False)] = None

    @field_validator("parameters")
    @classmethod
    def _is_shallow(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            without_nulls(value)
        except DataError as error:
            raise ValueError(str(error)) from error
        return value


class Tool(BaseModel):
    """A tool that the model may call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"] = "function"
    function: Function


class CalledFunction(BaseModel):
    """The function that was called, with its arguments as JSON text."""

    model_config = ConfigDict(extra="forbid")

    name: StrictStr
    arguments: StrictStr


class ToolCall(BaseModel):
    """A call that the model asked for."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatTurn(BaseModel):
    """One turn of a conversation; the model's chat template decides whether it shows `name`."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: StrictStr | list[TextPart] | None = None
    name: StrictStr | None = None
    refusal: None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: StrictStr | None = None
    function_call: None = None
    audio: None = None
    annotations: list[Any] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("needs a text as content, or tool_calls")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are the assistant's")
        return self

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    def plain(self) -> dict[str, Any]:
        """The turn in the words of chat templates."""
        said: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self.text,
            "tool_calls": [call.model_dump() for call in self.tool_calls or ()],
            "tool_call_id": self.tool_call_id,
            "name": self.name,
        }
        return {name: value for name, value in said.items() if value or name == "content"}


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

    frequency_penalty: Annotated[Any, _only(0)] = None
    presence_penalty: Annotated[Any, _only(0)] = None
    logit_bias: Annotated[Any, _only({})] = None
    logprobs: Annotated[Any, _only(False)] = None
    top_logprobs: Annotated[Any, _only(0)] = None
    n: Annotated[Any, _only(1)] = None
    response_format: Annotated[Any, _only({"type": "text"})] = None
    tools: list[Tool] | None = Field(
        None, max_length=128, description="What the model may call, where its chat template can."
    )
    tool_choice: Annotated[Any, _only("none", "auto")] = Field(
        None, description="auto: the model decides whether it calls; none: it sees no tools."
    )
    parallel_tool_calls: StrictBool | None = Field(
        None, description="false: the first call of an answer alone."
    )
    functions: Annotated[Any, _only([])] = None
    function_call: Annotated[Any, _only("none", "auto")] = None
    modalities: Annotated[Any, _only(["text"])] = None
    audio: Annotated[Any, _only()] = None
    prediction: Annotated[Any, _only()] = None
    reasoning_effort: Annotated[Any, _only("none")] = None
    web_search_options: Annotated[Any, _only()] = None
    # They change no answer here.
    metadata: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: Any = None
    verbosity: Any = None

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
        total = len(str(self.offered))
        for turn in self.messages:
            total += len(turn.text) + len(str(turn.tool_calls or ""))
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
    def offered(self) -> list[dict[str, Any]]:
        """The tools that the model is shown."""
        if self.tool_choice == "none":
            return []
        return [tool.model_dump(exclude_none=True) for tool in self.tools or ()]

    def turns(self) -> list[dict[str, Any]]:
        """The conversation, the tools at its first turn."""
        first, *rest = [turn.plain() for turn in self.messages]
        return [{**first, "tools": self.offered} if self.offered else first, *rest]

    @property
    def stops(self) -> list[str]:
        """The texts at which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Usage(ResponseModel):
    """Tokens of the conversation and of its answer, the end of the answer included."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Message(ResponseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None = Field(description="null where the answer is calls alone.")
    refusal: None = None
    tool_calls: list[ToolCall] | None = Field(
        None,
        exclude_if=lambda calls: calls is None,
        description="The calls in the answer, where its model writes them in a known form.",
    )


class Choice(ResponseModel):
    """The one answer that there is."""

    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatCompletion(ResponseModel):
    """An answer as a whole."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(ResponseModel):
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


class Models(ResponseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Ready(ResponseModel):
    """Whether models can be asked, and how many requests wait or are answered."""

    ready: bool
    models: int
    requests: int
