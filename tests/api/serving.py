"""A real server of the API in a thread, and experiments put into its store."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from tunesmith.api.access.tokens import create_token
from tunesmith.api.app import create_app
from tunesmith.api.server import configured
from tunesmith.api.service import Service
from tunesmith.files.folder import ExperimentFolder
from tunesmith.jobs.services.ports import free_port as free_port
from tunesmith.schemas.enums import ExperimentStatus, Role
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store


class Api(httpx2.Client):
    """An HTTP client of a running server, with the server's own parts at hand."""

    def __init__(self, port: int, app: FastAPI, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(
            base_url=f"http://127.0.0.1:{port}",
            headers=headers,
            timeout=30,
            trust_env=False,
            event_hooks={"response": [self._is_documented]},
        )
        self._others: list[Api] = []
        self.port = port
        self.app = app
        self.service: Service = app.state.service
        service = self.service
        self.store: Store = service.store
        self.settings: Settings = service.settings

    def as_(self, token: str | None) -> Api:
        """The same server for the holder of another token."""
        other = Api(self.port, self.app, token)
        self._others.append(other)
        return other

    def _is_documented(self, answer: httpx2.Response) -> None:
        """Every answer that any test gets is one that the OpenAPI document announces."""
        asked = answer.request
        operation = operation_of(self.app, asked.method, asked.url.path)
        if operation is not None:
            known = sorted(operation["responses"])
            assert str(answer.status_code) in known, (
                f"{asked.method} {asked.url.path} answered {answer.status_code}; its documentation "
                f"announces {', '.join(known)}"
            )

    def close(self) -> None:
        """Close this client and those made of it."""
        for other in self._others:
            other.close()
        super().close()

    def token(self, name: str, role: Role = Role.MEMBER) -> str:
        """A new token."""
        return create_token(name, role, self.store, "tests")[1]


def operation_of(app: FastAPI, method: str, path: str) -> dict[str, Any] | None:
    """What the OpenAPI document says of the route that is asked; None where there is none."""
    for pattern, operations in documented(app):
        if pattern.fullmatch(path):
            found: dict[str, Any] | None = operations.get(method.lower())
            if found is not None:
                return found
    return None


_DOCUMENTED: dict[bool, list[tuple[re.Pattern[str], dict[str, Any]]]] = {}
_DOCUMENTING = threading.Lock()


def documented(app: FastAPI) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each documented path as a pattern, with its operations.

    The document takes half a second of processor time to make, and every test's application has the
    same one but for whether tokens are needed, so a process makes it once for each of the two; and
    once where a test sends many requests at the same time.
    """
    is_open = app.state.service.authenticator.open
    with _DOCUMENTING:
        if is_open not in _DOCUMENTED:
            _DOCUMENTED[is_open] = [
                (re.compile(re.sub(r"{(\w+)}", _segment, template)), operations)
                for template, operations in app.openapi()["paths"].items()
            ]
        return _DOCUMENTED[is_open]


def _segment(parameter: re.Match[str]) -> str:
    return ".+" if parameter[1] == "path" else "[^/]+"


@contextmanager
def serving(
    settings: Settings, *, patience: float = 30.0, host: str = "127.0.0.1"
) -> Iterator[Api]:
    """A server of the API on a free port, run as `tunesmith api` runs it."""
    app = create_app(settings, patience=patience)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = int(listener.getsockname()[1])
        server = uvicorn.Server(
            configured(app, settings, host, port, ws="none", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        api = Api(port, app)
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended before it began"
                time.sleep(0.01)
            yield api
        finally:
            api.close()
            server.should_exit = True
            thread.join()


def add_experiment(
    store: Store,
    settings: Settings,
    name: str = "reviews",
    status: ExperimentStatus = ExperimentStatus.SUCCEEDED,
    **values: Any,
) -> Experiment:
    """Record an experiment with a folder of its own, as if it had been trained."""
    files = ExperimentFolder.create(settings.results_dir, name, utc_now())
    experiment = Experiment(
        name=name,
        status=status,
        task="text-classification",
        model_name="some/model",
        dataset_name="reviews.csv",
        directory=str(files.path.resolve()),
        **values,
    )
    files.log.write_text("line 1\nline 2\nline 3\n", encoding="utf-8")
    files.adapter.mkdir(parents=True)
    (files.adapter / "adapter_model.safetensors").write_bytes(b"weights" * 1000)
    (files.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
    files.write_record(experiment)
    store.create(experiment)
    return experiment
