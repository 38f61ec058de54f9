"""Processes of this machine: told apart though their numbers are used again, and ended whole."""

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

from tunesmith.experiments.states import seconds_after_boot

SAME = 1.5
"""Seconds by which two readings of one process's beginning may differ: clocks are set."""

PARENT_INTERVAL = 0.5
"""Seconds between two looks at the parent process."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told by its number and its beginning, in seconds after the machine's own."""

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
    processes = [process for identity in found if (process := identity.find()) is not None]
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=grace)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5.0)


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
