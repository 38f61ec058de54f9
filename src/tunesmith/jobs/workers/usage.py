"""How much of its machine and of its devices a worker's host uses, for people who watch it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tunesmith.jobs.devices import CPU
from tunesmith.jobs.logs import log

MIB = 1 << 20

DRIVER_TIMEOUT = 5.0
"""Seconds that nvidia-smi gets to answer: a worker's heartbeat waits for it."""

DRIVER_INTERVAL = 6.0
"""Seconds between two questions to the driver, each of which starts a process."""

DRIVER_PAUSE = 120.0
"""Seconds until a driver that didn't answer is asked again."""

_QUERY = "index,uuid,name,memory.used,memory.total,utilization.gpu"


class UsageMeter:
    """Measures the machine and `devices`; `folder` is on the disk that experiments fill."""

    def __init__(self, devices: Sequence[str], folder: Path) -> None:
        self._devices = tuple(devices)
        self._folder = folder
        self._asks_driver = any(device.startswith("cuda:") for device in devices)
        self._due = 0.0
        self._gpus: dict[str, dict[str, Any]] = {}
        psutil.cpu_percent()  # its next answer is of the time since now

    def measure(self) -> dict[str, Any]:
        """Use of the processor in percent, of memory, disk and each device in bytes.

        The processor's is of the time since the last call. What can't be found out is None.
        """
        memory, cpu = psutil.virtual_memory(), psutil.cpu_percent()
        host = {
            "memory_used": memory.total - memory.available,
            "memory_total": memory.total,
        }
        self._ask_driver()
        return {
            "cpu_percent": cpu,
            **host,
            **self._disk(),
            "devices": [
                {"name": CPU, "kind": CPU, **host, "utilization": cpu}
                if device == CPU
                else self._of_device(device)
                for device in self._devices
            ],
        }

    def _disk(self) -> dict[str, int | None]:
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:  # not made yet, or a share that is away
            return {"disk_free": None, "disk_total": None}
        return {"disk_free": disk.free, "disk_total": disk.total}

    def _of_device(self, device: str) -> dict[str, Any]:
        kind, _, name = device.partition(":")
        unknown = {"kind": kind, "memory_used": None, "memory_total": None, "utilization": None}
        return {"name": device, **unknown, **self._gpus.get(name, {})}

    def _ask_driver(self) -> None:
        command = shutil.which("nvidia-smi") if self._asks_driver else None
        if command is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + DRIVER_INTERVAL
        try:
            answered = subprocess.run(
                [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
                capture_output=True, text=True, timeout=DRIVER_TIMEOUT, check=True,
            )  # fmt: skip
            self._gpus = parse_gpus(answered.stdout)
        except (subprocess.SubprocessError, OSError) as error:
            self._gpus, self._due = {}, time.monotonic() + DRIVER_PAUSE
            log.warning("nvidia-smi doesn't say what the GPUs use: %s", error)


def parse_gpus(answer: str) -> dict[str, dict[str, Any]]:
    """Number and UUID of each GPU → kind and use, as nvidia-smi says; not of its parts (MIG)."""
    found: dict[str, dict[str, Any]] = {}
    for line in answer.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(_QUERY.split(",")):
            continue
        number, uuid, name, used, total, utilization = parts
        found[number] = found[uuid] = {
            "kind": name,
            "memory_used": _bytes(used),
            "memory_total": _bytes(total),
            "utilization": float(utilization) if utilization.isdecimal() else None,
        }
    return found


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * MIB if mebibytes.isdecimal() else None  # "[N/A]" where unknown
