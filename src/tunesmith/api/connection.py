"""How a client speaks to the API: requests, polls that cost little, downloads, live streams.

What the API refuses is raised as the error that it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tunesmith.api.schemas.problem import ProblemDetails
from tunesmith.errors import (
    AccessError,
    ConfigError,
    DataError,
    DeviceError,
    ModelError,
    NotFoundError,
    Problem,
    ServiceError,
    StateError,
    StorageError,
    TunesmithError,
    UserError,
)

PIECE = 1 << 18
"""Bytes of a download that are written at once."""

KNOWN = 20
"""Answers that are kept to be asked for again."""

_KINDS: Mapping[str, type[TunesmithError]] = {
    "unauthenticated": AccessError,
    "too-many-attempts": AccessError,
    "forbidden": AccessError,
    "not-found": NotFoundError,
    "state": StateError,
    "data": DataError,
    "model": ModelError,
    "device": DeviceError,
    "storage": StorageError,
    "service": ServiceError,
    "busy": ServiceError,
    "internal": ServiceError,
}
"""End of a problem's type → the error that it stands for."""


class Connection:
    """A connection to the API; each method raises ServiceError when it can't be reached."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout)
        self._known: dict[str, tuple[str, bytes]] = {}
        """Path → ETag and body of the last answer."""

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def request(
        self, method: str, path: str, *, also: tuple[int, ...] = (), **options: Any
    ) -> httpx2.Response:
        """The answer to a request, where it is a success or its status is one of `also`.

        Parameters that are None aren't sent. Raises the error that a refusal stands for.
        """
        if "params" in options:
            options["params"] = {k: v for k, v in options["params"].items() if v is not None}
        with self._told():
            response = self._http.request(method, path, **options)
        if response.is_success or response.status_code in also:
            return response
        raise error_of(response)

    def poll(self, path: str) -> bytes:
        """The body of an answer that is sent again only when it changed."""
        known = self._known.get(path)
        headers = {"If-None-Match": known[0]} if known else {}
        response = self.request("GET", path, also=(304,), headers=headers)
        if known and response.status_code == 304:
            return known[1]
        if tag := response.headers.get("etag"):
            self._known.pop(path, None)
            self._known[path] = (tag, response.content)
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return response.content

    def events(self, path: str, last_id: str) -> Iterator[httpx2.ServerSentEvent]:
        """The events of a live stream after the one with the id `last_id`, until it breaks off."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self._opened(path, headers) as response:
            yield from httpx2.EventSource(response)

    def save(self, path: str, target: Path) -> Path:
        """Save an answer as `target`, whole or not at all. Raises OSError too."""
        beside = target.with_name(f".{target.name}.partial")
        try:
            with self._opened(path, {}) as response, beside.open("wb") as stream:
                for piece in response.iter_bytes(PIECE):
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        return target

    @contextmanager
    def _opened(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        with self._told(), self._http.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            yield response

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise ServiceError(
                f"the API at {self._url} can't be reached ({str(error) or type(error).__name__}). "
                "Start it with: tunesmith up"
            ) from error


def error_of(response: httpx2.Response) -> TunesmithError:
    """The error that a refusal stands for."""
    try:
        found = ProblemDetails.model_validate_json(response.content)
    except ValueError:
        return ServiceError(f"{response.url} answered {response.status_code}, not as the API does.")
    kind = found.type.rpartition(":")[2]
    if kind != "invalid":
        return _KINDS.get(kind, UserError)(found.detail)
    problems = []
    for wrong in found.errors:
        given: dict[str, Any] = {} if wrong.value is None else {"value": wrong.value}
        problems.append(
            Problem(
                wrong.field,
                wrong.message,
                accepted=wrong.accepted,
                suggestion=wrong.suggestion,
                **given,
            )
        )
    return ConfigError(problems or [Problem("", found.detail)])
