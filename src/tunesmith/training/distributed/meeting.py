"""Where the processes that torchrun started on several nodes meet, and who is still there.

They share no folder: what they say before they train together stands in the key-value store that
torchrun keeps on the first node (PyTorch's TCPStore), under a key each.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from torch.distributed.rendezvous import rendezvous

from tunesmith.errors import ProcessKilledError, TrainingError, TunesmithError
from tunesmith.messages import say
from tunesmith.training.distributed.handover import as_json, error_from
from tunesmith.training.ranks.place import Place

MEETING_PATIENCE = 600.0
"""Seconds until every process has its first heartbeat."""
LOOK_EVERY = 0.1
"""Seconds between two looks at what another process may have said."""
BEAT_EVERY = 0.5
"""Seconds between two heartbeats."""
QUIET = 3.0
"""Seconds without one after which a process whose connection broke has ended."""
SILENCE = 30.0
"""Seconds without one after which a process is gone, whether or not a connection broke."""


class Meeting:
    """What the process at `place` says to the others; within `with`, it has a heartbeat.

    The first process watches all others, and each of them the first one.
    """

    def __init__(self, place: Place) -> None:
        """Raises TrainingError when the first process can't be reached."""
        self.place = place
        self.on_loss: Callable[[], None] | None = None
        """Called from another thread when a process failed or is gone: ends what waits for it."""
        try:
            patience = timedelta(seconds=MEETING_PATIENCE)
            self.store, _, _ = next(rendezvous("env://", timeout=patience))
            # A client takes one call at a time, and this thread's may wait long.
            self._own = self.store.clone()
            self.say(f"name/{place.rank}", f"pid {os.getpid()} on {platform.node()}")
        except (RuntimeError, ValueError) as error:
            address = ":".join(os.environ.get(f"MASTER_{name}", "?") for name in ("ADDR", "PORT"))
            raise TrainingError(
                "the first process of the training can't be reached at {address}: {error}",
                address=address,
                error=str(error).splitlines()[0],
            ) from error
        watched = range(1, place.size) if place.leads else range(1)
        self._others = {rank: _Other(time.monotonic()) for rank in watched}
        self._loss: TunesmithError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="meeting", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Say what ended this process early, and end the heartbeat."""
        self._over.set()
        self._thread.join(QUIET)
        if isinstance(error, TunesmithError) and error is not self._loss:
            try:
                self.store.set(f"failed/{self.place.rank}", as_json(error))
            except RuntimeError:
                return  # with its node, the store is gone

    def say(self, key: str, value: Any) -> None:
        """Leave `value` (JSON) for the others under `key`. Raises TrainingError."""
        try:
            self.store.set(key, json.dumps(value))
        except RuntimeError as error:
            raise self._broken(error) from error

    def wait_for(self, keys: Sequence[str], look: Callable[[], None]) -> list[Any]:
        """What is said under `keys`, once all are there; `look` is called while it waits.

        Raises what ended another process meanwhile, and what `look` raises.
        """
        try:
            while not self.store.check(list(keys)):
                look()
                self.check()
                time.sleep(LOOK_EVERY)
            return [json.loads(self.store.get(key)) for key in keys]
        except RuntimeError as error:
            raise self._broken(error) from error

    def check(self, patience: float = 0.0) -> None:
        """Raise what ended another process.

        `patience` is for after a connection broke: so many seconds to find out whose.
        """
        until = time.monotonic() + patience
        while True:
            self._judge(QUIET if patience else SILENCE)
            if self._loss is not None:
                raise self._loss
            if time.monotonic() >= until:
                return
            time.sleep(LOOK_EVERY)

    def name(self, rank: int) -> str:
        """What process `rank` is called in messages."""
        return self.called(rank, self._others[rank].name if rank in self._others else "")

    def called(self, rank: int, where: str) -> str:
        """What process `rank` is called in messages, `where` being its `name/` in the store."""
        return say("training process {rank} of {size}", rank=rank + 1, size=self.place.size) + (
            f" ({where})" if where else ""
        )

    def _broken(self, error: RuntimeError) -> TunesmithError:
        self.check(2 * QUIET)
        cause = str(error).splitlines()[0]
        return TrainingError(
            "the connection to the first process of the training broke: {error}", error=cause
        )

    def _judge(self, limit: float) -> None:
        """Note the loss of a process that was silent for `limit` seconds."""
        now = time.monotonic()
        for rank, other in self._others.items():
            if self._loss is None and now - other.heard > (
                limit if other.count else MEETING_PATIENCE
            ):
                self._loss = ProcessKilledError(
                    "{name} has no heartbeat any more: it was killed, or its node or "
                    "the network between them is gone.",
                    name=self.name(rank),
                )

    def _keep(self) -> None:
        while not self._over.wait(BEAT_EVERY):
            try:
                self._own.add(f"alive/{self.place.rank}", 1)
                for rank, other in self._others.items():
                    self._look_at(rank, other)
            except RuntimeError:
                pass  # the first node is gone: it is silent from now on
            self._judge(SILENCE)
            if self._loss is not None and self.on_loss is not None:
                self.on_loss()
                return

    def _look_at(self, rank: int, other: _Other) -> None:
        if not other.name and self._own.check([f"name/{rank}"]):
            other.name = json.loads(self._own.get(f"name/{rank}"))
        if self._own.check([f"failed/{rank}"]) and self._loss is None:
            said = self._own.get(f"failed/{rank}").decode()
            self._loss = error_from(said, self.name(rank))
        count = self._own.add(f"alive/{rank}", 0)
        if count != other.count:
            other.count, other.heard = count, time.monotonic()


@dataclass
class _Other:
    """What is known of another process."""

    heard: float
    """When its last heartbeat was seen, by a steady clock."""
    count: int = 0
    name: str = ""
