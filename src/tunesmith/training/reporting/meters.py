"""What this training takes of the machine now: processor time, memory, the GPU."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil
import torch

CHILDREN_EVERY = 10.0
"""Seconds between two looks for new children: each goes through all processes of the machine."""


class ProcessMeter:
    """Measures this process and, with `children`, those that it started and that these started."""

    def __init__(self, *, children: bool) -> None:
        self._own = psutil.Process()
        self._own_seconds = time.process_time()
        self._with_children = children
        self._children: dict[psutil.Process, float] = {}
        """Each with the processor time that it had at the last reading, in seconds."""
        self._look_at = 0.0
        self._look_for_children()

    def read(self) -> tuple[float, int]:
        """Processor time since the last reading, in seconds, and resident memory, in bytes.

        Memory that several processes share is counted in each. What a child spent before it was
        first seen isn't counted.
        """
        self._look_for_children()
        own = time.process_time()  # finer than the system's ticks, by which children are counted
        seconds, memory = own - self._own_seconds, int(self._own.memory_info().rss)
        self._own_seconds = own
        for child, before in self._children.items():
            with suppress(psutil.Error):  # it has ended
                now = _seconds(child)
                memory += child.memory_info().rss
                seconds += now - before
                self._children[child] = now
        return seconds, memory

    def _look_for_children(self) -> None:
        if not self._with_children or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + CHILDREN_EVERY
        found: dict[psutil.Process, float] = {}
        for child in self._own.children(recursive=True):
            with suppress(psutil.Error):
                known = self._children.get(child)
                found[child] = _seconds(child) if known is None else known
        self._children = found


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class GpuMeter:
    """Measures the CUDA GPU `device`, in the case of several processes that of this one."""

    def __init__(self, device: str) -> None:
        # The current device, which plain "cuda" stands for, is another one in each thread.
        self._device = torch.device("cuda", torch.device(device).index or 0)
        self.trouble: str | None = None
        """Why its use can't be measured; then it isn't tried again."""

    def read(self) -> tuple[float | None, int]:
        """Its use in per cent, and the bytes that this process holds of its memory.

        The use is the driver's figure, of all programs; None where the driver has none, as for a
        part of a divided GPU (MIG). The memory is what PyTorch's allocator holds, without the
        CUDA context of each process (some 0.5 GB).
        """
        return self._utilization(), int(torch.cuda.memory_reserved(self._device))

    def _utilization(self) -> float | None:
        if self.trouble is not None:
            return None
        try:
            import pynvml  # nvidia-ml-py; here, because only trainings on CUDA need it
        except ImportError as error:  # on ROCm, whose PyTorch calls its devices cuda too
            self.trouble = str(error)
            return None
        try:
            return float(torch.cuda.utilization(self._device))
        except (pynvml.NVMLError, RuntimeError, ImportError) as error:
            self.trouble = str(error)
            return None
