"""What all answers have in common: made from records, numbers that JSON can say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator, model_validator

from tunesmith.messages import Message
from tunesmith.messages.documents import messages_in, put_back


class ResponseModel(BaseModel):
    """What the API gives; made from a record by its attributes."""

    model_config = ConfigDict(from_attributes=True, ser_json_inf_nan="null")

    @classmethod
    def of(cls, record: object, **more: Any) -> Self:
        """The answer of what `record` has under the fields' names, and of `more`."""
        missing = (name for name in cls.model_fields if name not in more)
        known = {name: getattr(record, name) for name in missing if hasattr(record, name)}
        return cls.model_validate({**known, **more})


def _kept(value: Any, handler: Callable[[Any], str]) -> str:
    return value if isinstance(value, Message) else handler(value)


Said = Annotated[str, WrapValidator(_kept)]
"""Text in English, which may be a message."""


class WithMessages(BaseModel):
    """What holds texts that may be messages: in JSON they are plain, with their parts beside."""

    messages: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Texts here that can be said in other languages, by JSON pointers: text, "
        "template (as gettext has it), plural where there is one, and values.",
    )

    @model_validator(mode="after")
    def _keep_messages(self) -> Self:
        own = {name: value for name, value in self.__dict__.items() if name != "messages"}
        if self.messages:
            put_back(self.__dict__, self.messages)
        else:
            self.__dict__["messages"] = messages_in(own)
        return self


class Page(ResponseModel):
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
