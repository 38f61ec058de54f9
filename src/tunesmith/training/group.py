"""The processes of one training, seen from within one of them: sums, the first one's word, waiting.

A `Group` of one does nothing, so that the rest of the code need not ask how many there are.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import distributed

STEP_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others' gradients; they begin each step together."""
WAIT_TIMEOUT = timedelta(days=20)
"""How long the others wait while the first one evaluates or saves; gloo counts it in 31 bits."""


class Group:
    """This process among all that train together; the first one has rank 0, and leads."""

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        *,
        control: distributed.ProcessGroup | None = None,
        check: Callable[[float], None] | None = None,
    ) -> None:
        self.rank = rank
        self.size = size
        self._control = control
        """A group of its own: on the CPU, so that waiting costs no GPU, and without a time-out."""
        self._check = check

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates, saves and reports."""
        return self.rank == 0

    def check(self, patience: float = 0.0) -> None:
        """Raise TrainingError when another process has died, within `patience` seconds from now.

        Only the first process knows; elsewhere this does nothing.
        """
        if self._check is not None:
            self._check(patience)

    def wait(self) -> None:
        """Return when every process has called this."""
        if self.size > 1:
            distributed.barrier(group=self._control)

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each of `values`."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(summed, group=self._control)
        return summed.tolist()

    def first(self, value: Any) -> Any:
        """What the first process gave as `value` (JSON), on every process."""
        if self.size == 1:
            return value
        data = json.dumps(value).encode() if self.leads else b""
        length = torch.tensor([len(data)])
        distributed.broadcast(length, src=0, group=self._control)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.leads:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        distributed.broadcast(content, src=0, group=self._control)
        return json.loads(bytes(content.tolist()))


@contextmanager
def joined(
    meeting: Path,
    *,
    rank: int,
    size: int,
    device: str,
    threads: int,
    check: Callable[[float], None] | None = None,
) -> Iterator[Group]:
    """Be process `rank` of `size` that train together, and afterwards be alone again.

    They find each other through the file `meeting`, which must be new, and speak over the loopback
    interface: nothing listens to the network. Gradients go over NCCL between GPUs, over gloo on the
    CPU, where each process computes with `threads` threads.
    """
    cuda = device.startswith("cuda")
    threads_before = torch.get_num_threads()
    with _environment(_variables(rank, size, threads)):
        if cuda:
            torch.cuda.set_device(torch.device(device))
        else:
            torch.set_num_threads(threads)
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            store=distributed.FileStore(str(meeting), size),  # type: ignore[attr-defined]
            rank=rank,
            world_size=size,
            timeout=STEP_TIMEOUT,
        )
        try:
            control = distributed.new_group(backend="gloo", timeout=WAIT_TIMEOUT)
            yield Group(rank, size, control=control, check=check)
        except BaseException:
            if cuda:  # leaving in peace would wait for those that are gone
                abort_gpu_traffic()
            raise
        finally:
            distributed.destroy_process_group()
            _forget_accelerate_state()
            torch.set_num_threads(threads_before)


def abort_gpu_traffic() -> None:
    """End what waits for other processes on the GPU; what it would have given is lost."""
    group = distributed.group.WORLD
    if group is not None:
        group._get_backend(torch.device("cuda")).abort()


def _variables(rank: int, size: int, threads: int) -> dict[str, str | None]:
    """The environment by which accelerate knows that this process is one of several (torchrun's).

    None: the variable must not be set.
    """
    loopback = next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(a.family == socket.AF_INET and a.address == "127.0.0.1" for a in addresses)
    )
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",  # never used: accelerate only wants to see one
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        # With it, a first process whose partner died would be aborted by PyTorch, without a word.
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
        "TORCH_GLOO_LAZY_INIT": None,  # a peer that dies before its first word would not be noticed
    }


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    _set_variables(variables)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _forget_accelerate_state() -> None:
    """Accelerate keeps in the process what it found out first; the next training is another."""
    from accelerate.state import (  # type: ignore[import-untyped]
        AcceleratorState,
        GradientState,
    )

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
