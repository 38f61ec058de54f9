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
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tunesmith.network.origin import CONNECTION
from tunesmith.settings import Settings

HEAD_SECONDS = 10.0
"""Seconds that a request's head may take to come."""

IDLE_SECONDS = 75
"""Seconds that a connection is kept for a client's next request.

Longer than clients keep theirs (httpx 5 s, nginx 60 s): where both give up at the same moment, a
request is sent into a connection that is being closed, and comes to nothing.
"""

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
        timeout_keep_alive=IDLE_SECONDS,
        access_log=False,  # the application logs each request, without what is secret in it
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        **options,
    )


class _PromptHTTP(HttpToolsProtocol):
    """Gives up a connection that brings no whole head of a request, soon and short.

    `cycle`, uvicorn's, is the request that came last. Each request gets one answer: what is sent
    here answers the request whose head or body is coming, if nothing has answered it yet; else the
    connection is closed and nothing said.
    """

    cycle: Any  # None before the first one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        """Bytes that came since the message before was complete."""
        self._in_head = False
        self._in_body = False
        self._messages = 0
        """Those that came whole."""
        self.app_state = {**self.app_state, CONNECTION: {}}
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """A head is whole; its body follows."""
        super().on_headers_complete()
        self._in_head = False
        self._in_body = True
        self._head = 0

    def on_message_complete(self) -> None:
        """The next head follows, and has its own time."""
        super().on_message_complete()
        self._in_body = False
        self._messages += 1
        self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the rest of the next head, where the client has begun it already."""
        super().on_response_complete()
        if self._in_head and self._is_answered():
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Look whether the head is whole."""
        before = self._messages
        super().data_received(data)
        speaking: object = self.transport.get_protocol()
        if speaking is not self or not self._is_answered():  # WebSocket, or it is our turn
            self._stop_waiting()
        else:
            self._wait()
        if speaking is self and not self._in_body and self._messages == before:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._end(b"431 Request Header Fields Too Large")

    def send_400_response(self, msg: str) -> None:
        """Refuse what isn't HTTP."""
        if self._may_answer():
            super().send_400_response(msg)
        self.transport.close()

    def _is_answered(self) -> bool:
        """Whether every request whose head has come is answered."""
        return self.cycle is None or self.cycle.response_complete

    def _may_answer(self) -> bool:
        """Whether what comes belongs to a request that nothing has answered, and is the next."""
        if self._in_body and self.cycle is not None:
            return not (self.cycle.response_started or self.pipeline)
        return self._is_answered()

    def _wait(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._is_answered():
            self._end(b"408 Request Timeout" if self._head else b"")

    def _end(self, status: bytes) -> None:
        """Close the connection, where that is an answer with `status`."""
        if status and self._may_answer() and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        self.transport.close()
