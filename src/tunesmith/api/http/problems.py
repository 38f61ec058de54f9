"""Errors as RFC 9457 problem details (https://www.rfc-editor.org/rfc/rfc9457).

Every answer that is no success has one form: `type`, `title`, `status`, `detail`, `instance`, and
`errors` with a line for each wrong field. Nothing of a traceback, a path of the code or a query
ever stands in one; what was unexpected is logged under an id, which is all that the client gets.
"""

from __future__ import annotations

import errno
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tunesmith.api.http.headers import secure
from tunesmith.api.http.server_paths import detail_without_paths, problem_without_paths
from tunesmith.errors import (
    ConfigError,
    Problem,
    ServiceError,
    StorageError,
    TooManyAttemptsError,
    TunesmithError,
    UnauthenticatedError,
    UserError,
    shorten,
)
from tunesmith.messages import Message, joined, say
from tunesmith.messages.foreign import of_pydantic
from tunesmith.schemas.problem import KINDS_OF_ERRORS, FieldProblem, ProblemDetails
from tunesmith.settings import Settings

log = logging.getLogger("tunesmith.api")

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:tunesmith:problem:"
"""What the `type` of every problem begins with."""

RETRY_AFTER = 2
"""Seconds after which a client may ask again when the store didn't answer, or all are busy."""

DISK_FULL = say(
    "The disk of the server is full: nothing can be written until there is "
    "room. `tunesmith gc` shows what may go."
)

MEMORY_FULL = say(
    "The process that read the data ended before it was done; most probably "
    "the memory was used up. Send fewer rows."
)

SHOWN = 200
"""Characters of a wrong value that are sent back."""


class TooLargeError(UserError):
    """Raised when a request's body is larger than what is accepted."""


class RangeError(UserError):
    """Raised when a part of a file is asked for that lies beyond its end, `size` in bytes."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class BusyError(UserError):
    """Raised when too many requests that take long came at once."""


class TooLongError(UserError):
    """Raised when what was asked for took longer than is allowed, and was given up."""


class UnsupportedTypeError(UserError):
    """Raised when a request's body is of a type that isn't read here."""


class UnavailableError(ServiceError):
    """Raised when a part of the API doesn't answer; the reason may be shown to every client."""


class DiskFullError(StorageError):
    """Raised when a disk of the server has no room for what should be written."""


KINDS: tuple[tuple[type[TunesmithError], int, str, str], ...] = (
    (TooLargeError, 413, "too-large", "Too large"),
    (TooLongError, 422, "too-long", "Took too long"),
    (UnsupportedTypeError, 415, "unsupported-type", "Unsupported media type"),
    (RangeError, 416, "range", "No such part"),
    (BusyError, 503, "busy", "Too much at once"),
    (DiskFullError, 503, "disk-full", "The disk is full"),
    *KINDS_OF_ERRORS,
)
"""KINDS_OF_ERRORS, with the API's own before them; the first that fits counts."""

