"""The service itself: queues, workers, tokens, the audit trail."""

from __future__ import annotations

from typing import Any

from tunesmith.client.connection import Connected, path_of
from tunesmith.schemas.service import (
    AuditPage,
    CreatedToken,
    Queue,
    QueueReport,
    Readiness,
    Tokens,
    TokenState,
    Whoami,
    Workers,
)


class Service(Connected):
    """What trains, and who may do what."""

    def queue(self, limit: int = 50, offset: int = 0) -> QueueReport:
        """The queues, and `limit` of what waits in them, after `offset` others."""
        return self._poll(QueueReport, f"/queue?limit={limit:d}&offset={offset:d}")

    def pause(self, queue: str) -> Queue:
        """Let nothing more be taken from a queue; for admins. Raises NotFoundError."""
        return self._ask(Queue, "POST", path_of("queue", queue, "pause"))

    def continue_(self, queue: str) -> Queue:
        """Let a queue go on; for admins. Raises NotFoundError."""
        return self._ask(Queue, "POST", path_of("queue", queue, "continue"))

    def workers(self) -> Workers:
        """The workers, and what they train."""
        return self._ask(Workers, "GET", "/workers")

    def ready(self) -> Readiness:
        """Whether the service can do its work; the answer also says it where it can't."""
        return self._ask(Readiness, "GET", "/health/ready", also=(503,))

    def whoami(self) -> Whoami:
        """Whom the API takes you for."""
        return self._ask(Whoami, "GET", "/whoami")

    def tokens(self) -> Tokens:
        """The tokens, without their secrets; for admins."""
        return self._ask(Tokens, "GET", "/tokens")

    def create_token(self, name: str, role: str = "member") -> CreatedToken:
        """A new token, shown this once; for admins. Raises ConfigError, StateError."""
        return self._ask(CreatedToken, "POST", "/tokens", json={"name": name, "role": role})

    def revoke_token(self, name: str) -> TokenState:
        """Let a token open nothing any more; for admins. Raises NotFoundError."""
        return self._ask(TokenState, "DELETE", path_of("tokens", name))

    def audit(self, **filters: Any) -> AuditPage:
        """Who did what, the newest first: actor, action, target, limit, offset; for admins."""
        return self._ask(AuditPage, "GET", "/audit", params=filters)
