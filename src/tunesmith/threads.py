"""How many threads compute and how they wait for each other: decided before PyTorch loads.

OpenMP reads the environment once, when PyTorch brings it in. As it comes, a thread that has done
its part of a product spins for milliseconds until the others have done theirs: on cores that
others use a little, what is waited for can't run because of the waiting, and a token that took
0.1 s took 12 s. Here threads that wait sleep; with PyTorch's wheels for Linux only while others use
the cores (`contention`), for sleep costs speed where they don't.

The number of threads follows from the machine (its cores, a container's quota, the slots of a
worker) and never from its load: sums over another number of threads have other last digits, and
one seed shall give one result. What the user set stays as it is.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from tunesmith.messages import say

ADAPTS = sys.platform == "linux" and Path("/proc/self/schedstat").is_file()
"""Whether the system says how long threads wait for a core, by which `contention` goes."""

WAITING = (
    {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "0"}
    if ADAPTS
    else {"OMP_WAIT_POLICY": "PASSIVE"}
)
"""How waiting threads wait. The libgomp of PyTorch's wheels for Linux looks so often before it
sleeps, as it does of itself; 1,000 times, by the first, while it has more threads than cores. The
last is for other libraries' OpenMP, whose threads sleep at once.
https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html"""

WAITING_ASKED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which a user decides that: with one of them set, it is left alone."""

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which a user decides the number of threads; we set the first."""

TOKENIZING = "RAYON_NUM_THREADS"
"""The same for the threads of tokenizers, which count a quota by themselves."""

MARK = "TUNESMITH_SET_THREADS"
"""Environment variable that tells what we set from what the user did: NAME=VALUE=WHY …"""

OF_QUOTA, OF_SLOTS = "quota", "slots"
"""Why a number of threads was set."""

SLEEP, SPIN, ADAPT = "sleep", "spin", "adapt"
"""What waiting threads do: always the same, or what the load of the cores allows."""

TOO_LATE = say(
    "PyTorch was loaded before Tunesmith, too early to change this: import tunesmith first"
)

_ROOT = Path("/")
"""Where the system's files lie."""


@dataclass(frozen=True)
class Threads:
    """What was decided for a process."""

    count: str | None
    """The number of threads, where one was set; None leaves it to PyTorch: the physical cores."""
    count_reason: str
    waiting: str
    """What threads do that wait: `sleep`, `spin` or `adapt`."""
    waiting_reason: str


_late = False
"""Whether PyTorch was there before us, and had read the environment."""


def settle(environment: MutableMapping[str, str] | None = None) -> None:
    """Decide what the user hasn't, in the environment of this process and its children.

    Called when the package is imported. Where PyTorch is there already, only children profit.
    """
    global _late
    values = os.environ if environment is None else environment
    if environment is None and "torch" in sys.modules and MARK not in values:
        _late = True
    if not any(name in values for name in WAITING_ASKED):
        _set(values, WAITING, "waiting")
    quota = cpu_quota()
    if quota is not None and not any(name in values for name in COUNTS):
        within = max(1, math.ceil(quota))
        if within < _physical_cores():
            _set(values, {COUNTS[0]: str(within)}, OF_QUOTA)


