"""Security headers of every answer: no sniffing, no frames, no scripts, no caching."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders

PAGES = ("/docs", "/redoc")
"""Pages for people, whose scripts this server brings itself."""

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Defaults of every answer, which it may replace."""

PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)


def secure(headers: MutableHeaders, path: str) -> None:
    """Add the security headers that are missing."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith(PAGES):
        headers["Content-Security-Policy"] = PAGE_POLICY
