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
"""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

from tunesmith.threads import ADAPT, decided

LOOK_EVERY = 0.2
"""Seconds between two looks."""

CONTENDED, FREE = 0.25, 0.15
"""Share of the time, all threads together, that they wait for a core: above and below which these
are contended and free. On quiet cores threads that sleep and are woken wait 0.02 to 0.13 of it."""

CALM, MOST_CALM = 1.0, 8.0
"""Seconds for which cores must be free before threads spin again: twice as many, up to the second,
each time that it was too early."""

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
            _watcher = threading.Thread(target=_watch, name="contention", daemon=True)
            _watcher.start()


def waits() -> dict[str, int] | None:
    """Thread → nanoseconds for which it waited for a core; None where the system doesn't say.

    https://docs.kernel.org/scheduler/sched-stats.html (/proc/PID/schedstat).
    """
    found = {}
    try:
        for task in _TASKS.iterdir():
            try:
                found[task.name] = int((task / "schedstat").read_text(encoding="ascii").split()[1])
            except (FileNotFoundError, ProcessLookupError):
                if not task.exists():  # it ended meanwhile
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
