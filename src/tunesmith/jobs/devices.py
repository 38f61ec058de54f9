"""The devices of this machine, found without torch, and how experiments share them.

Importing torch takes seconds and, once CUDA is initialised, hundreds of megabytes of each GPU; a
worker trains nothing itself, so it asks the driver instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tunesmith.errors import DeviceError
from tunesmith.threads import shared, usable_cores
from tunesmith.training.plan import SLOT_DEVICE

CPU, MPS = "cpu", "mps"

DRIVER_TIMEOUT = 20.0
"""Seconds that nvidia-smi gets: it starts a sleeping driver first."""

_GPU = re.compile(r"^GPU (\d+):(?:.*\(UUID: (GPU-[^)]+)\))?")
_MIG = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True)
class Slot:
    """Room for one experiment: the devices that it sees and the queues that it comes from."""

    number: int
    """0 for the worker's first slot."""
    devices: tuple[str, ...]
    """`cuda:N`, `cuda:UUID`, `mps` or `cpu`."""
    queues: tuple[str, ...]
    threads: int | None = None
    """Threads of its matrix products; None leaves them to torch."""

    @property
    def most_processes(self) -> int | None:
        """Processes that one experiment can have here, each with a GPU; None where any number."""
        return len(self.devices) if has_gpu(self.devices) else None

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that trains here, from the worker's own."""
        values = {name: value for name, value in inherited.items() if name != SLOT_DEVICE}
        visible = [d.removeprefix("cuda:") for d in self.devices if d.startswith("cuda:")]
        if visible:
            values[SLOT_DEVICE] = "cuda"  # so that torch's silence about a GPU is no reason for CPU
        if visible or CPU in self.devices:
            # Empty hides every GPU from what shall train on the CPU.
            values["CUDA_VISIBLE_DEVICES"] = ",".join(visible)
        return values if self.threads is None else shared(values, self.threads)


def detect_devices() -> tuple[str, ...]:
    """The devices that this process may use, GPUs if there are any, else `cpu`.

    `CUDA_VISIBLE_DEVICES` decides where it is set, as far as the driver has what it names. A GPU
    that the installed torch can't use counts for nothing.
    """
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return (MPS,)
    if _torch_is_for_cpu():
        return (CPU,)
    driver = Driver.ask()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(f"cuda:{name}" for name in driver.devices) or (CPU,)
    # As CUDA reads it: what comes after the first device that isn't there is hidden.
    names = (name.strip() for name in visible.split(","))
    return tuple(f"cuda:{name}" for name in takewhile(driver.has, names)) or (CPU,)


def parse_devices(text: str) -> tuple[str, ...]:
    """The devices of a command line: `0,1`, `cuda:0`, `cpu`, a UUID. Raises DeviceError."""
    found = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        bare = name.removeprefix("cuda:")
        if name in (CPU, MPS):
            found.append(name)
        elif bare.isdigit() or bare.startswith(("GPU-", "MIG-")):
            found.append(f"cuda:{bare}")
        else:
            raise DeviceError(
                "--devices: {name} is no device; accepted: cpu, mps, numbers of GPUs "
                "such as 0,1, or their UUIDs as nvidia-smi -L lists them.",
                name=repr(name),
            )
    if not found:
        raise DeviceError("--devices names no device; accepted: cpu, mps, 0,1 …")
    if len(set(found)) < len(found):
        raise DeviceError(
            "--devices names a device twice: {text}; --slots lets several share it.", text=text
        )
    return tuple(found)


def check_devices(devices: Sequence[str]) -> None:
    """Raise DeviceError when a worker can't train on one of `devices`, naming those that are there.

    What isn't found here would be found by nobody: a training without its GPU takes the CPU.
    """
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    named = [device.removeprefix("cuda:") for device in devices if device.startswith("cuda:")]
    driver = Driver.ask() if named else Driver()
    missing = [name for name in named if not driver.has(name)]
    if MPS in devices and not apple:
        missing.append(MPS)
    if missing:
        there = [CPU, *([MPS] if apple else []), *driver.devices]
        raise DeviceError(
            "--devices: {names} isn't there; this machine has {names2}.",
            names=list(missing),
            names2=list(there),
        )
    if named and _torch_is_for_cpu():
        raise DeviceError(
            "--devices: the installed torch can't use GPU {names}: it was installed "
            "without CUDA. make setup installs the right one where it finds a GPU.",
            names=list(named),
        )


def has_gpu(devices: Sequence[str]) -> bool:
    """Whether one of `devices` is a GPU."""
    return any(device != CPU for device in devices)


def make_slots(devices: Sequence[str], queues: Sequence[str], count: int | None) -> list[Slot]:
    """Share `devices` out: a slot for each, or `count` slots.

    With fewer slots than devices a slot has several, for training.processes; with more, slots share
    devices.

    Raises DeviceError for a queue that none of the devices can serve.
    """
    if "gpu" in queues and not has_gpu(devices):
        raise DeviceError(
            "the queue gpu needs a GPU, and this worker has {names} alone; name GPUs "
            "with --devices, or serve --queues cpu.",
            names=list(devices),
        )
    total = count or len(devices)
    threads = max(usable_cores() // total, 1) if total > 1 and not has_gpu(devices) else None
    slots = []
    for number in range(total):
        own = tuple(devices[number::total]) or (devices[number % len(devices)],)
        serves = tuple(name for name in queues if name != "gpu" or has_gpu(own))
        slots.append(Slot(number, own, serves, threads))
    return slots


def _torch_is_for_cpu() -> bool:
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return True


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver has."""

    devices: tuple[str, ...] = ()
    """What can be trained on: numbers of GPUs, or UUIDs of the parts that one is divided into."""
    names: tuple[str, ...] = ()
    """Every name of each GPU and part: its number where it has one, its UUID where it is known."""

    @classmethod
    def ask(cls) -> Driver:
        """Ask the driver; without one there is nothing."""
        command = shutil.which("nvidia-smi")
        if command is not None:
            try:
                listed = subprocess.run(
                    [command, "-L"],
                    capture_output=True,
                    text=True,
                    timeout=DRIVER_TIMEOUT,
                    check=True,
                )
                return cls.parse(listed.stdout)
            except (subprocess.SubprocessError, OSError):
                pass  # a driver that is there may still answer below
        known = Path("/proc/driver/nvidia/gpus")
        numbers = (
            [str(number) for number, _ in enumerate(known.iterdir())] if known.is_dir() else []
        )
        uuids = ("GPU-", "MIG-") if numbers else ()  # not known here, so any is believed
        return cls(tuple(numbers), (*numbers, *uuids))

    @classmethod
    def parse(cls, listing: str) -> Driver:
        """What `nvidia-smi -L` prints: a divided GPU (MIG) stands for its parts."""
        devices: dict[str, list[str]] = {}
        names: list[str] = []
        for line in listing.splitlines():
            if found := _GPU.match(line):
                devices[found[1]] = []
                names += [name for name in found.groups() if name]
            elif (found := _MIG.match(line)) and devices:
                devices[list(devices)[-1]].append(found[1])
                names.append(found[1])
        parts = [name for number, parts in devices.items() for name in (parts or [number])]
        return cls(tuple(parts), tuple(names))

    def has(self, name: str) -> bool:
        """Whether `CUDA_VISIBLE_DEVICES` may call a device so; a UUID's beginning is enough."""
        if name.isdecimal() or not name:
            return name in self.names
        return any(known.startswith(name) or known in ("GPU-", "MIG-") for known in self.names)
