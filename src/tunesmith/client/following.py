"""Submitting an experiment, and following it to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.client.connection import Connected, path_of
from tunesmith.errors import ServiceError, StorageError, TunesmithError
from tunesmith.schemas.experiments import Submitted, TaskState, TaskStatus

RECONNECTS = 5
"""Times in a row that a live stream which broke off is taken up again."""

LASTING = 10.0
"""Seconds after which a stream that breaks off, even without an event, was a good one."""


@dataclass(frozen=True)
class Event:
    """One event of an experiment's live stream."""

    kind: str
    """`status`, `metrics`, `log` or `end`."""
    data: Any
    """status: as `task` gives it; metrics: name → new points; log: `{"text": …}`."""


class Following(Connected):
    """What is submitted, and how it goes on."""

    def train(self, config: Mapping[str, Any], *, runs_after: str | None = None) -> Submitted:
        """Submit an experiment. Raises ConfigError with every problem."""
        return self._ask(
            Submitted, "POST", "/train", json=dict(config), params={"runs_after": runs_after}
        )

    def task(self, task_id: str) -> TaskState:
        """Where an experiment stands; cheap to ask again and again. Raises NotFoundError."""
        return self._poll(TaskState, path_of("task", task_id))

    def wait(
        self, task_id: str, *, interval: float = 2.0, timeout: float | None = None
    ) -> TaskState:
        """Wait, in seconds, until an experiment has ended. Raises NotFoundError, TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self.task(task_id)
            if state.status not in (TaskStatus.PENDING, TaskStatus.STARTED):
                return state
            if deadline is not None and time.monotonic() + interval > deadline:
                raise TimeoutError(f"experiment {task_id} is {state.status} after {timeout} s.")
            time.sleep(interval)

    def events(self, experiment_id: str) -> Iterator[Event]:
        """Status, metrics and log lines as they come, until the experiment has ended.

        A stream that breaks off is taken up where it was. Raises NotFoundError.
        """
        path, last_id, failures = path_of("experiments", experiment_id, "events"), "", 0
        while True:
            failure: TunesmithError = ServiceError("{url} sends no events.", url=self.url)
            begun = time.monotonic()
            try:
                for event, data in self._connection.events(path, last_id):
                    failures = 0
                    last_id = event.id or last_id
                    yield Event(event.event, data)
                    if event.event == "end":
                        return
            except (ServiceError, StorageError) as error:
                failure = error
            failures = 1 if time.monotonic() - begun > LASTING else failures + 1
            if failures > RECONNECTS:
                raise failure
            time.sleep(failures)
