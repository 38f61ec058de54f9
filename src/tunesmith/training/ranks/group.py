"""The processes of one training, seen from within one of them: sums, values of each, waiting.

A `Group` of one does nothing, so that the rest of the code need not ask how many there are.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.state import (  # type: ignore[import-untyped]
    AcceleratorState,
    GradientState,
)
from accelerate.utils import patch_environment  # type: ignore[import-untyped]
from torch import distributed

from tunesmith.training.ranks.place import Place

STEP_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others' gradients; they begin each step together."""
WAIT_TIMEOUT = timedelta(days=20)
"""How long the others wait while the first one evaluates or saves; gloo counts it in 31 bits."""


class Group:
    """This process among all that train together.

    They are not taken to share a folder: what one needs of another's files is sent.
    """

    def __init__(
        self,
        place: Place | None = None,
        *,
        control: distributed.ProcessGroup | None = None,
        check: Callable[[float], None] | None = None,
        connections: frozenset[int] = frozenset(),
    ) -> None:
        self.place = place or Place()
        self.rank = self.place.rank
        self.size = self.place.size
        self.leads = self.place.leads
        """Whether this is the process that evaluates, saves and reports."""
        self._control = control
        """A group of its own: on the CPU, so that waiting costs no GPU, and without a time-out."""
        self._check = check
        self._connections = connections
        """The descriptors of its connections to the others."""

    def check(self, patience: float = 0.0) -> None:
        """Raise TrainingError when another process has died, within `patience` seconds from now.

        Only the first process knows; elsewhere this does nothing.
        """
        if self._check is not None:
            self._check(patience)

    def abort(self) -> None:
        """End what this process waits for from others; what it would give is lost.

        NCCL can be aborted. Gloo can't, and waits as long as its connections stand: they are cut,
        and it raises RuntimeError as when the others had gone.
        """
        abort_traffic()
        for descriptor in self._connections:
            try:
                with socket.socket(fileno=os.dup(descriptor)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is gone already

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

    def any(self, value: bool) -> bool:
        """Whether `value` is true in one of the processes."""
        return self.total([float(value)])[0] > 0

    def first(self, value: Any) -> Any:
        """What the first process gave as `value` (JSON), on every process."""
        if self.size == 1:
            return value
        return json.loads(self._content_of(0, json.dumps(value).encode()))

    def every(self, content: bytes) -> list[bytes]:
        """What each process gave as `content`, by rank, on every process."""
        if self.size == 1:
            return [content]
        return [self._content_of(rank, content) for rank in range(self.size)]

    def copied(self, folder: Path | None, into: Path) -> Path | None:
        """The first process' `folder` here: itself there, elsewhere a copy inside `into`.

        None where the first process gave None. Raises OSError where it can't be written.
        """
        if self.size == 1:
            return folder
        files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()] if folder else []
        said = self.first([folder.name, sorted(map(str, files))] if folder else None)
        if said is None:
            return None
        name, names = said
        for each in names:
            content = self._content_of(0, (folder / each).read_bytes() if folder else b"")
            if not self.leads:
                target = into / name / each
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        return folder or into / name

    def _content_of(self, rank: int, content: bytes) -> bytes:
        """The `content` that the process `rank` gave.

        As bytes: PyTorch's object collectives would unpickle what comes through a port.
        """
        gives = self.rank == rank
        length = torch.tensor([len(content)])
        distributed.broadcast(length, src=rank, group=self._control)
        if not int(length):
            return b""
        data = torch.zeros(int(length), dtype=torch.uint8)
        if gives:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        distributed.broadcast(data, src=rank, group=self._control)
        return content if gives else data.numpy().tobytes()


@contextmanager
def joined(
    place: Place,
    *,
    store: distributed.Store,  # type: ignore[name-defined]
    device: str,
    threads: int,
    loopback: bool = True,
    check: Callable[[float], None] | None = None,
) -> Iterator[Group]:
    """Be the process at `place` among those that train together, and afterwards be alone again.

    They find each other through `store`. Gradients go over NCCL between GPUs, over gloo on the CPU,
    where each process computes with `threads` threads; with `loopback` nothing listens to the
    network, else the environment says over which interface they speak.
    """
    cuda = device.startswith("cuda")
    threads_before = torch.get_num_threads()
    with patch_environment(**_variables(place, threads), **(_loopback() if loopback else {})):
        if cuda:
            torch.cuda.set_device(torch.device(device))
        else:
            torch.set_num_threads(threads)
        before = _connections()
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            store=store,
            rank=place.rank,
            world_size=place.size,
            timeout=STEP_TIMEOUT,
        )
        try:
            control = distributed.new_group(backend="gloo", timeout=WAIT_TIMEOUT)
            made = frozenset(_connections() - before)
            yield Group(place, control=control, check=check, connections=made)
        except BaseException:
            if cuda:  # leaving in peace would wait for those that are gone
                abort_traffic()
            raise
        finally:
            distributed.destroy_process_group()
            # Accelerate keeps what it found out first; the next training is another.
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()
            torch.set_num_threads(threads_before)


def abort_traffic() -> None:
    """End what this process waits for from others on its device; what it would give is lost."""
    group = distributed.group.WORLD
    if group is not None:
        device = "cuda" if distributed.get_backend(group) == "nccl" else "cpu"
        group._get_backend(torch.device(device)).abort()


def _connections() -> set[int]:
    """The descriptors of this process' TCP connections."""
    found = psutil.Process().net_connections("tcp")
    return {each.fd for each in found if each.status == psutil.CONN_ESTABLISHED}


def _loopback() -> dict[str, str]:
    """The environment of processes that speak over the loopback interface."""
    loopback = next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(a.family == socket.AF_INET and a.address == "127.0.0.1" for a in addresses)
    )
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",  # never used: accelerate only wants to see one
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def _variables(place: Place, threads: int) -> dict[str, str]:
    """What torchrun would set: accelerate knows by it that this process is one of several."""
    return {
        "RANK": str(place.rank),
        "LOCAL_RANK": str(place.local_rank),
        "WORLD_SIZE": str(place.size),
        "LOCAL_WORLD_SIZE": str(place.local_size),
        "OMP_NUM_THREADS": str(threads),
        # With it, a first process whose partner died would be aborted by PyTorch, without a word.
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
        "TORCH_GLOO_LAZY_INIT": "0",  # a peer that dies before its first word would not be noticed
    }
