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
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server without buckets."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line per request: a pipe that nobody reads would fill
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def call(method: str, url: str, body: bytes = b"") -> None:
    """Send one request, without credentials."""
    headers = {"Content-Type": "text/plain"}  # moto empties what looks like a form
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    urllib.request.urlopen(request).close()
