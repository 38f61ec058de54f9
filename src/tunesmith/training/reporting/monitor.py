"""The performance monitor: what a training costs, and where its time goes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import psutil
import torch

from tunesmith.schemas.metrics import TIME_SHARE, Resource
from tunesmith.training.reporting.meters import GpuMeter, ProcessMeter

READ_EVERY = 1.0
"""Seconds between two readings of processor, memory and GPU."""
POINTS_BEFORE_THINNING = 100
"""Logs after which only some get a point; see `is_due`."""
MB = 1e6
_GAUGES = {
    Resource.GPU_UTILIZATION: ("gpu", 1.0),
    Resource.MEMORY_MB: ("memory", MB),
    Resource.GPU_MEMORY_MB: ("gpu_memory", MB),
}
"""Metric → the field of `Usage` that it is the mean of, and what its unit is in that."""


class Part(StrEnum):
    """What a training spends its time on; `Resource` has a share for each."""

    DATA = "data"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    OTHER = "other"


@dataclass
class Gauge:
    """Readings of one quantity: how many, their sum, and the highest."""

    count: int = 0
    total: float = 0.0
    peak: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.peak = max(self.peak, value)

    def mean(self, before: Gauge | None = None) -> float | None:
        """Mean of all readings, or of those since it was as `before`; None where there are none."""
        start = before or Gauge()
        count = self.count - start.count
        return (self.total - start.total) / count if count else None


@dataclass
class Usage:
    """What a training took so far; kept in its checkpoints, so that interrupted parts count."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory: Gauge = field(default_factory=Gauge)
    """In bytes, as `gpu_memory`."""
    gpu: Gauge = field(default_factory=Gauge)
    """In per cent."""
    gpu_memory: Gauge = field(default_factory=Gauge)
    parts: dict[str, float] = field(default_factory=lambda: {str(part): 0.0 for part in Part})
    """`Part` → seconds."""

    def shares(self, before: Usage | None = None) -> dict[str, float]:
        """`Part` → its share of the time, or of that since it was as `before`."""
        start = before or Usage()
        spent = {part: seconds - start.parts[part] for part, seconds in self.parts.items()}
        whole = sum(spent.values())
        return {part: seconds / whole for part, seconds in spent.items()} if whole else {}

    def means(self, before: Usage | None = None) -> dict[str, Any]:
        """Mean use of processor, memory and GPU, or that since it was as `before`, as metrics."""
        start = before or Usage()
        seconds = max(self.seconds - start.seconds, 1e-9)
        found = {str(Resource.CPU_PERCENT): 100 * (self.cpu_seconds - start.cpu_seconds) / seconds}
        for name, (gauge, unit) in _GAUGES.items():
            mean = getattr(self, gauge).mean(getattr(start, gauge))
            if mean is not None:
                found[str(name)] = mean / unit
        return found

    def to_metrics(self) -> dict[str, Any]:
        """The whole training as `metrics.json` holds it; units as in `Resource`."""
        found = self.means()
        memories = {Resource.MEMORY_MB: self.memory, Resource.GPU_MEMORY_MB: self.gpu_memory}
        for name, gauge in memories.items():
            if gauge.count:
                found[str(name)] = {"mean": found[str(name)], "peak": gauge.peak / MB}
        return {**found, "time_shares": self.shares()}

    def since(self, before: Usage) -> dict[str, float]:
        """What was taken since it was as `before`, as metrics."""
        shares = {f"{TIME_SHARE}{part}": share for part, share in self.shares(before).items()}
        return {**self.means(before), **shares}


class Stopwatch:
    """Adds the time since the last lap to the part that has just ended, in `parts`."""

    def __init__(self, parts: dict[str, float]) -> None:
        self.parts = parts
        self._last = time.perf_counter()

    def lap(self, part: Part) -> None:
        """`part` has ended."""
        now = time.perf_counter()
        self.parts[part] += now - self._last
        self._last = now

    def settle(self) -> None:
        """All laps so far shall be in `parts`."""


