"""The process that answers for the API: started when first asked, ended when idle."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tunesmith import errors
from tunesmith.errors import ServiceError, TunesmithError
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.settings import Settings

IDLE = 600.0
"""Seconds without a request after which the process is ended, and its memory is free again."""

PATIENCE = 300.0
"""Seconds that one request may take, the loading of its model included."""

MOST_WAITING = 8
"""Requests that may wait or be answered at once; each holds a thread of the API."""

PIECE = 1 << 16


class Companion:
    """Runs `tunesmith.serving.process` while it is needed. For any number of threads.

    A process that died is started again by the next request.
    """

    def __init__(
        self, settings: Settings, *, idle: float = IDLE, patience: float = PATIENCE
    ) -> None:
        self._settings = settings
        self._idle = idle
        self._patience = patience
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None
        self._requests = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        return self._process.pid if self._process is not None else None

    def answer(
        self,
        adapter: SavedAdapter,
        inputs: Sequence[Any],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
    ) -> dict[str, Any]:
        """The reply to a request, as `tunesmith.serving.process` describes it.

        Raises the error that the process answered with, ServiceError when it died, took too long,
        or too many wait.
        """
        request = {
            "adapter": adapter.to_json(),
            "inputs": list(inputs),
            "base": base,
            "max_new_tokens": max_new_tokens,
        }
        if not self._places.acquire(blocking=False):
            raise ServiceError(
                f"{MOST_WAITING} requests for predictions are waiting already; ask again soon."
            )
        try:
            with self._turn:
                reply = self._exchange(json.dumps(request).encode() + b"\n")
                self._end_when_idle()
        finally:
            self._places.release()
        if "error" in reply:
            raise _error(reply["error"], reply["message"])
        return reply

    def close(self) -> None:
        """End the process, if there is one; what is being answered breaks off."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
        with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            self._end()

    # -- with the turn ----------------------------------------------------------------------

    def _exchange(self, request: bytes) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        received = bytearray()
        until = time.monotonic() + self._patience
        with suppress(BrokenPipeError):  # it died; reading will tell
            process.stdin.write(request)
            process.stdin.flush()
        while not received.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                self._end()
                raise ServiceError(
                    f"the answer took longer than {self._patience:g} s and was given up; ask for "
                    "fewer inputs, or for shorter answers."
                )
            piece = os.read(process.stdout.fileno(), PIECE)
            if not piece:
                raise ServiceError(self._death())
            received += piece
        reply: dict[str, Any] = json.loads(received)
        return reply

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise ServiceError("the API is stopping; nothing is answered any more.")
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it died while nobody asked: nothing of anybody's was lost
        if self._process is None:
            if importlib.util.find_spec("torch") is None:
                raise ServiceError(
                    "this API was installed without PyTorch, which answers need; start it from "
                    "what the workers are installed from, or ask with tunesmith predict there."
                )
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tunesmith.serving.process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    env=self._environment(),
                    start_new_session=True,  # Ctrl-C is for the API, which ends it
                )
            except OSError as error:
                raise ServiceError(
                    f"the process for predictions can't be started: {error.strerror}"
                ) from error
        return self._process

    def _environment(self) -> dict[str, str]:
        """Ours, with what our settings say of base models."""
        own = {"TUNESMITH_CACHE_DIR": str(self._settings.cache_dir.resolve())}
        if self._settings.token:
            own["HF_TOKEN"] = self._settings.token
        return {**os.environ, **own}

    def _death(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self._end()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = ", as when the machine's memory is used up" if code == -9 else ""
        return (
            f"the process for predictions ended while it answered ({how}{hint}). It is started "
            "again by the next request."
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it holds nothing that must be kept
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _end_when_idle(self) -> None:
        self._requests += 1
        self._timer = threading.Timer(self._idle, self._end_unless_asked, [self._requests])
        self._timer.daemon = True
        self._timer.start()

    def _end_unless_asked(self, request: int) -> None:
        """End the process where request number `request` was the last one."""
        with self._turn:
            if self._requests == request:
                self._end()


def _error(kind: str, message: str) -> TunesmithError:
    """The error of that name; one that needs more than a message becomes a UserError."""
    found: type[TunesmithError] = getattr(errors, kind, errors.UserError)
    return errors.UserError(message) if found is errors.ConfigError else found(message)
