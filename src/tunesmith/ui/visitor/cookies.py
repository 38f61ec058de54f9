"""What a browser keeps of a visitor between two visits, and where it may be sent to."""

from __future__ import annotations

from starlette.responses import Response

from tunesmith.settings import Settings

TOKEN = "tunesmith_token"
"""Cookie with the access token, which scripts can't read."""

KEPT_SECONDS = 30 * 24 * 3600
"""How long browsers keep who they signed in as, and their language."""

LARGEST = 3_800
"""Bytes of a token that browsers keep: 4,096 with name and attributes (RFC 6265, 6.1)."""


def keep_token(answer: Response, token: str, *, secure: bool) -> None:
    """Let the browser send `token` with its next requests, from this page alone."""
    answer.set_cookie(
        TOKEN, token, max_age=KEPT_SECONDS, httponly=True, secure=secure, samesite="strict"
    )


def is_secure(settings: Settings, scheme: str) -> bool:
    """Whether cookies may go over HTTPS only: browsers come by it, even if a server in between
    speaks plain HTTP to us."""
    return scheme == "https" or settings.ui_public_url.startswith("https://")


def own_path(wanted: str | None) -> str:
    """`wanted` where it is a path of this page; never another site, else the first page."""
    path = wanted or "/"
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
