"""Who computes next, and how many answers may hold memory at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK = 0.2
"""Seconds between two looks whether who waits for memory is still wanted."""


class Turn:
    """The one turn that there is. Who has had none comes before those who go on.

    So a short answer is not delayed by how many long ones are being made. Of both kinds who waits
    longest is next; newcomers and those who go on alternate, so that neither starves the other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: deque[threading.Event] = deque()
        self._going_on: deque[threading.Event] = deque()
        self._taken = False
        self._last_was_new = False

    @property
    def waiting(self) -> int:
        return len(self._new) + len(self._going_on)

    def __enter__(self) -> None:
        self._take(self._new)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if not self.waiting:
                self._taken = False
                return
            self._last_was_new = bool(self._new) and not (self._last_was_new and self._going_on)
            queue = self._new if self._last_was_new else self._going_on
            queue.popleft().set()  # it stays taken, by the next one

    def pass_on(self) -> None:
        """Let those who wait have it first."""
        if self.waiting:
            self.__exit__()
            self._take(self._going_on)

    def _take(self, queue: deque[threading.Event]) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            queue.append(mine)
        mine.wait()


class Room:
    """Memory for the tokens of answers that are being made, given in the order of asking.

    `free` tells the bytes that are free now. Answers may hold half of what they and others leave
    together; one always may, whatever it needs.
    """

    def __init__(self, free: Callable[[], int]) -> None:
        self._free = free
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._held = 0

    @contextmanager
    def held(self, size: int, unwanted: Callable[[], bool]) -> Iterator[None]:
        """Hold `size` bytes within this, and none where the answer became unwanted before.

        What `free` and `unwanted` raise is raised here; those who wait behind go on.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not (gone := unwanted()) and not self._fits(ticket, size):
                    self._changed.wait(LOOK)
                held = 0 if gone else size
                self._held += held
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held -= held
                self._changed.notify_all()

    def _fits(self, ticket: object, size: int) -> bool:
        if self._waiting[0] is not ticket:
            return False
        return not self._held or self._held + size <= (self._free() + self._held) // 2
