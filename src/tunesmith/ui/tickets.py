"""Tokens on their way from a page, which can't set a cookie, to a route, which can."""

from __future__ import annotations

import secrets
import threading
import time

TICKET_SECONDS = 60.0
"""How long a ticket can be exchanged for its token."""


class Tickets:
    """Tokens that wait to be fetched, each once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, float]] = {}

    def issue(self, token: str) -> str:
        """A ticket that is exchanged for `token` once."""
        ticket = secrets.token_urlsafe(24)
        now = time.monotonic()
        with self._lock:
            self._waiting = {k: v for k, v in self._waiting.items() if v[1] > now}
            self._waiting[ticket] = (token, now + TICKET_SECONDS)
        return ticket

    def exchange(self, ticket: str) -> str | None:
        """The token of a ticket that is still good."""
        with self._lock:
            token, until = self._waiting.pop(ticket, ("", 0.0))
        return token if until > time.monotonic() else None


tickets = Tickets()
