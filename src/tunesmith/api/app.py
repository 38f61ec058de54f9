"""The REST API as an ASGI application: `uvicorn --factory tunesmith.api.app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from tunesmith.api.access.guard import Guard
from tunesmith.api.http import problems, refusals
from tunesmith.api.http.bodies import PATIENCE, BodyLimits
from tunesmith.api.http.documentation import document
from tunesmith.api.http.requests import RequestLog
from tunesmith.api.routes import (
    access,
    adapters,
    choices,
    configuration,
    datasets,
    experiments,
    files,
    health,
    predict,
    queue,
    sweeps,
    train,
)
from tunesmith.api.service import Service
from tunesmith.files import permissions
from tunesmith.settings import VERSION, Settings

ROUTERS = (
    train, experiments, sweeps, adapters, files, predict, datasets, configuration, choices, queue,
    health, access,
)  # fmt: skip


def create_app(settings: Settings | None = None, *, patience: float = PATIENCE) -> FastAPI:
    """The API over the store of `settings`, by default those of the environment.

    `patience` is the seconds that a request's body may let wait for itself. Raises ServiceError
    when the address can be reached from outside and nobody has an admin token, StorageError when
    the store can't be used, ConfigError for settings that are wrong.
    """
    if settings is None:  # a server of somebody else's starts us, and no command of ours
        settings = Settings.read()
        permissions.take(permissions.Access(settings.file_access))
    settings = settings.for_others()
    service = Service.open(settings)
    app = FastAPIOffline(
        title="Tunesmith",
        version=VERSION,
        lifespan=partial(_lifespan, service),
        # A short name for each operation, for programs that are made from the document.
        generate_unique_id_function=lambda route: "_".join([*route.tags[:1], route.name]),
    )
    app.state.service = service
    problems.install(app)
    refusals.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's own way
    # The last one added sees a request first.
    app.add_middleware(
        BodyLimits,
        upload_paths=("/datasets", "/datasets/inspect"),
        max_upload=settings.max_upload_bytes,
        patience=patience,
    )
    app.add_middleware(Guard, is_open=service.authenticator.open)
    app.add_middleware(RequestLog, measurements=service.measurements)
    return app


@asynccontextmanager
async def _lifespan(service: Service, _: FastAPI) -> AsyncIterator[dict[str, Any]]:
    await run_in_threadpool(service.start)
    try:
        yield {}
    finally:
        await run_in_threadpool(service.close)
