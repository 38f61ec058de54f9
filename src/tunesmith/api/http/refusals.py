"""Changes that were refused, in the audit trail: who tried what, and why they might not."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from tunesmith.api.http.problems import error_response, plain
from tunesmith.errors import AccessError, TooManyAttemptsError, UnauthenticatedError
from tunesmith.store.audit import write_down

READING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""

LONGEST = 200
"""Characters of a path or a name in it that are kept."""


def install(app: FastAPI) -> None:
    """Let changes that `app` refuses to somebody it knows be written down."""
    app.add_exception_handler(AccessError, _refused)


def _refused(request: Request, error: Exception) -> Response:
    # Synchronous: it writes to the store, and runs in a thread of its own.
    assert isinstance(error, AccessError)
    unknown = isinstance(error, UnauthenticatedError | TooManyAttemptsError)
    if not unknown and request.method not in READING:
        path = plain(request.url.path)[:LONGEST]
        named = [str(value) for value in request.path_params.values()]
        write_down(
            request.app.state.service.store,
            getattr(request.state, "actor", ""),
            "refused",
            plain(named[0])[:LONGEST] if named else path,
            address=request.client.host if request.client else "",
            request=f"{request.method} {path}",
            why=str(error),
        )
    return error_response(error, request.url.path)
