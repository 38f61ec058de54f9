"""A hub on this machine with one dataset, `evil/ds`, and models to search: as much as that takes.

https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@contextmanager
def hub_server(
    files: Mapping[str, bytes], models: Sequence[Mapping[str, Any]] = (), moved: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub whose dataset has these files and which lists these models (or says that
    the list has `moved` elsewhere), and the paths that are asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def answer(self) -> None:
            asked.append(self.path)
            name = self.path.rpartition("/")[2]
            if self.path.startswith("/datasets/evil/ds/resolve/") and name in files:
                self.send(200, files[name], **{"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})
            elif self.path.partition("?")[0].startswith("/api/datasets/evil/ds"):
                siblings = [{"rfilename": file} for file in files]
                about = {"id": "evil/ds", "sha": COMMIT, "siblings": siblings, "tags": []}
                self.send(200, json.dumps(about).encode())
            elif self.path.startswith("/api/models?"):
                if moved:
                    self.send(302, b"", Location=moved)
                else:
                    self.send(200, json.dumps(models).encode())
            else:
                self.send(404, b"", **{"X-Error-Code": "EntryNotFound"})

        def send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is overridden
            """Nothing: what was asked is in the list."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
