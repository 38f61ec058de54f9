"""Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.

https://platform.openai.com/docs/guides/error-codes
Clients choose by status and `code` what they do next: ask again (429, 503), or tell their user.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tunesmith.api.http.headers import secure
from tunesmith.api.http.problems import BusyError, TooLargeError, headers_of, plain
from tunesmith.api.openai.schemas import (
    ChatRequest,
    ChatTurn,
    Function,
    StreamOptions,
    TextPart,
    Tool,
    ToolCall,
)
from tunesmith.errors import (
    AccessError,
    NotFoundError,
    ServiceError,
    TooManyAttemptsError,
    TunesmithError,
    UnauthenticatedError,
    UserError,
    nearest,
    shorten,
)
from tunesmith.messages import say
from tunesmith.schemas.predict import Questions
from tunesmith.serving.asking import TooLongError

log = logging.getLogger("tunesmith.api")

INVALID = "invalid_request_error"
KINDS: tuple[tuple[type[TunesmithError], int, str, str | None, str | None], ...] = (
    (UnauthenticatedError, 401, INVALID, None, "invalid_api_key"),
    (TooManyAttemptsError, 429, "rate_limit_error", None, "rate_limit_exceeded"),
    (AccessError, 403, INVALID, None, "forbidden"),
    (NotFoundError, 404, INVALID, "model", "model_not_found"),
    (TooLargeError, 413, INVALID, None, "too_large"),
    (BusyError, 503, "server_error", None, "overloaded"),
    (ServiceError, 503, "server_error", None, "overloaded"),
    (TooLongError, 400, INVALID, "messages", "context_length_exceeded"),
    (UserError, 400, INVALID, None, None),
)
"""Error, status, then `type`, `param` and `code`; the first that fits counts."""

FIELDS = {
    name
    for schema in (
        *(ChatRequest, ChatTurn, TextPart, StreamOptions, Questions),
        *(Tool, Function, ToolCall),
    )
    for name in schema.model_fields
}


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered in OpenAI's form."""
    app.add_exception_handler(TunesmithError, _tunesmith_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


def error_body(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Status and body for one of our errors, or for what nobody expected."""
    for kind, status, name, param, code in KINDS:
        if isinstance(error, kind):
            return status, _body(str(error), name, param, code)
    number = secrets.token_hex(4)
    log.error("error %s", number, exc_info=error)
    said = say(
        "Something went wrong that should not; the log of the server has it as error {number}.",
        number=number,
    )
    return 500, _body(said, "server_error", None, "internal")


def error_response(error: BaseException, path: str = "") -> Response:
    """The answer for an error; `path` stays out of it."""
    status, body = error_body(error)
    return JSONResponse(body, status, headers=headers_of(error) if status != 500 else None)


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": plain(message), "type": kind, "param": param, "code": code}}


async def _tunesmith_error(_: Request, error: Exception) -> Response:
    return error_response(error)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [_wrong(found) for found in error.errors()]
    message = "; ".join(
        say("{field}: {said}", field=field, said=said) if field else said for field, said in wrong
    )
    return JSONResponse(_body(message, INVALID, wrong[0][0] or None, None), 400)


def _wrong(found: dict[str, Any]) -> tuple[str, str]:
    """Field and what is wrong with it, the value and the nearest right name included."""
    parts = [str(part) for part in found["loc"][1:]]
    said = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "json_invalid":
        return "", say("not valid JSON: {error}", error=found.get("ctx", {}).get("error", said))
    field = ".".join(part for part in parts if part != "str" and "[" not in part)
    if found["type"] == "extra_forbidden":
        near = nearest(parts[-1], FIELDS)
        return field, say("unknown field") + (
            say("; did you mean {name}?", name=near) if near else ""
        )
    if found["type"] != "missing" and field:
        said += say("; got {value}", value=shorten(found.get("input")))
    return field, said


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = str(error.detail)
    if error.status_code == 404:
        said = say("There is nothing at this address; /docs lists what there is.")
    elif error.status_code == 405:
        said = say("{method} can't be used here.", method=request.method)
    body = _body(said, INVALID, None, None)
    return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    response = error_response(error)
    secure(response.headers, request.url.path)  # it comes from outside of all that would do it
    return response
