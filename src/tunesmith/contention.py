"""Waiting threads spin while this process has its cores to itself, and sleep while it hasn't.

A thread of OpenMP that has done its part of a product looks for the others' end in a loop. Where
nothing else wants the core that is the fastest way to wait: to fall asleep and be woken costs a
fifth of a training's speed. Where other programs do, what is waited for can't run because of the
waiting. No fixed setting is good at both, so each process that computes looks a few times a second
how long its threads were kept waiting for a core.

libgomp, the OpenMP of PyTorch's wheels for Linux, lets threads spin for some 30 µs only while there
are more of its threads than cores. So while the cores are contended, one thread here holds as many
as there are, asleep. Where there is no libgomp, waiting threads sleep, as `threads` has decided. No
result depends on it.
https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html

A thread that wakes up beside another program also waits for the end of that one's turn on the core,
milliseconds each time, unless it asks for shorter turns than the other: then it runs at once, for
as long as its share lasts. So our threads ask for the shortest turns there are.
https://docs.kernel.org/scheduler/sched-eevdf.html
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from pathlib import Path

from tunesmith.threads import ADAPT, decided

LOOK_EVERY = 0.2
"""Seconds between two looks, which take some 0.1 ms each."""

CONTENDED, FREE = 0.45, 0.2
"""Share of the time, all threads together, that they wait for a core: above which threads that spin
are contended, and below which those that sleep are free.

On two cores, beside one busy loop, those that spin waited 0.5 to 0.9 of the time and those that
slept 0.3 to 0.5; on quiet cores both 0 to 0.05, and up to 0.34 while a training read its data with
the threads of other libraries.
"""

CALM, MOST_CALM = 2.0, 16.0
"""Seconds for which cores must be free before threads spin again: twice as many, up to the second,
each time that it was too early."""

SHORTEST_TURN = 100_000
"""Nanoseconds of a turn on a core that a thread may ask for at least (Linux 6.12 and later)."""

_SCHED_CALLS = {"x86_64": (315, 314), "aarch64": (275, 274)}
"""Machine → numbers of the system calls sched_getattr and sched_setattr, which glibc lacks."""

_FAIR = (0, 3)
"""The policies SCHED_OTHER and SCHED_BATCH, whose threads take turns."""

_TASKS = Path("/proc/self/task")
_MAPS = Path("/proc/self/maps")

_lock = threading.Lock()
_watcher: threading.Thread | None = None


def watch() -> None:
    """Look after the cores until this process ends; a process that computes calls it once.

    PyTorch must be loaded. Does nothing where the user decided how threads wait, or where the
    system doesn't say how long threads wait for a core.
    """
    global _watcher
    with _lock:
        if _watcher is None and decided().waiting == ADAPT and waits() is not None:
            take_short_turns()
            _watcher = threading.Thread(target=_watch, name="contention", daemon=True)
            _watcher.start()


def take_short_turns() -> None:
    """Let the threads of this process, and those they start, run as soon as they are woken.

    They get no larger share of the cores by it. Does nothing where the system has no such turns.
    """
    if (calls := _SCHED_CALLS.get(platform.machine())) is None:
        return
    system, (get, put) = ctypes.CDLL(None).syscall, calls
    for task in os.listdir(_TASKS):  # noqa: PTH208 - as in `waits`
        attributes = _Attributes()
        size, thread = ctypes.sizeof(attributes), int(task)
        if (
            system(get, thread, ctypes.byref(attributes), size, 0) == 0
            and attributes.policy in _FAIR
        ):
            attributes.runtime = SHORTEST_TURN
            system(put, thread, ctypes.byref(attributes), 0)


class _Attributes(ctypes.Structure):
    """`struct sched_attr`: how a thread is scheduled.

    https://man7.org/linux/man-pages/man2/sched_setattr.2.html
    """

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def waits() -> dict[str, int] | None:
    """Thread → nanoseconds for which it waited for a core; None where the system doesn't say.

    https://docs.kernel.org/scheduler/sched-stats.html (/proc/PID/schedstat).
    """
    found = {}
    try:
        for task in os.listdir(_TASKS):  # noqa: PTH208 - paths as objects take three times as long
            try:
                with open(f"{_TASKS}/{task}/schedstat", "rb", buffering=0) as stream:  # noqa: PTH123
                    found[task] = int(stream.read(100).split()[1])
            except (FileNotFoundError, ProcessLookupError):
                if not (_TASKS / task).exists():  # it ended meanwhile
                    continue
                return None
    except (OSError, ValueError, IndexError):
        return None
    return found


class Crowd:
    """As many threads of each libgomp here as it has cores, asleep, until it is dissolved."""

    def __init__(self) -> None:
        self._end, ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def dissolve(self) -> None:
        """End them: threads that wait may spin again."""
        self._end.set()
        self._thread.join()

    def _hold(self, ready: threading.Event) -> None:
        nothing = ctypes.CDLL(None).free  # of NULL: what the threads do before they sleep
        for path in _libraries():
            library = ctypes.CDLL(path)
            count = library.omp_get_num_procs() + 1
            library.GOMP_parallel(nothing, None, ctypes.c_uint(count), ctypes.c_uint(0))
        ready.set()
        self._end.wait()  # libgomp ends a thread's team with that thread


def _libraries() -> list[str]:
    """Paths of the libgomps in this process: PyTorch brings one, scikit-learn another."""
    lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = (line.split(maxsplit=5)[5] for line in lines if "/libgomp" in line)
    return sorted({path for path in paths if Path(path).name.startswith("libgomp")})


def _watch() -> None:
    crowd: Crowd | None = None
    before, looked = waits() or {}, time.monotonic()
    free_since, calm, dissolved = looked, CALM, -MOST_CALM
    while True:
        time.sleep(LOOK_EVERY)
        now, found = time.monotonic(), waits() or {}
        waited = sum(value - before.get(name, 0) for name, value in found.items())
        share = waited / 1e9 / (now - looked)
        before, looked = found, now
        if share > FREE:
            free_since = now
        if crowd is None and share > CONTENDED:
            crowd = Crowd()
            calm = min(2 * calm, MOST_CALM) if now - dissolved < MOST_CALM else CALM
        elif crowd is not None and now - free_since > calm:
            crowd.dissolve()
            crowd, dissolved = None, now
