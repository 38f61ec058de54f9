"""How a process is asked to stop: the first signal in order, a second one at once."""

from __future__ import annotations

import itertools
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Self

SAME_WISH = 0.5
"""Seconds within which the same signal says nothing new: a wrapper may send one wish twice."""

HEARING = 0.5
"""Most seconds for which the main thread sleeps on: a signal that the system gives to another
thread, as it does when the main thread has yet to hear of one, wakes nobody."""


class StopSignals:
    """The signals that ask this process to stop, as its main thread learns of them.

    A signal's handler may interrupt anything, another handler too. So it only puts the first wish
    where `wait` finds it, without a lock that the interrupted code could hold, and has nothing to
    do but `at_once` for the second. A context manager: the handlers from before come back.

    An ignored SIGHUP stays ignored: nohup asks for that, to outlive the terminal.
    """

    def __init__(self, numbers: Sequence[signal.Signals], at_once: Callable[[int], None]) -> None:
        self._numbers = numbers
        self._at_once = at_once
        self._wishes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._count = itertools.count()
        self._heard: dict[int, float] = {}
        self._asked = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._hear)
            for number in self._numbers
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether this process was asked to stop, within `timeout` seconds from now."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._asked:
            left = HEARING if until is None else until - time.monotonic()
            try:
                self._wishes.get(timeout=min(HEARING, max(0.0, left)))
                self._asked = True
            except queue.Empty:
                if left <= HEARING and until is not None:
                    return False
        return True

    def join(self, threads: Sequence[threading.Thread], timeout: float) -> None:
        """Wait for the end of `threads`, for `timeout` seconds in all, and hear signals meanwhile.

        To be called in the main thread, where handlers run.
        """
        until = time.monotonic() + timeout
        for thread in threads:
            while thread.is_alive() and (left := until - time.monotonic()) > 0:
                thread.join(min(HEARING, left))

    def ask(self) -> None:
        """Let `wait` return as if a signal had come; from any thread."""
        self._wishes.put(None)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        ago = now - self._heard.setdefault(number, now)
        if next(self._count) == 0:
            self._wishes.put(None)
        elif not 0 < ago <= SAME_WISH:
            self._at_once(number)
