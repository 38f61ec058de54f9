"""Answers that are asked for again and again: sent once, then only when they changed."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response

from tunesmith.api.schemas.base import Answer


def conditional(request: Request, answer: Answer) -> Response:
    """`answer` as JSON with its ETag; 304 without a body where the client has it already.

    https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match
    """
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in [
        part.strip().removeprefix("W/") for part in known.split(",")
    ]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
