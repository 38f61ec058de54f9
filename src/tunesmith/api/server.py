"""How our HTTP servers are run: what is common to the API, the web page and `tunesmith serve`.

A request's head has to come whole, soon and short: uvicorn waits without end for the rest of one,
and so many that are never finished would take every connection that this process may hold. What
`X-Forwarded-For` says is believed of the proxies alone that the settings name: uvicorn itself would
believe whoever connects from this machine.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from tunesmith.settings import Settings

HEAD_SECONDS = 10.0
"""Seconds that a request's head may take to come."""

HEAD_BYTES = 1 << 16
"""Most bytes of a request's head, its address and headers together."""


def configured(
    app: Any, settings: Settings, host: str, port: int, **options: Any
) -> uvicorn.Config:
    """What uvicorn needs to serve `app` on this address; `options` are its own."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_PromptHTTP,
        log_config=None,
        access_log=False,  # the application logs each request, without what is secret in it
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        **options,
    )


class _Prompt:
    """Gives up a connection whose next request's head does not come.

    Mixed into uvicorn's protocols, whose `cycle` is the request that is being answered.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    cycle: Any

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first head."""
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        super().connection_made(transport)  # type: ignore[misc]  # the protocol's own
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._go_on()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """Look whether the head is whole."""
        super().data_received(data)  # type: ignore[misc]
        if not self._is_waiting():
            self._go_on()
            return
        self._head += len(data)
        if self._head > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        else:
            self._wait()

    def _is_waiting(self) -> bool:
        speaking: object = self.transport.get_protocol()
        if speaking is not self:  # it speaks WebSocket from now on
            return False
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _go_on(self) -> None:
        self._head = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._is_waiting():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.transport.close()


_PromptHTTP = type("_PromptHTTP", (_Prompt, AutoHTTPProtocol), {})
