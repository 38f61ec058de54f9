"""Every request: measured by its route, and logged in one line that holds no secret."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunesmith.api.http.prometheus import Measurements

log = logging.getLogger("tunesmith.api")

UNKNOWN = "unknown"
"""The route of addresses that there are none for: their texts are a stranger's."""


class RequestLog:
    """Measures and logs each request; what is after `?` and in headers stays out of the log."""

    def __init__(self, app: ASGIApp, *, measurements: Measurements | None = None) -> None:
        self.app = app
        self.measurements = measurements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        begun = time.perf_counter()
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            seconds = time.perf_counter() - begun
            route = str(getattr(scope.get("route"), "path", UNKNOWN))
            if self.measurements is not None:
                self.measurements.request(scope["method"], route, status, seconds)
            level = logging.INFO if scope["method"] != "GET" or status >= 400 else logging.DEBUG
            if log.isEnabledFor(level):
                extra = _facts(scope, route, status, seconds, state.get("actor", ""))
                log.log(level, "%s %s %s", scope["method"], route, status, extra=extra)


def _facts(scope: Scope, route: str, status: int, seconds: float, actor: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": scope["method"],
        "route": route,
        "status": status,
        "milliseconds": round(1000 * seconds, 1),
        "actor": actor,
        "address": (scope.get("client") or ("",))[0],
    }
    parameters = scope.get("path_params", {})
    experiment = parameters.get("experiment_id") or scope["state"].get("experiment")
    return {**facts, "experiment": str(experiment)} if experiment else facts
