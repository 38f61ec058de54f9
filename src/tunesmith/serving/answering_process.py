"""The process that answers for the API: started when first asked, ended when idle."""

from __future__ import annotations

import importlib.util
import multiprocessing
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from tunesmith import errors
from tunesmith.errors import ServiceError, TunesmithError
from tunesmith.messages import say
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.process import serve
from tunesmith.settings import Settings

IDLE = 600.0
"""Seconds without a request after which the process is ended, and its memory is free again."""

PATIENCE = 300.0
"""Seconds that one request may take, the loading of its model included."""

MOST_WAITING = 8
"""Requests that may wait or be answered at once; each holds a thread of the API."""


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
        self._context = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._channel: Connection | None = None
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
        unsure: bool = False,
    ) -> dict[str, Any]:
        """The reply to a request, as `tunesmith.serving.process.serve` describes it.

        Raises the error that the process answered with, ServiceError when it died, took too long,
        or too many wait.
        """
        request = {
            "adapter": adapter,
            "questions": list(inputs),
            "base": base,
            "max_new_tokens": max_new_tokens,
            "unsure": unsure,
        }
        if not self._places.acquire(blocking=False):
            raise ServiceError(
                "{n} requests for predictions are waiting already; ask again soon.", n=MOST_WAITING
            )
        try:
            with self._turn:
                reply = self._exchange(request)
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

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        channel = self._running()
        try:
            channel.send(request)
            answered = channel.poll(self._patience)
            reply: dict[str, Any] = channel.recv() if answered else {}
        except (EOFError, OSError):
            raise ServiceError(self._death()) from None
        if not answered:
            self._end()
            raise ServiceError(
                "the answer took longer than {seconds:g} s and was given up; ask for "
                "fewer inputs, or for shorter answers.",
                seconds=self._patience,
            )
        return reply

    def _running(self) -> Connection:
        """Where the process is asked; it is started where there is none."""
        if self._closed:
            raise ServiceError("the API is stopping; nothing is answered any more.")
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None and not self._process.is_alive():
            self._end()  # it died while nobody asked: nothing of anybody's was lost
        if self._channel is not None:
            return self._channel
        if importlib.util.find_spec("torch") is None:
            raise ServiceError(
                "this API was installed without PyTorch, which answers need; start it "
                "from what the workers are installed from, or ask with tunesmith predict "
                "there."
            )
        self._channel, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._settings), daemon=True)
        try:
            with theirs:
                process.start()
        except OSError as error:
            self._end()
            raise ServiceError(
                "the process for predictions can't be started: {error}", error=error.strerror
            ) from error
        self._process = process
        return self._channel

    def _death(self) -> str:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        self._end()
        how = say("signal {n}", n=-code) if code < 0 else say("exit code {n}", n=code)
        hint = say(", as when the machine's memory is used up") if code == -9 else ""
        return say(
            "the process for predictions ended while it answered ({how}{hint}). It "
            "is started again by the next request.",
            how=how,
            hint=hint,
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if process is not None:
            process.kill()  # it holds nothing that must be kept
            process.join()
        if channel is not None:
            channel.close()

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
