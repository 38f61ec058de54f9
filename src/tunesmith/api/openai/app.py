"""The server of `tunesmith serve` as an ASGI application, over an engine that is loaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from tunesmith.api.access.auth import Authenticator
from tunesmith.api.access.guard import Guard
from tunesmith.api.http.bodies import PATIENCE, BodyLimits
from tunesmith.api.http.requests import RequestLog
from tunesmith.api.openai import errors, routes
from tunesmith.api.openai.answering import Answering
from tunesmith.api.openai.errors import error_response
from tunesmith.errors import StorageError
from tunesmith.settings import VERSION

if TYPE_CHECKING:  # it brings torch with it
    from tunesmith.serving.engine import Engine

log = logging.getLogger("tunesmith.api")

USES_EVERY = 60.0
"""Seconds between two rounds that write down when tokens were last used."""


def create_app(
    engine: Engine, authenticator: Authenticator, *, patience: float = PATIENCE
) -> FastAPI:
    """The server; `patience` as in `tunesmith.api.app.create_app`."""
    answering = Answering(engine)
    app = FastAPIOffline(
        title="Tunesmith serve",
        version=VERSION,
        lifespan=partial(_lifespan, answering, authenticator),
    )
    app.state.answering = answering
    app.state.authenticator = authenticator
    errors.install(app)
    app.include_router(routes.guarded)
    app.include_router(routes.open_to_all)
    # The last one added sees a request first.
    app.add_middleware(BodyLimits, patience=patience, refuse=error_response)
    app.add_middleware(Guard, is_open=authenticator.open, refuse=error_response)
    app.add_middleware(RequestLog)
    return app


@asynccontextmanager
async def _lifespan(
    answering: Answering, authenticator: Authenticator, _: FastAPI
) -> AsyncIterator[dict[str, Any]]:
    uses = asyncio.create_task(_write_uses(authenticator))
    try:
        yield {}
    finally:
        uses.cancel()
        await run_in_threadpool(answering.close)
        await run_in_threadpool(_write, authenticator)


async def _write_uses(authenticator: Authenticator) -> None:
    while True:
        await asyncio.sleep(USES_EVERY)
        await run_in_threadpool(_write, authenticator)


def _write(authenticator: Authenticator) -> None:
    try:
        authenticator.tokens.write_uses()
    except StorageError as error:  # answers go on without
        log.warning("when tokens were last used isn't written down: %s", error)
