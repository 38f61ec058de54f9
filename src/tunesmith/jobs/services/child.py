"""One service as a child process: its output shown and kept, restarted when it dies."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from tunesmith.errors import ServiceError, UserError
from tunesmith.jobs.processes import ProcessIdentity
from tunesmith.messages import say

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a service that died is started again: each time twice as long."""

STEADY = 60.0
"""Seconds of running after which a service's earlier deaths no longer count."""

LOG_BYTES, LOG_FILES = 10_000_000, 3
"""Size at which a service's log is begun anew, and how many old ones are kept."""

TICK = 0.1
"""Seconds between two looks at a process that should end."""

CANT_RUN = os.EX_CONFIG
"""Exit code of a service that can't run as things are: starting it again would change nothing."""

Say = Callable[[str, str], None]
"""Takes the name of a service and a line that it printed."""


class Child:
    """A service that this process runs.

    `logs` is the folder of `NAME.log`, in which everything that it prints is kept; `say` gets the
    same lines. A line that can't be kept or shown (a full disk, a terminal that is gone) is lost:
    were it waited for, the service would stand still as soon as its pipe is full.
    """

    def __init__(self, name: str, command: Sequence[str], logs: Path, say: Say) -> None:
        self.name = name
        self.identity: ProcessIdentity | None = None
        self._command = list(command)
        self._say = say
        self._log = _file_log(name, logs)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._last_lines: deque[str] = deque(maxlen=5)
        self._begun = 0.0
        self._due = 0.0
        self._pause = FIRST_PAUSE

    def start(self) -> None:
        """Start it. Raises ServiceError when this machine can't."""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us; we end it in our order
            )
        except OSError as error:
            raise ServiceError(
                "the {name} can't be started: {error}", name=self.name, error=error.strerror
            ) from error
        self._begun = time.monotonic()
        self.identity = ProcessIdentity.of(self._process.pid)
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name=f"read-{self.name}", daemon=True
        )
        self._reader.start()

    def revive(self) -> bool:
        """Start it again when it died, after a pause that grows; True when that was done.

        Raises ServiceError when it said that it can't run as things are.
        """
        now = time.monotonic()
        if self._process is None:
            if now < self._due:
                return False
            self.start()
            return True
        code = self._process.poll()
        if code is None:
            return False
        if self._reader is not None:
            self._reader.join(1.0)
        if code in (CANT_RUN, UserError.exit_code):
            raise ServiceError(
                say("the {name} can't run:\n", name=self.name)
                + "\n".join(f"  {line}" for line in self._last_lines)
            )
        if now - self._begun > STEADY:
            self._pause = FIRST_PAUSE
        how = say("exit code {n}", n=code) if code >= 0 else say("signal {n}", n=-code)
        self._tell(
            say(
                "ended unexpectedly ({how}); it is started again in {pause:g} s",
                how=how,
                pause=self._pause,
            )
        )
        self._process, self.identity = None, None
        self._due = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return False

    def end(self, grace: Callable[[], float]) -> None:
        """Ask it to end, and make it after `grace()` seconds, which is asked again and again."""
        process = self._process
        if process is None:
            return
        process.terminate()
        asked = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - asked >= grace():
                process.kill()
                process.wait()
                self._tell(say("did not end and was killed"))
                break
            time.sleep(TICK)
        if self._reader is not None:
            self._reader.join(1.0)
        self._process, self.identity = None, None

    def close(self) -> None:
        """Close its log."""
        for handler in self._log.handlers[:]:
            self._log.removeHandler(handler)
            handler.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._last_lines.append(line.rstrip())
                self._tell(line.rstrip())

    def _tell(self, line: str) -> None:
        self._log.info("%s", line)
        with suppress(OSError):
            self._say(self.name, line)


def _file_log(name: str, folder: Path) -> logging.Logger:
    log = logging.getLogger(f"tunesmith.services.{name}")
    log.propagate = False
    log.setLevel(logging.INFO)
    handler = RotatingFileHandler(
        folder / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    return log
