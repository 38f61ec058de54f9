"""Processes of this machine: identified though their numbers are used again, and ended whole."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

from tunesmith.experiments.lifecycle.states import seconds_after_boot

SAME = 1.5
"""Seconds by which two readings of one process's beginning may differ: clocks are set."""

TICK = 0.05
"""Seconds between two looks at processes that should end."""

KILL_PATIENCE = 5.0
"""Seconds that the kernel gets to end what was killed."""

PARENT_INTERVAL = 0.5
"""Seconds between two looks at the parent process."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, identified by its number and its beginning, in seconds after the machine's own."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has the number now; None when there is none."""
        try:
            return cls(pid, seconds_after_boot(psutil.Process(pid)))
        except psutil.Error:
            return None

    def find(self) -> psutil.Process | None:
        """The process itself while it lives; None when it has ended, also if nobody reaped it."""
        try:
            process = psutil.Process(self.pid)
            same = abs(seconds_after_boot(process) - self.started) < SAME
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def end_processes(found: Iterable[ProcessIdentity], grace: float) -> None:
    """Ask processes to end (SIGTERM), and after `grace` seconds make them (SIGKILL)."""
    left = _send(found, signal.SIGTERM)
    if left := _wait(left, grace):
        _wait(_send(left, signal.SIGKILL), KILL_PATIENCE)


def _send(found: Iterable[ProcessIdentity], number: signal.Signals) -> list[ProcessIdentity]:
    """Send a signal; returns those that were there."""
    there = []
    for identity in found:
        if (process := identity.find()) is not None:
            with suppress(psutil.Error):
                process.send_signal(number)
            there.append(identity)
    return there


def _wait(left: list[ProcessIdentity], seconds: float) -> list[ProcessIdentity]:
    """Wait until they have ended; returns those that haven't.

    psutil's own wait also waits until the parent has reaped them, which nobody can make it do.
    """
    until = time.monotonic() + seconds
    while (left := [one for one in left if one.find()]) and time.monotonic() < until:
        time.sleep(TICK)
    return left


def kill_family(pid: int, variable: str, value: str) -> None:
    """Kill process `pid`, its group, and every process whose environment has `variable=value`.

    The processes that a training starts may have sessions of their own, and lose their parent when
    it dies: their environment still tells whose they are.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value and process.pid != os.getpid():
                process.kill()


def end_when_orphaned(parent: int) -> None:
    """Let this process end as by SIGTERM when process `parent` is its parent no longer."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
