"""The hook: a command of the operator's, started at the end of an experiment, without a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from tunesmith.messages import say
from tunesmith.threads import as_given

MOST_LINES, MOST_LETTERS = 50, 10_000
"""How much of what it prints is logged: lines, and letters of all output."""


def run_hook(
    command: Sequence[str], body: bytes, experiment_id: str, status: str, seconds: float
) -> tuple[list[str], str | None]:
    """Start `command` with `body` on its standard input, and wait for its end, or end it.

    It has the environment that this process was given, with TUNESMITH_EXPERIMENT_ID and
    TUNESMITH_EXPERIMENT_STATE. Returns the lines that it printed, the last of many, and what went
    wrong, or None.
    """
    environment = {
        **as_given(os.environ),
        "TUNESMITH_EXPERIMENT_ID": experiment_id,
        "TUNESMITH_EXPERIMENT_STATE": status,
    }
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return [], say("can't be started: {reason}", reason=reason or error)
    trouble = None
    try:
        output, _ = process.communicate(body, timeout=seconds)
    except subprocess.TimeoutExpired:
        trouble = say(
            "took longer than {seconds:g} seconds (TUNESMITH_HOOK_SECONDS) and was ended",
            seconds=seconds,
        )
        _end(process)
        output = b""
    except BaseException:
        _end(process)
        raise
    if trouble is None and process.returncode != 0:
        code = process.returncode
        trouble = (
            say("ended with exit code {code}", code=code)
            if code > 0
            else say("was ended by signal {value}", value=-code)
        )
    lines = output[-MOST_LETTERS:].decode("utf-8", "replace").splitlines()
    return lines[-MOST_LINES:], trouble


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and what it started; its pipes may be held by others, and are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
