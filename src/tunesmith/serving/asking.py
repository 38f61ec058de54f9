"""What is asked of a model that is kept loaded, and how its answer ended; no torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunesmith.errors import DataError
from tunesmith.messages import say
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.tasks.tokens.framing import Framing

BASE = ":base"
"""What follows an adapter's name in that of its base model."""


class TooLongError(DataError):
    """Raised when a conversation leaves no room for the answer in what the model takes."""

    def __init__(self, tokens: int, room: int, answer: int) -> None:
        said = say(
            "the conversation has {tokens:,} tokens, of which {room:,} fit beside an "
            "answer of {answer:,}; leave out earlier turns, or ask for a shorter answer.",
            tokens=tokens,
            room=room,
            answer=answer,
        )
        super().__init__(said)


@dataclass(frozen=True)
class Served:
    """A model that can be asked: an adapter, or the base model under it."""

    name: str
    adapter: SavedAdapter
    created: int
    """When it was trained, in seconds since 1970."""
    base: bool = False
    task: str = ""
    base_model: str = ""
    chats: bool = False
    """Whether it answers conversations."""
    notes: tuple[str, ...] = ()
    """What is to be known of how it is asked."""
    framing: Framing | None = None
    """What is put around these."""


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen; as it is, the likeliest one."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Share of the probability from whose likeliest tokens one is drawn."""
    seed: int | None = None
    """The same seed draws the same tokens; None: another one each time."""


@dataclass(frozen=True)
class Asking:
    """What is wanted of one answer to a conversation."""

    max_tokens: int | None = None
    """None: as long as those learned from."""
    stops: Sequence[str] = ()
    """Texts at which it ends, without them."""
    sampling: Sampling = Sampling()
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when nobody wants it any more."""


@dataclass(frozen=True)
class Spoken:
    """How an answer to a conversation ended."""

    reason: Literal["stop", "length"]
    """`stop`: by itself or at a stop text; `length`: at the most tokens that it might have."""
    prompt_tokens: int
    completion_tokens: int
