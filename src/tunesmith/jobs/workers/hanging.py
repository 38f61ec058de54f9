"""Whether a process that should end hangs: one that does nothing isn't waited for any longer.

A training that saves a checkpoint uses the processor or waits for the disk, and so does one that
waits for its turn on a busy machine. One that does neither for a while is stopped (SIGSTOP), or
waits for what never comes; its thread that keeps the heartbeat uses next to nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import psutil

from tunesmith.messages import say

HANGS_AFTER = 10.0
"""Seconds without any work after which a process counts as hanging."""

LEAST_USE = 0.05
"""Share of one processor that whatever works uses, and more."""

_WORKING = (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
_HALTED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


@dataclass(frozen=True)
class _Look:
    at: float
    used: float
    """Seconds of processor time so far, of the process and what it has started."""
    working: bool
    halted: bool


class HangDetector:
    """Measures what process `pid` and its children do, whenever it is asked."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._looks: deque[_Look] = deque()

    def found(self, now: float) -> str | None:
        """What holds it up, in a few words, once it has done nothing for `HANGS_AFTER`.

        `now` is by the steady clock, in seconds. None as long as it may be at work.
        """
        look = self._look(now)
        if look is None:
            return None
        if look.working and not look.halted:
            self._looks.clear()
        self._looks.append(look)
        while len(self._looks) > 1 and now - self._looks[1].at >= HANGS_AFTER:
            self._looks.popleft()
        first = self._looks[0]
        if now - first.at < HANGS_AFTER:
            return None
        if all(each.halted for each in self._looks):
            return say("it was stopped, as by SIGSTOP")
        if look.used - first.used < LEAST_USE * (now - first.at):
            return say("it hung: it used neither processor nor disk")
        return None

    def _look(self, now: float) -> _Look | None:
        try:
            process = psutil.Process(self._pid)
            halted = process.status() in _HALTED
            family = [process, *process.children(recursive=True)]
        except psutil.Error:  # it has ended
            return None
        used, working = 0.0, False
        for each in family:
            try:
                times = each.cpu_times()
                used += times.user + times.system
                working |= each.status() in _WORKING
            except psutil.Error:
                working = True  # something has just ended, so something happens
        return _Look(now, used, working, halted)
