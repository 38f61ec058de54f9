"""Programs that run under another account of this machine, where the tests may start such."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

other_account = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may start programs under another account"
)

RELAY = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink):
    while piece := source.recv(65536):
        sink.sendall(piece)
    sink.shutdown(socket.SHUT_WR)
while True:
    near = listener.accept()[0]
    far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
"""Passes connections on, as its own account's."""


def nobody() -> int:
    """Number of an account that is not ours."""
    return pwd.getpwnam("nobody").pw_uid


def _python() -> str:
    """A Python that another account may start; ours may lie in a folder of our own."""
    for found in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with suppress(OSError):
            subprocess.run([found, "-I", "-S", "-c", ""], user=nobody(), check=True, cwd="/")
            return found
    pytest.skip("no Python here may be started by another account")


def run_as_nobody(*command: str) -> str:
    """What a command prints that runs under another account."""
    done = subprocess.run(
        command, user=nobody(), capture_output=True, text=True,
        check=False, timeout=60, cwd="/",
    )  # fmt: skip
    return done.stdout + done.stderr


@contextmanager
def relay_of_nobody(host: str, port: int) -> Iterator[int]:
    """A port whose connections reach another one as another account's."""
    process = subprocess.Popen(
        [_python(), "-I", "-S", "-c", RELAY, host, str(port)],
        user=nobody(), stdout=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
