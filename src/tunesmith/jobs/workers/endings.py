"""Why a training process ended, in plain words, and whether it is worth starting again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tunesmith.experiments.lifecycle.reconcile import Restart
from tunesmith.messages import say
from tunesmith.threads import control_groups

TRY_AGAIN = os.EX_TEMPFAIL
"""Exit code of a training process that could not reach the store, or its folder: nothing is wrong
with the experiment."""

CRASHES = {
    signal.SIGSEGV: say("a segmentation fault"),
    signal.SIGBUS: say("a bus error"),
    signal.SIGABRT: say("it aborted itself"),
    signal.SIGILL: say("an illegal instruction"),
    signal.SIGFPE: say("an arithmetic error"),
}
"""Signals that a process gets for what its own native code did."""

LONGEST_QUOTE = 300
"""Characters of a process's output that a reason quotes."""

_FATAL = "Fatal Python error: "


@dataclass(frozen=True)
class Ending:
    """How a process ended that did not say so itself."""

    reason: str
    """One sentence or a few, for the person whose experiment it was."""
    restart: Restart


@dataclass(frozen=True)
class KillCounts:
    """How many processes the kernel has killed because memory ran out; None where it can't tell.

    In the control group (https://docs.kernel.org/admin-guide/cgroup-v2.html, `memory.events`) only
    processes of this container or service count; on the machine all do.
    """

    group: int | None = None
    machine: int | None = None

    @classmethod
    def read(cls, root: Path = Path("/")) -> KillCounts:
        """The counts now; `root` is where the system's files lie."""
        return cls(_group_count(root), _count(root / "proc/vmstat", "oom_kill"))

    def rose_since(self, before: KillCounts) -> bool:
        """Whether one was killed since `before`; the group decides where it is known."""
        if self.group is not None and before.group is not None:
            return self.group > before.group
        if self.machine is not None and before.machine is not None:
            return self.machine > before.machine
        return False


def judge_ending(code: int, pid: int, output: str, *, out_of_memory: bool) -> Ending:
    """Why process `pid` ended with `code` (below 0: the signal that ended it).

    `output` is what it printed; `out_of_memory` says that the kernel killed something for want of
    memory meanwhile.
    """
    who = say("The process that trained it (pid {pid})", pid=pid)
    if code >= 0:
        said = _last_line(output)
        if code == TRY_AGAIN:
            why = say("{who} ended because {reason}", who=who, reason=said)
            return Ending(why, Restart.FREE)
        quoted = (
            say("; its last words: {said}", said=said) if said else say(", and printed nothing")
        )
        why = say(
            "{who} ended by itself with exit code {code} and recorded nothing{quoted}",
            who=who,
            code=code,
            quoted=quoted,
        )
        return Ending(why, Restart.NEVER)
    number = -code
    name = _signal_name(number)
    if number == signal.SIGKILL and out_of_memory:
        why = say(
            "{who} was killed by the out-of-memory killer: the memory of this machine, or what "
            "this service may use of it, ran out. A smaller training.per_device_train_batch_size "
            "or data.max_length needs less, and so does training.gradient_checkpointing: true.",
            who=who,
        )
    elif number == signal.SIGKILL:
        why = say(
            "{who} was killed from outside ({name}, as kill -9 sends it).", who=who, name=name
        )
    elif number in CRASHES:
        where = _crash_place(output)
        why = say(
            "{who} crashed in native code ({name}, {crashes})",
            who=who,
            name=name,
            crashes=CRASHES[signal.Signals(number)],
        )
        why += f": {where}." if where else say(".")
    else:
        why = say("{who} was ended by a signal from outside ({name}).", who=who, name=name)
    return Ending(why, Restart.COUNTED)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return say("signal {n}", n=number)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:LONGEST_QUOTE] if lines else ""


def _crash_place(output: str) -> str:
    """The first line of a faulthandler dump and the top frame of the thread that crashed."""
    _, found, dump = output.rpartition(_FATAL)
    if not found:
        return ""
    lines = dump.splitlines()
    current = next((i for i, line in enumerate(lines) if line.startswith("Current thread")), 0)
    frame = next((line.strip() for line in lines[current:] if line.startswith("  File ")), "")
    said = lines[0].strip()
    return (say("{said} at {frame}", said=said, frame=frame) if frame else said)[:LONGEST_QUOTE]


def _group_count(root: Path) -> int | None:
    """The count of this process's control group, of version 2 or 1."""
    for group, version in control_groups("memory", root):
        events = group / ("memory.events" if version == 2 else "memory.oom_control")
        if (count := _count(events, "oom_kill")) is not None:
            return count
    return None


def _count(path: Path, name: str) -> int | None:
    """The number beside `name` in a file of names and numbers."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None