_STATUS_TITLES = {
    400: ("bad-request", "Bad request"),
    404: ("not-found", "Not found"),
    405: ("method", "Method not allowed"),
    408: ("too-slow", "Too slow"),
    413: ("too-large", "Too large"),
}


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered as problem details."""
    app.add_exception_handler(TunesmithError, _tunesmith_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(OSError, _system_error)
    app.add_exception_handler(MemoryError, _system_error)
    app.add_exception_handler(Exception, _unexpected)


def problem_response(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    instance: str = "",
    errors: Iterable[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One answer in the form of RFC 9457."""
    body = ProblemDetails(
        type=TYPE + kind,
        title=title,
        status=status,
        detail=plain(detail),
        instance=plain(instance),
        errors=list(errors),
    )
    return JSONResponse(
        body.model_dump(mode="json"), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def error_response(
    error: TunesmithError, instance: str = "", settings: Settings | None = None
) -> Response:
    """The answer for one of our errors, without the folders that `settings` name."""
    if isinstance(error, StorageError):
        error = known(error) or error
    found = next((each for each in KINDS if isinstance(error, each[0])), None)
    if found is None:
        return unexpected_response(error, instance)
    _, status, name, title = found
    problems = error.problems if isinstance(error, ConfigError) else ()
    detail = str(error)
    if settings is not None:
        detail = detail_without_paths(error, settings)
        problems = tuple(problem_without_paths(each, settings) for each in problems)
    public = isinstance(error, UnavailableError | DiskFullError)
    if isinstance(error, StorageError | ServiceError) and not public:
        # What it says of servers and paths is for the log of whoever runs this.
        log.error("%s", error)
        detail = say("The store or a service behind it doesn't answer now; ask again in a moment.")
    return problem_response(
        status,
        name,
        title,
        detail,
        instance=instance,
        errors=[field_problem(each) for each in problems],
        headers=headers_of(error),
    )


def unexpected_response(error: BaseException, instance: str = "") -> Response:
    """The answer for what should not happen: an id, under which the log has the rest."""
    number = secrets.token_hex(4)
    log.error("error %s at %s", number, instance, exc_info=error)
    return problem_response(
        500,
        "internal",
        "Internal error",
        say(
            "Something went wrong that should not; the log of the API has it as error {number}.",
            number=number,
        ),
        instance=instance,
    )


def known(error: BaseException) -> TunesmithError | None:
    """What `error` is to whoever asks: our own error, a full disk, too little memory, or None."""
    if isinstance(error, DiskFullError):
        return error
    if is_disk_full(error):
        log.error("%s", error)
        return DiskFullError(DISK_FULL)
    if isinstance(error, MemoryError):
        log.error("too little memory: %s", error)
        return UnavailableError(MEMORY_FULL)
    return error if isinstance(error, TunesmithError) else None


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, or what caused it, is that a disk has no room left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(seen, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        original = getattr(seen, "orig", None)  # SQLAlchemy's own errors hold the driver's
        seen = seen.__cause__ or seen.__context__ or original
    return False


def field_problem(problem: Problem) -> FieldProblem:
    """A problem of a field as clients get it; the value whole where it is short."""
    return FieldProblem(
        field=plain(problem.field),
        message=plain(problem.message),
        value=shown(problem.value) if problem.has_value else None,
        accepted=plain(problem.accepted) if problem.accepted else None,
        suggestion=plain(problem.suggestion) if problem.suggestion else None,
    )


def shown(value: Any) -> str | int | float | bool | None:
    """`value` as JSON can say it and a person can read it: long and nested ones are shortened."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    if isinstance(value, str):
        return plain(value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…")
    try:
        return plain(shorten(value, SHOWN))
    except (RecursionError, ValueError):  # nested too deeply, or a number too long to be written
        return "…"


def plain(text: str) -> str:
    """`text` with what UTF-8 can't say written as an escape."""
    if isinstance(text, Message):
        return text.changed(plain)
    return text.encode("utf-8", "backslashreplace").decode()


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers of the answer for one of our errors."""
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": 'Bearer realm="tunesmith"'}
    if isinstance(error, TooManyAttemptsError):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, RangeError):
        return {"Content-Range": f"bytes */{error.size}"}
    if isinstance(error, StorageError | ServiceError | BusyError):
        return {"Retry-After": str(RETRY_AFTER)}
    return {}


async def _tunesmith_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TunesmithError)
    service = getattr(request.app.state, "service", None)
    return error_response(error, request.url.path, service and service.settings)


async def _system_error(request: Request, error: Exception) -> Response:
    if (meant := known(error)) is not None:
        return error_response(meant, request.url.path)
    return unexpected_response(error, request.url.path)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldProblem(
            field=plain(".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0])),
            message=plain(of_pydantic(found)),
            value=shown(found.get("input")),
            accepted=None,
            suggestion=None,
        )
        for found in error.errors()
    ]
    said = [say("{field}: {message}", field=e.field, message=e.message) for e in errors]
    detail = joined(said, "; ")
    return problem_response(
        422, "invalid", "The request has problems", detail,
        instance=request.url.path, errors=errors,
    )  # fmt: skip


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind, title = _STATUS_TITLES.get(error.status_code, ("http", str(error.detail)))
    detail = str(error.detail)
    if error.status_code == 404:
        detail = say("There is nothing at this address; /docs lists what there is.")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of the first route at this path alone.
        paths = request.app.openapi()["paths"]
        methods = paths.get(getattr(request.scope.get("route"), "path", ""), {})
        headers["Allow"] = ", ".join(sorted(map(str.upper, methods))) or headers.get("Allow", "")
        detail = say(
            "{method} can't be used here; accepted: {names}.",
            method=request.method,
            names=headers["Allow"],
        )
    return problem_response(
        error.status_code, kind, title, detail, instance=request.url.path, headers=headers
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    response = unexpected_response(error, request.url.path)
    secure(response.headers, request.url.path)  # it comes from outside of all that would do it
    return response
