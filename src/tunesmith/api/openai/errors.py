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

from tunesmith.api.headers import secure
from tunesmith.api.openai.schemas import ChatRequest, ChatTurn, StreamOptions, TextPart
from tunesmith.api.problems import RETRY_AFTER, BusyError, TooLargeError, plain
from tunesmith.api.schemas.predict import Questions
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
from tunesmith.serving.asking import TooLongError

log = logging.getLogger("tunesmith.api")

INVALID = "invalid_request_error"
FIELDS = {
    name
    for schema in (ChatRequest, ChatTurn, TextPart, StreamOptions, Questions)
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
    if isinstance(error, UnauthenticatedError):
        return 401, _body(str(error), INVALID, code="invalid_api_key")
    if isinstance(error, TooManyAttemptsError):
        return 429, _body(str(error), "rate_limit_error", code="rate_limit_exceeded")
    if isinstance(error, AccessError):
        return 403, _body(str(error), INVALID, code="forbidden")
    if isinstance(error, NotFoundError):
        return 404, _body(str(error), INVALID, "model", "model_not_found")
    if isinstance(error, TooLargeError):
        return 413, _body(str(error), INVALID, code="too_large")
    if isinstance(error, BusyError | ServiceError):
        return 503, _body(str(error), "server_error", code="overloaded")
    if isinstance(error, TooLongError):
        return 400, _body(str(error), INVALID, "messages", "context_length_exceeded")
    if isinstance(error, UserError):
        return 400, _body(str(error), INVALID)
    number = secrets.token_hex(4)
    log.error("error %s", number, exc_info=error)
    said = f"Something went wrong that should not; the log of the server has it as error {number}."
    return 500, _body(said, "server_error", code="internal")


def error_response(error: BaseException, path: str = "") -> Response:
    """The answer for an error; `path` is not told."""
    status, body = error_body(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tunesmith"'
    if isinstance(error, TooManyAttemptsError):
        headers["Retry-After"] = str(error.retry_after)
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    return JSONResponse(body, status, headers=headers)


def _body(
    message: str, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": plain(message), "type": kind, "param": param, "code": code}}


async def _tunesmith_error(_: Request, error: Exception) -> Response:
    return error_response(error)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = [_wrong(found) for found in error.errors()]
    message = "; ".join(f"{field}: {said}" if field else said for field, said in told)
    return JSONResponse(_body(message, INVALID, told[0][0] or None), 400)


def _wrong(found: dict[str, Any]) -> tuple[str, str]:
    """Field and what is wrong with it, the value and the nearest right name included."""
    parts = [str(part) for part in found["loc"][1:]]
    said = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "json_invalid":
        return "", f"not valid JSON: {found.get('ctx', {}).get('error', said)}"
    field = ".".join(part for part in parts if part != "str" and "[" not in part)
    if found["type"] == "extra_forbidden":
        near = nearest(parts[-1], FIELDS)
        return field, "unknown field" + (f"; did you mean {near}?" if near else "")
    if found["type"] != "missing" and field:
        said += f"; got {shorten(found.get('input'))}"
    return field, said


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = str(error.detail)
    if error.status_code == 404:
        said = "There is nothing at this address; /docs lists what there is."
    elif error.status_code == 405:
        said = f"{request.method} can't be used here."
    return JSONResponse(_body(said, INVALID), error.status_code, headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    response = error_response(error)
    secure(response.headers, request.url.path)  # it comes from outside of all that would do it
    return response