class GpuStopwatch(Stopwatch):
    """The same on the GPU's own time line, without waiting for it.

    What is asked of a GPU is done later; so each lap leaves a mark there, and the time between two
    is read once the GPU has passed them. Time in which it waits for a part counts as that part's.
    """

    def __init__(
        self, parts: dict[str, float], event: Callable[..., Any] = torch.cuda.Event
    ) -> None:
        super().__init__(parts)
        self._event = partial(event, enable_timing=True)
        self._passed = self._event()
        self._passed.record()
        self._ahead: deque[tuple[Part, Any]] = deque()

    def lap(self, part: Part) -> None:
        """`part` has been asked for."""
        event = self._event()
        event.record()
        self._ahead.append((part, event))
        if part is Part.OTHER:  # once a step is enough
            self._collect()

    def settle(self) -> None:
        """All laps so far shall be in `parts`: wait for the last one."""
        if self._ahead:
            self._ahead[-1][1].synchronize()
        self._collect()

    def _collect(self) -> None:
        while self._ahead and self._ahead[0][1].query():
            part, event = self._ahead.popleft()
            self.parts[part] += self._passed.elapsed_time(event) / 1000
            self._passed = event


class PerformanceMonitor:
    """Measures a training within `with`, in the first of its processes; adds to `usage`.

    A thread of its own reads processor, memory and GPU once a second, and keeps their sums, not
    their values. The training's thread says by `lap` what it has just done, and asks by `point` for
    what was measured since the last one; it does so where the loss is logged, at the steps that
    `is_due` names. With `children`, the processes that this one started are measured with it: the
    others of the training, and those that load data. The GPU is this process' own.
    """

    def __init__(self, usage: Usage, device: str, *, children: bool) -> None:
        self.usage = usage
        cuda = device.startswith("cuda")
        self._processes = ProcessMeter(children=children)
        self._gpu = GpuMeter(device) if cuda else None
        self._stopwatch = GpuStopwatch(usage.parts) if cuda else Stopwatch(usage.parts)
        self._read_at = time.monotonic()
        self._before = deepcopy(usage)
        self._counted: tuple[float, int] = (0, 0)
        self._lock = threading.Lock()
        """Held while `usage` changes, `parts` left out: they are the training's thread's."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="performance", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why the GPU's use isn't measured, where there is one."""
        return self._gpu.trouble if self._gpu else None

    def __enter__(self) -> PerformanceMonitor:
        self._read()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def lap(self, part: Part) -> None:
        """`part` has ended: the time since the last call was spent on it."""
        self._stopwatch.lap(part)

    def settle(self) -> None:
        """No step is under way: what was done since the last lap belongs to none."""
        self._stopwatch.lap(Part.OTHER)
        self._stopwatch.settle()

    def point(self, rows: float, tokens: int) -> dict[str, float]:
        """Metrics of the time since the last call: name (of `Resource`) → value.

        `rows` and `tokens` are how many the training went through until now.
        """
        self._read()
        with self._lock:
            now = deepcopy(self.usage)
        before, self._before = self._before, now
        (rows_before, tokens_before), self._counted = self._counted, (rows, tokens)
        seconds = max(now.seconds - before.seconds, 1e-9)
        return {
            str(Resource.SAMPLES_PER_SECOND): (rows - rows_before) / seconds,
            str(Resource.TOKENS_PER_SECOND): (tokens - tokens_before) / seconds,
            **now.since(before),
        }

    def _watch(self) -> None:
        while not self._over.wait(READ_EVERY):
            self._read()

    def _read(self) -> None:
        with self._lock:
            now = time.monotonic()
            self.usage.seconds += now - self._read_at
            self._read_at = now
            try:
                cpu_seconds, memory = self._processes.read()
            except (psutil.Error, OSError):  # no more files may be opened, say: training goes on
                return
            self.usage.cpu_seconds += cpu_seconds
            self.usage.memory.add(memory)
            if self._gpu is not None:
                used, held = self._gpu.read()
                self.usage.gpu_memory.add(held)
                if used is not None:
                    self.usage.gpu.add(used)


def is_due(step: int, logging_steps: int) -> bool:
    """Whether the log after `step` gets a point of what the training costs.

    The first logs all do; from twice `POINTS_BEFORE_THINNING` on every second one does, from four
    times on every fourth, and so on: a long history stays short. Steps alone decide, not time, so
    that a resumed training replaces the points of the steps that it repeats.
    """
    number, rest = divmod(step, logging_steps)
    every = 1 << max(0, (number // POINTS_BEFORE_THINNING).bit_length() - 1)
    return rest == 0 and number % every == 0
