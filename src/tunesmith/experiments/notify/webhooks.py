"""Webhooks: posted and signed as Standard Webhooks 1.0.0 has it (standardwebhooks.com).

Addresses come from the operator's settings alone, never from who submits an experiment. Redirects
are not followed, and of the answer only its status is read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import urlsplit

import httpx2

from tunesmith.messages import say
from tunesmith.settings import VERSION

TIMEOUT = 10.0
"""Seconds that a receiver gets to take the connection, and then to answer."""


class Unheard(Exception):
    """Raised when a receiver did not take what was posted; `final` when it never will."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def post(address: str, event: str, body: bytes, key: bytes) -> None:
    """Post `body` to `address` with the id `event`, signed with `key`. Raises Unheard."""
    timestamp = str(int(time.time()))
    headers = {
        "content-type": "application/json",
        "user-agent": f"tunesmith/{VERSION}",
        "webhook-id": event,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(event, timestamp, body, key),
    }
    try:
        with (
            httpx2.Client(timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("POST", address, content=body, headers=headers) as answer,
        ):
            status = answer.status_code
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        # Their words may hold the address, which may hold a token.
        raise Unheard(type(error).__name__) from None
    if 300 <= status < 400:
        raise Unheard(say("status {status}: redirects are not followed", status=status))
    if status == 410:
        raise Unheard(say("status 410: it wants no more"), final=True)
    if not 200 <= status < 300:
        raise Unheard(say("status {status}", status=status))


def signature(event: str, timestamp: str, body: bytes, key: bytes) -> str:
    """What the header `webhook-signature` says of these: `v1,` and an HMAC-SHA256 in base64."""
    signed = b".".join((event.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def shown(address: str) -> str:
    """An address as it may be shown: its host, without the path, which may hold a token."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/…"
