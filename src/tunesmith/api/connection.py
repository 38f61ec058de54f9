"""How a client speaks to the API: requests, polls that cost little, downloads, live streams.

What the API refuses is raised as the error that it is.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter

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
    TooManyAttemptsError,
    TunesmithError,
    UnauthenticatedError,
    UserError,
    shorten,
)
from tunesmith.jobs.ports import is_loopback
from tunesmith.tracking.files import flush, written_whole

T = TypeVar("T")

PIECE = 1 << 18
"""Bytes of a download that are written at once."""

KNOWN = 20
"""Answers that are kept to be asked for again."""

LONG = 600.0
"""Seconds that the API gets, at least, to answer what takes it long: reading, comparing data."""

DEEPEST = 50
"""Levels of a body in which what can't be sent is looked for."""

RETRY_AFTER = 60
"""Seconds to wait after too many attempts, where the answer doesn't say it."""

_KINDS: Mapping[str, type[TunesmithError]] = {
    "unauthenticated": UnauthenticatedError,
    "forbidden": AccessError,
    "not-found": NotFoundError,
    "state": StateError,
    "data": DataError,
    "model": ModelError,
    "device": DeviceError,
    "storage": StorageError,
    "disk-full": StorageError,
    "service": ServiceError,
    "busy": ServiceError,
    "internal": ServiceError,
}
"""End of a problem's type → the error that it stands for."""


class Connection:
    """A connection to the API, for any number of threads.

    Each method raises ServiceError when the API can't be reached, or what answers isn't the API.
    Made with a URL or a token that can't be one, it raises ConfigError.
    """

    def __init__(
        self, url: str, token: str | None, timeout: float, *, passed_on: bool = False
    ) -> None:
        self._url = url
        headers = request_headers(_checked_token(token or ""), passed_on=passed_on)
        try:
            host = httpx2.URL(url).host
            # A proxy, which the environment may name, would look for the API on its own machine.
            self._http = httpx2.Client(
                base_url=url, headers=headers, timeout=timeout, trust_env=not is_loopback(host)
            )
        except httpx2.InvalidURL as error:
            accepted = "such as http://127.0.0.1:8000"
            raise ConfigError([Problem("url", f"can't be read ({error})", url, accepted)]) from None
        self._long = httpx2.Timeout(timeout, read=max(timeout, LONG))
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, bytes]] = {}
        """Path → ETag and body of the last answer."""

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        also: tuple[int, ...] = (),
        long: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """The answer to a request, where it is a success or its status is one of `also`.

        Parameters that are None aren't sent; `long` lets the API take its time. Raises the error
        that a refusal stands for, and ConfigError for a body that JSON can't say.
        """
        if "params" in options:
            options["params"] = {k: v for k, v in options["params"].items() if v is not None}
        if "json" in options:
            options["content"] = _encoded(options.pop("json"))
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        if long:
            options["timeout"] = self._long
        with self._told():
            response = self._http.request(method, path, **options)
        if response.is_success or response.status_code in also:
            return response
        raise error_of(response)

    def ask(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """The answer to a request as a `kind`; `options` as in `request`, and raises the same."""
        return self._decoded(kind, self.request(method, path, **options).content)

    def poll(self, kind: type[T], path: str) -> T:
        """An answer as a `kind`, which is sent again only when it changed."""
        return self._decoded(kind, self._polled(path))

    def _polled(self, path: str) -> bytes:
        with self._lock:
            known = self._known.get(path)
        headers = {"If-None-Match": known[0]} if known else {}
        response = self.request("GET", path, also=(304,), headers=headers)
        if known and response.status_code == 304:
            return known[1]
        if tag := response.headers.get("etag"):
            with self._lock:
                self._known.pop(path, None)
                self._known[path] = (tag, response.content)
                while len(self._known) > KNOWN:
                    del self._known[next(iter(self._known))]
        return response.content

    def events(
        self, path: str, last_id: str
    ) -> Iterator[tuple[httpx2.ServerSentEvent, dict[str, Any]]]:
        """The events of a live stream after the one with the id `last_id`, each with its data.

        Ends when the stream does.
        """
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self._opened(path, headers) as response:
            for event in httpx2.EventSource(response):
                yield event, self._decoded(dict[str, Any], event.data)

    def save(self, path: str, target: Path) -> Path:
        """Save an answer as `target`, whole or not at all. Raises OSError too."""
        with (
            written_whole(target) as partial,
            self._opened(path, {}) as response,
            partial.open("wb") as stream,
        ):
            for piece in response.iter_bytes(PIECE):
                stream.write(piece)
            flush(stream)
        return target

    @contextmanager
    def _opened(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        with self._told(), self._http.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            yield response

    def _decoded(self, kind: type[T], body: bytes | str) -> T:
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValueError:
            raise ServiceError(
                f"{self._url} answered, but not as the API of this version does; the answer began: "
                f"{shorten(body)}. Is the address that of tunesmith api?"
            ) from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx2.RequestError as error:
            raise ServiceError(
                f"the API at {self._url} can't be reached ({str(error) or type(error).__name__}). "
                "Start it with: tunesmith up"
            ) from error


def request_headers(token: str | None, *, passed_on: bool) -> dict[str, str]:
    """What tells the API who asks. `passed_on` says that somebody else asks through this account,
    who has no right to be taken for it (RFC 7239, 6.3, lets a client go by any name)."""
    named = {"Forwarded": "for=_visitor"} if passed_on else {}
    return named | ({"Authorization": f"Bearer {token}"} if token else {})


def error_of(response: httpx2.Response) -> TunesmithError:
    """The error that a refusal stands for."""
    try:
        found = ProblemDetails.model_validate_json(response.content)
    except ValueError:
        return ServiceError(f"{response.url} answered {response.status_code}, not as the API does.")
    kind = found.type.rpartition(":")[2]
    if kind == "too-many-attempts":
        wait = response.headers.get("retry-after", "")
        return TooManyAttemptsError(found.detail, int(wait) if wait.isdecimal() else RETRY_AFTER)
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


def _checked_token(token: str) -> str:
    """`token` without the space around it. Raises ConfigError, which doesn't show it."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        wrong = "holds a character that no access token has (its value isn't shown)"
        raise ConfigError([Problem("token", wrong, accepted="ts_… as it was shown when made")])
    return token


def _encoded(value: Any) -> bytes:
    """`value` as JSON. Raises ConfigError with everything in it that JSON can't say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        accepted = "text, finite numbers, true, false, null, lists, and mappings with text as keys"
        problems = [
            Problem(field, "can't be sent as JSON", found, accepted)
            for field, found in _unsendable(value, "")
        ]
        whole = [Problem("", f"can't be sent as JSON: {error}", accepted=accepted)]
        raise ConfigError(problems or whole) from None


def _unsendable(value: Any, field: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dotted path and value of all that JSON can't say; what is nested without end is left out."""
    if depth > DEEPEST:
        return
    before = f"{field}." if field else ""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _unsendable(inner, f"{before}{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _unsendable(inner, f"{before}{number}", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield field, value
    elif isinstance(value, str):
        if value != value.encode("utf-8", "replace").decode():
            yield field, value
    elif not (value is None or isinstance(value, bool | int)):
        yield field, value
