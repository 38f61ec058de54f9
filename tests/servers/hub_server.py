"""A hub on this machine with one dataset, `evil/ds`, and models to search: as much as that takes.

https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address at which `handler` answers, on a port of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


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

    with served(Handler) as address:
        yield address, asked


@contextmanager
def uploading_hub(token: str) -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The address of a hub that takes uploads with `token`, and its repositories: name → files."""
    repositories: dict[str, dict[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, rest = self.repository()
            if name not in repositories:
                self.send(404, {}, code="RepoNotFound")
            elif rest.startswith("tree/"):
                self.send(200, [tree_entry(*file) for file in repositories[name].items()])
            else:
                self.send(200, {"id": name, "sha": COMMIT, "siblings": [], "tags": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            name, rest = self.repository()
            if self.headers.get("Authorization") != f"Bearer {token}":
                self.send(403, {"error": "Forbidden"})
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                made = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                repositories[made] = {}
                self.send(200, {"url": f"http://{self.headers['Host']}/{made}", "name": made})
            elif rest.startswith("preupload/"):
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                self.send(200, {"files": files})
            elif rest.startswith("commit/"):
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        repositories[name][line["value"]["path"]] = content
                url = f"http://{self.headers['Host']}/{name}/commit/{COMMIT}"
                self.send(200, {"commitUrl": url, "commitOid": COMMIT})
            else:
                self.send(200, {"warnings": [], "errors": []})

        def repository(self) -> tuple[str, str]:
            parts = self.path.partition("?")[0].removeprefix("/api/models/").split("/")
            return "/".join(parts[:2]), "/".join(parts[2:])

        def send(self, status: int, value: Any, code: str = "") -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is overridden
            """Nothing."""

    with served(Handler) as address:
        yield address, repositories


def tree_entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the hub lists it."""
    named = hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False)
    return {"type": "file", "path": path, "size": len(content), "oid": named.hexdigest()}
