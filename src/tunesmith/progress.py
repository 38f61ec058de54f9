"""How far long work is: whoever does it says so here, and whoever started it may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tunesmith.messages import Message

Listener = Callable[[Message], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """What is said within this of how far work is goes to `listener`."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def doing(what: Message) -> None:
    """Say what is done now, such as `comparing texts: 25,000 of 100,000`."""
    if listener := _LISTENER.get():
        listener(what)
