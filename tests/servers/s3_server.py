"""An S3 server on this machine: moto's, in a process of its own.

In this process it would wait for Python's lock, which delta-rs holds while it waits for the server.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

SERVE = """
import sys
from moto.server import ThreadedMotoServer
port = 0
while True:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    print(port, flush=True)
    sys.stdin.readline()
    server.stop()
    print("lost", flush=True)
    if not sys.stdin.readline():
        break
"""
"""Serves until a line comes, serves again at the next one, and ends with its input."""


class S3Server:
    """A server that can be lost, and comes back with all that it had, as one with a disk does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = f"http://127.0.0.1:{int(self._answer())}"

    def lose(self) -> None:
        """Let nobody listen at its address."""
        self._send()

    def bring_back(self) -> None:
        """Serve again."""
        self._send()

    def _send(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server without buckets."""
    with losable_s3_server() as server:
        yield server.address


@contextmanager
def losable_s3_server() -> Iterator[S3Server]:
    """A server without buckets."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line per request: a pipe that nobody reads would fill
        text=True,
    ) as process:
        assert process.stdin is not None
        yield S3Server(process)
        process.stdin.close()


def call(method: str, url: str, body: bytes = b"") -> None:
    """Send one request, without credentials."""
    headers = {"Content-Type": "text/plain"}  # moto empties what looks like a form
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    urllib.request.urlopen(request).close()
