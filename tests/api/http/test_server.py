"""What a connection says: one answer to each request, whatever comes and however slowly."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tunesmith.api import server
from tunesmith.settings import Settings

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses at once, or sends the beginning of an answer that never ends."""
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    endless = scope["path"] == "/endless"
    await send({"type": "http.response.body", "body": b"no" if endless else b"no!\n",
                "more_body": endless})  # fmt: skip
    if endless:
        await asyncio.sleep(600)


@pytest.fixture
def port(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("tunesmith.api.server.HEAD_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = int(listener.getsockname()[1])
        config = server.configured(
            answer, settings, "127.0.0.1", number, lifespan="off", timeout_graceful_shutdown=0
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield number
        running.should_exit = True
        thread.join()


def answers(port: int, *pieces: bytes) -> bytes:
    """All that comes where each of `pieces` follows the first answer, until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(pieces[0])
        said = connection.recv(4096)
        for piece in pieces[1:]:
            time.sleep(0.05)
            try:
                connection.sendall(piece)
            except OSError:
                break
        try:
            while more := connection.recv(4096):
                said += more
        except ConnectionResetError:
            pass
        return said


@pytest.mark.parametrize(
    ("path", "head", "rest"),
    [
        (b"/", b"Content-Length: 900000\r\n\r\nx", [b"x" * 200_000]),
        (b"/", b"Content-Length: 900000\r\n\r\nx", [b"x"]),
        (b"/", b"Transfer-Encoding: chunked\r\n\r\n", [b"nonsense\r\n"]),
        (b"/endless", b"Content-Length: 0\r\n\r\n", [b"GET /" + b"x" * 50_000] * 2),
        (b"/endless", b"Content-Length: 0\r\n\r\n", [b"nonsense\r\n\r\n"]),
    ],
    ids=["large body", "slow body", "broken body", "large next head", "broken next head"],
)
def test_a_request_that_is_answered_gets_no_second_answer(
    port: int, path: bytes, head: bytes, rest: list[bytes]
) -> None:
    said = answers(port, HEAD % path + head, *rest)
    assert said.startswith(b"HTTP/1.1 403"), said
    assert said.count(b"HTTP/1.1") == 1, said


def test_a_refused_body_is_read_to_its_end_and_the_next_request_is_answered(port: int) -> None:
    """Its bytes are no head; the next head has its own time and size."""
    body = b"x" * 100_000
    head = HEAD % b"/" + b"Content-Length: 200001\r\n\r\nx"
    said = answers(port, head, body, body + HEAD % b"/", b"Connection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 403") == said.count(b"HTTP/1.1") == 2, said


@pytest.mark.parametrize(
    ("sent", "status"),
    [(HEAD % b"/", b"408"), (HEAD % b"/" + b"X: " + b"x" * 70_000, b"431"), (b"?\r\n", b"400")],
)
def test_a_head_that_is_late_large_or_none_is_refused(
    port: int, sent: bytes, status: bytes
) -> None:
    said = answers(port, sent)
    assert said.startswith(b"HTTP/1.1 " + status), said
    assert said.count(b"HTTP/1.1") == 1, said


def test_a_connection_that_brings_nothing_is_closed_without_an_answer(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as idle:
        assert idle.recv(100) == b""


def test_a_connection_is_kept_longer_than_clients_keep_theirs(settings: Settings) -> None:
    kept = server.configured(answer, settings, "127.0.0.1", 0).timeout_keep_alive
    expiry = httpx2.Limits().keepalive_expiry
    assert expiry is not None
    assert kept > 2 * expiry
