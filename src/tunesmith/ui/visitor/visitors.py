"""Whether a visitor is the account that started the page, which alone may need no token.

The page asks the API as the account that it runs under. So it must know of each visitor whether
that is theirs too: another account of this machine, or a browser elsewhere, would be let in as its
owner.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from tunesmith.errors import ServiceError
from tunesmith.network.origin import origin_of
from tunesmith.settings import Settings
from tunesmith.ui.visitor import session

_HEADER = session.OWN.lower().encode()


class Visitors:
    """Writes into each request, for the page's script, whether its visitor is our own account.

    What a browser says of that is taken away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            own = await run_in_threadpool(_is_ours, scope)
            kept = [(name, value) for name, value in scope["headers"] if name != _HEADER]
            scope = {**scope, "headers": [*kept, (_HEADER, b"yes" if own else b"no")]}
        await self.app(scope, receive, send)


def _is_ours(scope: Scope) -> bool:
    return not session.is_public() and origin_of(scope).is_own


def is_own(scope: Scope) -> bool:
    """Whether a request, as `Visitors` passed it on, comes from our own account."""
    return (_HEADER, b"yes") in scope["headers"]


def refuse_open_api(settings: Settings) -> None:
    """Raise ServiceError where others can reach the page, and its API asks nobody for a token."""
    if not session.is_public() or settings.require_tokens or not session.is_api_local():
        return
    raise ServiceError(
        "the web page is not started: {ui_public_url} can be reached from other "
        "machines, and the API at {api_url} asks nobody for a token. Set "
        "TUNESMITH_REQUIRE_TOKENS=true for both (after: tunesmith tokens create "
        "NAME --role admin), or leave TUNESMITH_UI_HOST and TUNESMITH_UI_URL at "
        "this machine's own address.",
        ui_public_url=settings.ui_public_url,
        api_url=session.api_url(),
    )
