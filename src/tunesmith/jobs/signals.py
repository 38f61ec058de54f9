"""How a process is asked to stop: the first signal in order, a second one at once."""

from __future__ import annotations

import itertools
import queue
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Self

SAME_WISH = 0.5
"""Seconds within which the same signal says nothing new: a wrapper may send one wish twice."""


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
        if not self._asked:
            try:
                self._wishes.get(timeout=timeout)
            except queue.Empty:
                return False
            self._asked = True
        return True

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
