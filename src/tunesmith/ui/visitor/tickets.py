"""Tokens on their way from a page, which can't set a cookie, to a route, which can."""

from __future__ import annotations

import math
import secrets
import threading

from cachetools import TTLCache

TICKET_SECONDS = 60.0
"""How long a ticket can be exchanged for its token."""

_lock = threading.Lock()
_waiting: TTLCache[str, str] = TTLCache(math.inf, TICKET_SECONDS)


def issue(token: str) -> str:
    """A ticket that is exchanged for `token` once."""
    ticket = secrets.token_urlsafe(24)
    with _lock:
        _waiting[ticket] = token
    return ticket


def exchange(ticket: str) -> str | None:
    """The token of a ticket that is still good."""
    with _lock:
        return _waiting.pop(ticket, None)
