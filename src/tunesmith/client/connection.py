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
from urllib.parse import quote

import httpx2
from cachetools import LRUCache
from pydantic import TypeAdapter

from tunesmith.errors import (
    ConfigError,
    Problem,
    ServiceError,
    StorageError,
    TooManyAttemptsError,
    TunesmithError,
    UserError,
    shorten,
)
from tunesmith.files.writing import written_whole
from tunesmith.messages import say
from tunesmith.network.addresses import resolves_to_loopback
from tunesmith.schemas.problem import KINDS_OF_ERRORS, ProblemDetails

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
    **{name: kind for kind, _status, name, _title in reversed(KINDS_OF_ERRORS)},
    "disk-full": StorageError,
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
                base_url=url,
                headers=headers,
                timeout=timeout,
                trust_env=not resolves_to_loopback(host),
            )
        except httpx2.InvalidURL as error:
            accepted = say("such as http://127.0.0.1:8000")
            raise ConfigError(
                [Problem("url", say("can't be read ({error})", error=error), url, accepted)]
            ) from None
        self._long = httpx2.Timeout(timeout, read=max(timeout, LONG))
        self._lock = threading.Lock()
        self._known: LRUCache[str, tuple[str, bytes]] = LRUCache(KNOWN)
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
        with self._reaching_the_api():
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
                self._known[path] = (tag, response.content)
        return response.content

    def events(
        self, path: str, last_id: str
    ) -> Iterator[tuple[httpx2.ServerSentEvent, dict[str, Any]]]:
        """The events of a live stream after `last_id`, each with its data, until it ends."""
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
            stream.writelines(response.iter_bytes(PIECE))
        return target

    @contextmanager
    def _opened(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        with self._reaching_the_api(), self._http.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            yield response

    def _decoded(self, kind: type[T], body: bytes | str) -> T:
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValueError:
            raise ServiceError(
                "{url} answered, but not as the API of this version does; the answer "
                "began: {value}. Is the address that of tunesmith api?",
                url=self._url,
                value=shorten(body),
            ) from None

    @contextmanager
    def _reaching_the_api(self) -> Iterator[None]:
        try:
            yield
        except httpx2.RequestError as error:
            raise ServiceError(
                "the API at {url} can't be reached ({error}). Start it with: tunesmith up",
                url=self._url,
                error=str(error) or type(error).__name__,
            ) from error


class Connected:
    """A connection to the API at `url`; the parts of the client ask through it."""

    def __init__(
        self, url: str, token: str | None, timeout: float, *, passed_on: bool = False
    ) -> None:
        self.url = url.rstrip("/")
        self._connection = Connection(self.url, token, timeout, passed_on=passed_on)
        self._ask, self._poll = self._connection.ask, self._connection.poll


def path_of(*parts: str | int) -> str:
    """A path of these parts, none of which can lead elsewhere."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def request_headers(token: str | None, *, passed_on: bool) -> dict[str, str]:
    """Headers that say who asks. `passed_on`: somebody else asks through this account, and must not
    be taken for it (RFC 7239, 6.3, lets a client go by any name)."""
    named = {"Forwarded": "for=_visitor"} if passed_on else {}
    return named | ({"Authorization": f"Bearer {token}"} if token else {})


def error_of(response: httpx2.Response) -> TunesmithError:
    """The error that a refusal stands for."""
    try:
        found = ProblemDetails.model_validate_json(response.content)
    except ValueError:
        return ServiceError(
            "{url} answered {status}, not as the API does.",
            url=response.url,
            status=response.status_code,
        )
    kind = found.type.rpartition(":")[2]
    if kind == "too-many-attempts":
        wait = response.headers.get("retry-after", "")
        return TooManyAttemptsError(found.detail, int(wait) if wait.isdecimal() else RETRY_AFTER)
    if kind != "invalid":
        return _KINDS.get(kind, UserError)(found.detail)
    problems = [
        Problem(
            **{name: value for name, value in wrong if value is not None and name != "messages"}
        )
        for wrong in found.errors
    ]
    return ConfigError(problems or [Problem("", found.detail)])


def _checked_token(token: str) -> str:
    """`token` without the space around it. Raises ConfigError, which doesn't show it."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        wrong = say("holds a character that no access token has (its value isn't shown)")
        raise ConfigError([Problem("token", wrong, accepted=say("ts_… as it was shown when made"))])
    return token


def _encoded(value: Any) -> bytes:
    """`value` as JSON. Raises ConfigError with everything in it that JSON can't say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        accepted = say(
            "text, finite numbers, true, false, null, lists, and mappings with text as keys"
        )
        problems = [
            Problem(field, say("can't be sent as JSON"), found, accepted)
            for field, found in _unsendable(value, "")
        ]
        whole = [Problem("", say("can't be sent as JSON: {error}", error=error), accepted=accepted)]
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
