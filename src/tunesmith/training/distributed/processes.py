"""The other processes of a training, as the first one starts, watches and ends them.

Several processes learn as one with a larger batch would (`DistributedDataParallel`): each computes
its rows' gradients, and the sums are the same in all. This process is the first: it alone reports,
evaluates, saves and hears what the user wants. Where one process ends early, all do, and the reason
is reported once.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from tunesmith.errors import (
    ProcessKilledError,
    StorageError,
    TrainingError,
    TunesmithError,
)
from tunesmith.files.writing import why_not_written, written_whole
from tunesmith.messages import say
from tunesmith.tasks.base import Example
from tunesmith.training.distributed.handover import LOOK_EVERY, Handover
from tunesmith.training.encoding import write_examples
from tunesmith.training.plan import threads_per_process
from tunesmith.training.ranks.group import Group, abort_traffic, joined
from tunesmith.training.ranks.place import Place
from tunesmith.training.stages import Training

WATCH_EVERY = 0.5
"""Seconds between two looks at processes while this one may wait for them on a GPU."""
DEATH_PATIENCE = 5.0
"""Seconds until a process whose connection broke is seen to have ended."""
LEAVE_PATIENCE = 60.0
"""Seconds that the other processes have to leave after the last step."""


class Processes:
    """The other processes of `work`, none where it asks for one; within `with`, they are alive."""

    def __init__(self, work: Training) -> None:
        self.work = work
        self.size = work.config.training.processes
        self.threads = threads_per_process(self.size)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        """Start them: they load their models while this one loads its own."""
        if self.size == 1:
            return self
        try:
            self._handover = Handover(Path(tempfile.mkdtemp(prefix="tunesmith-training-")))
            self._handover.write_training(self.work)
            for rank in range(1, self.size):
                self._children[rank] = self._start(rank)
        except OSError as error:
            self._end()
            raise TrainingError(
                "training.processes: {n} processes can't be started: {error}",
                n=self.size,
                error=error,
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """End those that are still there."""
        self._end()

    @contextmanager
    def together(self, examples: list[Example], checkpoint: Path | None) -> Iterator[Group]:
        """All learn from `examples` within this, from `checkpoint` on or from the beginning.

        Raises TrainingError when a process dies, the error that another one met, or Interrupted
        when the user stops before all are ready.
        """
        if self.size == 1:
            yield Group()
            return
        try:
            self._hand_over(examples)
            self._wait_until_ready()
            with (
                joined(
                    Place(0, self.size, 0, self.size),
                    store=self._handover.store(self.size),
                    device=self.work.plan.device,
                    threads=self.threads,
                    check=self.check,
                ) as group,
                self._watching(),
            ):
                group.copied(checkpoint, self._handover.folder)
                yield group
            self._let_leave()
        except (torch.OutOfMemoryError, TunesmithError):
            raise
        except (RuntimeError, OSError):
            # PyTorch says that a connection broke; the reason is with the one that broke it.
            self.check(DEATH_PATIENCE)
            raise

    def check(self, patience: float = 0.0) -> None:
        """Raise what ended another process, now or within `patience` seconds."""
        until = time.monotonic() + patience
        while not (ended := self._ended()) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        if not ended:
            return
        # One that dies takes the others with it: what happened first is found once all are gone.
        until = time.monotonic() + 1.0
        while len(ended := self._ended()) < len(self._children) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        raise self._reason(ended)

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        module = "tunesmith.training.distributed.rank"
        folder = str(self._handover.folder)
        with self._handover.log(rank).open("wb") as log:
            return subprocess.Popen(
                # -P: a file of the user's folder is not taken for a library's module.
                [sys.executable, "-P", "-m", module, folder, str(rank), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            )

    def _hand_over(self, examples: list[Example]) -> None:
        """Give the others what they train on."""
        try:
            with written_whole(self._handover.examples) as partial:
                write_examples(partial, examples)
        except OSError as error:
            why = why_not_written(self._handover.folder, error)
            raise StorageError(
                "the rows for the other processes can't be written: {why}", why=why
            ) from error

    def _wait_until_ready(self) -> None:
        waiting = set(self._children)
        while waiting := {rank for rank in waiting if not self._handover.ready(rank).exists()}:
            self.work.reporter.stop_if_asked()
            self.check()
            time.sleep(LOOK_EVERY)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """End this process' waiting on the GPU when another one dies; on CPU, it ends by itself."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(WATCH_EVERY):
                if self._ended():
                    abort_traffic()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        if self.work.plan.device.startswith("cuda"):
            watcher.start()
        try:
            yield
        finally:
            over.set()
            if watcher.is_alive():
                watcher.join()

    def _ended(self) -> dict[int, int]:
        """Rank → exit code of those that failed."""
        codes = {rank: child.poll() for rank, child in self._children.items()}
        return {rank: code for rank, code in codes.items() if code}

    def _reason(self, ended: dict[int, int]) -> TunesmithError:
        """Why the others ended: what killed one, else what one said, else what one printed."""
        for rank, code in ended.items():
            if code < 0:
                return ProcessKilledError(
                    "{name} {by_signal}", name=self._name(rank), by_signal=_by_signal(-code)
                )
        for rank in ended:
            if failure := self._handover.failure(rank):
                return failure
        rank, printed = min(
            ((rank, self._printed(rank)) for rank in ended),
            key=lambda found: "Connection " in found[1],  # the consequence of another's end
        )
        self.work.reporter.message(
            say("{name} printed:\n{printed}", name=self._name(rank), printed=printed)
        )
        last = printed.rstrip().rpartition("\n")[2]
        return TrainingError(
            "{name} failed: {last}",
            name=self._name(rank),
            last=last or say("exit code {n}, without a word", n=ended[rank]),
        )

    def _name(self, rank: int) -> str:
        return say(
            "training process {rank} of {size} (pid {pid})",
            rank=rank + 1,
            size=self.size,
            pid=self._children[rank].pid,
        )

    def _printed(self, rank: int) -> str:
        """The end of what process `rank` printed."""
        with suppress(OSError):
            return self._handover.log(rank).read_text(encoding="utf-8", errors="replace")[-4000:]
        return ""

    def _let_leave(self) -> None:
        """Wait until the others have left, so that their memory is free; whoever stays is ended."""
        until = time.monotonic() + LEAVE_PATIENCE
        for child in self._children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))
        self._end()

    def _end(self) -> None:
        for child in self._children.values():
            child.kill()  # does nothing to one that has left
            child.wait()
        self._children.clear()
        if hasattr(self, "_handover"):
            shutil.rmtree(self._handover.folder, ignore_errors=True)


def _by_signal(number: int) -> str:
    """How a process ended by signal `number`, as the end of a sentence."""
    known = number in list(signal.Signals)  # not those for real-time use
    name = signal.Signals(number).name if known else say("signal {n}", n=number)
    if number == signal.SIGKILL:
        return say("was killed ({name}), as the system does when memory runs out.", name=name)
    if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT):
        return say("crashed in native code ({name}).", name=name)
    return say("was ended by {name}.", name=name)
