"""What a training says is kept in the store and in files, and shown to who watches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tunesmith.errors import LeaseLostError, StorageError
from tunesmith.experiments.lifecycle.lease import Lease, Stop
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.log import log
from tunesmith.store.entities.experiments import Metric, utc_now
from tunesmith.store.store import Store
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.reporter import Phase, Reporter

PROGRESS_INTERVAL = 1.0
"""Seconds between two writes of the progress to the store."""


@dataclass(eq=False)
class Recorder(Reporter):
    """The reporter of a recorded experiment: writes down, then passes on to the listener.

    It writes under the experiment's lease. While the store can't be reached, what it would have
    written waits here: the lease says how long that may last.
    """

    lease: Lease
    store: Store
    files: ExperimentFolder
    listener: Reporter
    noticed: str | None = field(default=None, init=False)
    """What whoever looks at the experiment later should know."""

    def __post_init__(self) -> None:
        self.experiment_id = self.lease.experiment_id
        self._written = 0.0
        self._phase: Phase | None = None
        self._changes: dict[str, Any] = {}
        self._points: list[Metric] = []
        self._costs: list[Metric] = []
        """What the last steps cost, until their loss is reported."""
        self._first: tuple[float, int] | None = None
        """When the first step of this process was reported, and which it was."""

    def phase(self, phase: Phase, note: str = "") -> None:
        """Record the phase."""
        self._phase = phase
        log.info("phase: %s%s", phase, f" ({note})" if note else "")
        self._first = None
        self._write(phase=str(phase), time_left=None)
        self.listener.phase(phase, note)

    def plan(self, plan: Plan) -> None:
        """Record the plan."""
        for choice in plan.choices:
            log.info("plan: %s: %s (%s)", choice.setting, choice.value, choice.reason)
        self._write(plan=asdict(plan))
        self.listener.plan(plan)

    def message(self, text: str) -> None:
        """Log it."""
        log.info("%s", text)
        self.listener.message(text)

    def warning(self, text: str) -> None:
        """Log it as a warning."""
        log.warning("%s", text)
        self.listener.warning(text)

    def notice(self, text: str) -> None:
        """Log it as a warning, and keep it with the experiment's record."""
        self.noticed = text
        self.warning(text)
        self._write(reason=text)

    def progress(self, done: int, total: int) -> None:
        """Record the progress of training, at most once a second."""
        now = time.monotonic()
        if self._phase is Phase.TRAINING and (
            now - self._written >= PROGRESS_INTERVAL or done == total
        ):
            self._written = now
            self._write(progress=done / max(total, 1), time_left=self._time_left(now, done, total))
        self.listener.progress(done, total)

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Record the values of this step in the store, the history and the log."""
        points = [*self._costs, *self._measured(step, epoch, values)]
        self._costs = []
        self._points += points
        self._write()
        self.files.append_history(points)
        shown = ", ".join(f"{name}={value:.6g}" for name, value in values.items())
        log.info("step %d, epoch %.3f: %s", step, epoch, shown)
        self.listener.metrics(step, epoch, values)

    def resources(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Record them with the loss that follows, but not in the log: it tells what was learned."""
        self._costs += self._measured(step, epoch, values)
        self.listener.resources(step, epoch, values)

    def should_stop(self) -> bool:
        """Whether anybody wants it to stop. Raises LeaseLostError when another may train it now."""
        self.lease.confirm()
        if self.lease.stop is Stop.LEASE_LOST:
            raise LeaseLostError(
                "experiment {id} was given to another process, or the store could not be "
                "reached for too long: this one trains it no longer.",
                id=self.experiment_id,
            )
        return self.lease.stop is not None or self.listener.should_stop()

    def flush(self) -> None:
        """Write what still waits. Raises StorageError and LeaseLostError."""
        if self._points:
            self.store.add_metrics(self._points, lease=self.lease.token)
            self._points = []
        if self._changes:
            self.store.queue.write(self.experiment_id, self.lease.token, **self._changes)
            self._changes = {}

    def _measured(self, step: int, epoch: float, values: Mapping[str, float]) -> list[Metric]:
        now = utc_now()
        return [
            Metric(self.experiment_id, step, name, float(value), epoch, now)
            for name, value in values.items()
        ]

    def _write(self, **changes: Any) -> None:
        self._changes |= changes
        try:
            self.flush()
        except StorageError as error:
            log.warning("%s What was measured is kept and written later.", error)

    def _time_left(self, now: float, done: int, total: int) -> float | None:
        """Seconds until the last step, at this process's own speed."""
        if self._first is None:
            self._first = (now, done)
            return None
        begun, before = self._first
        return (now - begun) / (done - before) * (total - done) if done > before else None
