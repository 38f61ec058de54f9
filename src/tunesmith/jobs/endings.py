"""Why a training process ended, in plain words, and whether it is worth starting again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tunesmith.experiments.reconcile import Restart

TRY_AGAIN = os.EX_TEMPFAIL
"""Exit code of a training process that could not reach the store, or its folder: nothing is wrong
with the experiment."""

CRASHES = {
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGBUS: "a bus error",
    signal.SIGABRT: "it aborted itself",
    signal.SIGILL: "an illegal instruction",
    signal.SIGFPE: "an arithmetic error",
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
    who = f"The process that trained it (pid {pid})"
    if code >= 0:
        if code == TRY_AGAIN:
            return Ending(f"{who} ended because {_last_line(output)}", Restart.FREE)
        said = _last_line(output)
        quoted = f"; its last words: {said}" if said else ", and printed nothing"
        return Ending(
            f"{who} ended by itself with exit code {code} and recorded nothing{quoted}",
            Restart.NEVER,
        )
    number = -code
    name = _signal_name(number)
    if number == signal.SIGKILL and out_of_memory:
        return Ending(
            f"{who} was killed by the out-of-memory killer: the memory of this machine, or what "
            "this service may use of it, ran out. A smaller training.per_device_train_batch_size "
            "or data.max_length needs less, and so does training.gradient_checkpointing: true.",
            Restart.COUNTED,
        )
    if number == signal.SIGKILL:
        return Ending(
            f"{who} was killed from outside ({name}, as kill -9 sends it).", Restart.COUNTED
        )
    if number in CRASHES:
        where = _crash_place(output)
        return Ending(
            f"{who} crashed in native code ({name}, {CRASHES[signal.Signals(number)]})"
            + (f": {where}." if where else "."),
            Restart.COUNTED,
        )
    return Ending(f"{who} was ended by a signal from outside ({name}).", Restart.COUNTED)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
    return (f"{said} at {frame}" if frame else said)[:LONGEST_QUOTE]


def _group_count(root: Path) -> int | None:
    """The count of this process's control group, of version 2 or 1."""
    try:
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mount = root / "sys/fs/cgroup"
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # In a container the path may be the host's, and the mount the container's own group.
        if not controllers:
            places = [mount / path.strip("/") / "memory.events", mount / "memory.events"]
        elif "memory" in controllers.split(","):
            memory = mount / "memory"
            places = [
                memory / path.strip("/") / "memory.oom_control",
                memory / "memory.oom_control",
            ]
        else:
            continue
        for place in places:
            if (count := _count(place, "oom_kill")) is not None:
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
