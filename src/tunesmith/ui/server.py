"""The web server of the page: Streamlit's, with the few routes that a page of it can't have.

- `/enter/{ticket}` puts a token that the page has checked into a cookie that scripts can't read.
- `/sign-in` and `/sign-in/done` do the same with a token of an OpenID Connect provider (`oidc`).
- `/leave` takes it away; `/language/{code}` remembers a choice.
- `/download/…` passes files of the API on, piece by piece, in the visitor's name: those of one
  experiment, and nothing else that the API has an address for.

Whoever visits without a token is asked for one, but for the account that started the page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import streamlit as st
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tunesmith.client.connection import request_headers
from tunesmith.messages.catalogues import languages
from tunesmith.settings import Settings
from tunesmith.ui import language, trouble
from tunesmith.ui.visitor import oidc, session, tickets
from tunesmith.ui.visitor.cookies import KEPT_SECONDS, TOKEN, is_secure, keep_token, own_path
from tunesmith.ui.visitor.visitors import Visitors, is_own, refuse_open_api

SCRIPT = Path(__file__).with_name("app.py")

PASSED_ON = ("content-type", "content-length", "content-disposition", "last-modified")
"""Headers of a file that go on to the browser."""

DOWNLOADS = re.compile(r"experiments/[0-9a-f]{12}/(adapter|files(/[^/\\%\x00-\x1f\x7f]+)+)")
"""The API's paths that are downloads, decoded. A name with `%` would be decoded twice."""

LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


def create_app(settings: Settings) -> Any:
    """The ASGI application of the page.

    Raises ConfigError for a provider that can't be used, ServiceError where others could reach the
    page, and through it an API that asks nobody for a token.
    """
    session.configure(settings)
    refuse_open_api(settings)
    middleware = [Middleware(Visitors)]
    if settings.ui_host in ("localhost", "127.0.0.1", "::1"):
        # A page of a stranger could otherwise reach this one under a name that leads here.
        public = urlsplit(settings.ui_public_url).hostname or ""
        hosts = list(dict.fromkeys([*LOCAL_HOSTS, public]))
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=hosts))
    return st.App(
        SCRIPT,
        routes=[
            Route("/enter/{ticket}", _enter),
            Route("/leave", _leave),
            Route("/language/{code}", _speak),
            Route("/download/{path:path}", _download),
            Route("/alive", _alive),
            *oidc.routes(settings),
        ],
        middleware=middleware,
        on_script_error=trouble.tell,
    )


async def _alive(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _enter(request: Request) -> Response:
    token = tickets.exchange(request.path_params["ticket"])
    answer = RedirectResponse(_back(request), status_code=303)
    if token is not None:
        secure = is_secure(session.settings(), request.url.scheme)
        keep_token(answer, token, secure=secure)
    return answer


async def _leave(request: Request) -> Response:
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(TOKEN)
    return answer


async def _speak(request: Request) -> Response:
    answer = RedirectResponse(_back(request), status_code=303)
    if (code := request.path_params["code"]) in languages():
        answer.set_cookie(language.COOKIE, code, max_age=KEPT_SECONDS, samesite="lax")
    return answer


def _back(request: Request) -> str:
    return own_path(request.query_params.get("back"))


async def _download(request: Request) -> Response:
    """A file of an experiment, or a table, as the API gives it to this visitor."""
    path = api_path(request.path_params["path"])
    if path is None:
        return PlainTextResponse("There is nothing to download here.", status_code=404)
    token = request.cookies.get(TOKEN)
    own = is_own(request.scope)
    headers = request_headers(token or session.own_token(own=own), passed_on=not own)
    client = httpx2.AsyncClient(
        base_url=session.api_url(), headers=headers, timeout=60.0, trust_env=False
    )
    try:
        question = client.build_request("GET", path)
        answer = await client.send(question, stream=True)
    except httpx2.TransportError:
        await client.aclose()
        return PlainTextResponse("The API can't be reached.", status_code=502)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in answer.aiter_raw():
            yield piece

    async def close() -> None:
        await answer.aclose()
        await client.aclose()

    kept = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return StreamingResponse(
        pieces(),
        status_code=answer.status_code,
        headers={**kept, "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        background=BackgroundTask(close),
    )


def api_path(wanted: str) -> str | None:
    """The API's address of a download, `wanted` decoded; None for what is none.

    Written anew from its parts, so that it is read as it was checked.
    """
    parts = wanted.split("/")
    if DOWNLOADS.fullmatch(wanted) is None or any(part in (".", "..") for part in parts):
        return None
    return "/" + "/".join(quote(part, safe="") for part in parts)
