"""What takes long for the API, in processes of their own: killed when they take too long.

A thread of the API would hold Python's one lock while it matches, parses and counts, so that
nothing else was answered, and could not be ended. Each piece of work gets a process that is forked
from a small one which has all modules loaded and nothing else (`multiprocessing`'s fork server): it
starts in milliseconds, and what it takes of memory is free again with its end.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from tunesmith.api.computing.computations import work
from tunesmith.api.http.problems import MEMORY_FULL, TooLongError, UnavailableError, log
from tunesmith.messages import say

P = ParamSpec("P")
R = TypeVar("R")

LOADED = (
    "__main__", "tunesmith.api.computing.computations", "tunesmith.experiments.questions.comparison"
)  # fmt: skip
"""Modules that the fork server has loaded."""


class Computing:
    """Runs functions of modules in processes of their own. For any number of threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._context = multiprocessing.get_context("forkserver")
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Have the modules loaded, beside what this process does."""
        self._context.set_forkserver_preload([*LOADED])
        threading.Thread(target=self._warm_up, name="computing", daemon=True).start()

    def _warm_up(self) -> None:
        process = self._context.Process(target=os.getpid, daemon=True)
        process.start()
        process.join()

    def run(self, function: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        """What `function`, which another process can import, gives for what is given.

        Raises its TunesmithError; TooLongError when it took longer than is allowed, after which it
        is no longer at work; UnavailableError when its process ended in another way, as where the
        memory was used up.
        """
        receiver, process = self._begin((self._seconds, function, given, named))
        try:
            if not receiver.poll(self._seconds):
                raise TooLongError(
                    say(
                        "Reading and checking the data took longer than {seconds:g} s and was "
                        "given up (TUNESMITH_CHECK_SECONDS). Send fewer rows or shorter texts; "
                        "or import them at the machine itself, with tunesmith data import.",
                        seconds=self._seconds,
                    )
                )
            kind, outcome = receiver.recv()
        except (EOFError, OSError):
            raise UnavailableError(MEMORY_FULL) from None
        finally:
            receiver.close()
            process.kill()  # it has answered, or is not to
            process.join()
            with self._lock:
                self._running.discard(process)
        if kind == "error":
            raise outcome
        if kind == "unexpected":
            raise RuntimeError(outcome)
        return outcome  # type: ignore[no-any-return]

    def _begin(self, asked: tuple[Any, ...]) -> tuple[Connection, Any]:
        """A process at work on what is asked, and where it will answer. Raises UnavailableError."""
        receiver = None
        try:
            receiver, sender = self._context.Pipe(duplex=False)
            with sender, self._lock:
                if self._closed:
                    raise UnavailableError("the API is stopping and takes no more work.")
                process = self._context.Process(target=work, args=(sender, *asked), daemon=True)
                process.start()
                self._running.add(process)
        except (OSError, EOFError) as error:  # no process, memory or file is left to be had
            if receiver is not None:
                receiver.close()
            log.error("no process can be started: %s", error)
            raise UnavailableError(
                "The server can't start another process now; ask again in a moment."
            ) from error
        return receiver, process

    def close(self) -> None:
        """End what is at work; nothing begins any more."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
