"""What happens to every request before a route sees it, and to every answer after.

Open on this machine alone, the API must not be reached through the browser of whoever sits there:
a page of a stranger can send requests to 127.0.0.1 (so `Origin` is checked), and a name of a
stranger can point there (DNS rebinding, so `Host` is checked).
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunesmith.api.http.headers import secure
from tunesmith.api.http.problems import error_response
from tunesmith.errors import AccessError, TunesmithError
from tunesmith.messages import say
from tunesmith.network.addresses import is_loopback

READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses requests of strange origin where the API is open; adds the security headers.

    No header of CORS is ever sent, so no other page may read an answer. `refuse` makes the answer
    of an error and the path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_open: bool,
        refuse: Callable[[TunesmithError, str], Response] = error_response,
    ) -> None:
        self.app = app
        self.is_open = is_open
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure(MutableHeaders(scope=message), scope["path"])
            await send(message)

        trouble = strangeness(scope) if self.is_open else None
        if trouble is not None:
            response = self.refuse(AccessError(trouble), scope["path"])
            await response(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)


def strangeness(scope: Scope) -> str | None:
    """Why a request to the open API is none of this machine's own; None when it is."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not is_loopback(_parts(f"//{host}")[0]):
        return say(
            "{what} is not this machine's own address: open http://127.0.0.1 or "
            "http://localhost, or ask for tokens (TUNESMITH_REQUIRE_TOKENS=1).",
            what=host or say("A request without a Host"),
        )
    origin = headers.get("origin")
    if origin is not None and scope["method"] not in READING and _parts(origin)[1] != host:
        return say("Pages of {origin} may not change anything here.", origin=origin)
    return None


def _parts(address: str) -> tuple[str, str | None]:
    """The host of an address, then host and port; empty and None for what is no address."""
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", None