def shared(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a process that computes beside others, with `threads` threads.

    What the user set in `inherited` stays.
    """
    values = as_given(inherited, *COUNTS, TOKENIZING)
    if not any(name in values for name in COUNTS):
        _set(values, {COUNTS[0]: str(threads)}, OF_SLOTS)
    if TOKENIZING not in values:
        _set(values, {TOKENIZING: str(threads)}, OF_SLOTS)
    return values


def as_given(inherited: Mapping[str, str], *names: str) -> dict[str, str]:
    """The environment `inherited` as the user gave it, without what we set; of `names` alone."""
    ours = _ours(inherited)
    without = {name for name in ours if not names or name in names}
    values = {name: value for name, value in inherited.items() if name not in {*without, MARK}}
    _mark(values, {name: ours[name] for name in ours if name not in without})
    return values


def decided(environment: Mapping[str, str] | None = None) -> Threads:
    """What was decided for this process, and why."""
    values = os.environ if environment is None else environment
    ours = _ours(values)
    asked = next((name for name in COUNTS if name in values and name not in ours), None)
    waits = next((name for name in WAITING_ASKED if name in values and name not in ours), None)
    reason: str
    if asked is not None:
        count, reason = values[asked], say("asked for in {name}", name=asked)
    elif COUNTS[0] in ours:
        count = values[COUNTS[0]]
        reason = _why_so_many(ours[COUNTS[0]][1])
    else:
        count, reason = None, say("as many as this machine has cores")
    late = environment is None and _late
    if late and asked is None:
        count, reason = None, TOO_LATE
    if waits is not None:
        return Threads(count, reason, _asked_to(values), say("asked for in {name}", name=waits))
    if ADAPTS:
        return Threads(count, reason, ADAPT, say("they sleep while other programs use these cores"))
    if late:
        return Threads(count, reason, SPIN, TOO_LATE)
    return Threads(
        count, reason, SLEEP, say("so that other programs on these cores slow it down little")
    )


def usable_cores() -> int:
    """The cores that this process may use: those given to it, and of their time its quota."""
    quota = cpu_quota()
    given = given_cores()
    return given if quota is None else min(given, max(1, math.ceil(quota)))


def cpu_quota() -> float | None:
    """How many cores' time the control groups of this process leave it; None: all.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and for version 1
    https://docs.kernel.org/scheduler/sched-bwc.html (cpu.cfs_quota_us).
    """
    folders = (folder for folder, _ in control_groups("cpu", _ROOT))
    return min(filter(None, map(_quota_of, folders)), default=None)


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """The control groups of this process that bound `controller`, innermost first: folder, version.

    Some may not be there: in a container the path may be the host's, and the mount the container's
    own group. `root` is where the system's files lie.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in lines.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                yield folder, 1 if controllers else 2


def _why_so_many(why: str) -> str:
    if why == OF_QUOTA:
        return say(
            "this machine has more, and {n:g} of them for this process (quota)", n=cpu_quota() or 0
        )
    return say("this process shares the cores with others of its worker")


def _asked_to(values: Mapping[str, str]) -> str:
    """What the user's settings make waiting threads do."""
    policy = values.get("OMP_WAIT_POLICY", "").strip().upper()
    spins = values.get("GOMP_SPINCOUNT", values.get("KMP_BLOCKTIME", "")).strip()
    return SLEEP if spins == "0" or (policy == "PASSIVE" and not spins) else SPIN


def given_cores() -> int:
    """The cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_cores() -> int:
    """The cores of which PyTorch takes a thread each: those given, without their second threads."""
    import psutil  # takes a while, and hardly any machine has a quota

    return min(given_cores(), psutil.cpu_count(logical=False) or given_cores())


def _quota_of(folder: Path) -> float | None:
    """The quota that a control group states, in cores."""
    try:
        if (whole := folder / "cpu.max").is_file():
            quota, period = whole.read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        if quota == "max" or int(quota) <= 0:
            return None
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # no such limit is known here


def _set(values: MutableMapping[str, str], given: Mapping[str, str], why: str) -> None:
    values.update(given)
    _mark(values, _ours(values) | {name: (value, why) for name, value in given.items()})


def _mark(values: MutableMapping[str, str], ours: Mapping[str, tuple[str, str]]) -> None:
    if ours:
        values[MARK] = " ".join(f"{name}={value}={why}" for name, (value, why) in ours.items())
    else:
        values.pop(MARK, None)


def _ours(values: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What we set and nobody changed since: name → value and why."""
    parts = [part.split("=") for part in values.get(MARK, "").split() if part.count("=") == 2]
    return {name: (value, why) for name, value, why in parts if values.get(name) == value}
