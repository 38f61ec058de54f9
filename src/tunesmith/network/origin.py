"""Where a request or a WebSocket comes from, and whether our own account sent it."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Scope

from tunesmith.network import peers
from tunesmith.network.addresses import is_loopback

CONNECTION = "connection"
"""What is found out of a connection stands under this name in the state of each of its requests."""

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers by which proxies say that they pass on what somebody else asked."""


_OWN = "own"
"""Whether a connection is our own account's."""


@dataclass(frozen=True)
class Origin:
    """Where a request comes from: the ends of its connection, and whether a proxy sent it on."""

    client: peers.Address | None
    server: peers.Address | None
    forwarded: bool = False
    connection: dict[str, bool] = field(default_factory=dict, compare=False)
    """What is known of the connection already."""

    @property
    def is_own(self) -> bool:
        """Whether a program of the account that runs this process sent it, for itself.

        It takes long where the machine has many connections, once for each: not in an event loop.
        """
        if self.forwarded or self.client is None or self.server is None:
            return False
        if not (is_loopback(self.client[0]) and is_loopback(self.server[0])):
            return False
        if _OWN not in self.connection:
            self.connection[_OWN] = peers.is_own(self.client, self.server)
        return self.connection[_OWN]


def origin_of(scope: Scope) -> Origin:
    """Where the request or WebSocket of `scope` comes from."""
    headers = Headers(scope=scope)
    client, server = (
        (str(end[0]), int(end[1])) if end and end[1] else None
        for end in (scope.get("client"), scope.get("server"))
    )
    forwarded = any(name in headers for name in FORWARDED)
    return Origin(client, server, forwarded, scope.get("state", {}).get(CONNECTION, {}))
