"""Limits of request bodies: size, speed, and strict JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunesmith.api.http.problems import TooLargeError, UnsupportedTypeError, error_response
from tunesmith.errors import TunesmithError, invalid
from tunesmith.messages import say

MAX_JSON = 1 << 20
"""Bytes of a body of JSON, at most."""

MULTIPART = 1 << 20
"""Bytes that the form around an uploaded file may have."""

PATIENCE = 30.0
"""Seconds that may pass without a byte; so long may a body of JSON take in all."""

LEAST_RATE = 1024
"""Bytes a second that an upload must bring on average, once `PATIENCE` has passed."""


class BodyLimits:
    """Ends requests whose body is too large (413) or comes too slowly (408).

    `refuse` makes the answer of an error and the path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        upload_paths: Collection[str] = (),
        max_upload: int = 0,
        patience: float = PATIENCE,
        refuse: Callable[[TunesmithError, str], Response] = error_response,
    ) -> None:
        self.app = app
        self.upload_paths = frozenset(upload_paths)
        self.max_upload = max_upload
        self.patience = patience
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = scope["method"] == "POST" and scope["path"] in self.upload_paths
        most = self.max_upload + MULTIPART if is_upload else MAX_JSON
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length[:30]) > most:
            response = self.refuse(TooLargeError(_too_large(most)), scope["path"])
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        begun, read, complete = time.monotonic(), 0, False

        async def receive_limited() -> Message:
            nonlocal read, complete
            if complete:  # what comes now is the end of the connection, in its own time
                return await receive()
            allowed = self.patience + (read / LEAST_RATE if is_upload else 0.0)
            left = begun + allowed - time.monotonic()
            try:
                async with asyncio.timeout(min(left, self.patience)):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, say("The body of the request comes too slowly."), {"Connection": "close"}
                ) from None
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if read > most:
                    raise HTTPException(413, _too_large(most), {"Connection": "close"})
            return message

        await self.app(scope, receive_limited, send)


def _too_large(most: int) -> str:
    return say(
        "The body of the request is larger than the {n:,} MiB that are accepted.", n=most >> 20
    )


async def read_json_object(request: Request) -> dict[str, Any]:
    """The request's body, an object of JSON.

    Strict where Python's own reader isn't: no NaN, no halves of surrogate pairs, no nesting without
    end. Raises ConfigError saying where it is wrong, UnsupportedTypeError for another type.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedTypeError(
            "The body is {kind}; send JSON, with Content-Type: application/json.",
            kind=kind[:60] or say("of no type"),
        )
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400, say("The connection ended before the body did.")) from None
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise invalid("", say("not valid JSON: {error}", error=error)) from None
    if not isinstance(value, dict):
        message = say('must be an object of sections, as in {{"model": {{"name": …}}}}')
        raise invalid("", message, value)
    return value
