"""What a training says is kept in the store and in files, and shown to who watches."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tunesmith.errors import LeaseLostError, StorageError, printable
from tunesmith.experiments.lease import Lease, Stop
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Metric, utc_now
from tunesmith.tracking.files import ExperimentFiles
from tunesmith.tracking.store import Store
from tunesmith.training.plan import Plan
from tunesmith.training.reporter import Phase, Reporter

PROGRESS_INTERVAL = 1.0
"""Seconds between two writes of the progress to the store."""

log = logging.getLogger("tunesmith")


class Silent(Reporter):
    """Nobody watches."""


class Recorder:
    """The reporter of a recorded experiment: writes down, then passes on to the listener.

    It writes under the experiment's lease. While the store can't be reached, what it would have
    written waits here: the lease says how long that may last.
    """

    def __init__(
        self, lease: Lease, store: Store, files: ExperimentFiles, listener: Reporter
    ) -> None:
        self.experiment_id = lease.experiment_id
        self.lease = lease
        self.store = store
        self.files = files
        self.listener = listener
        self.noticed: str | None = None
        """What whoever looks at the experiment later should know."""
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
        self._write(plan=plan.to_json())
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
                f"experiment {self.experiment_id} was given to another process, or the store "
                "could not be reached for too long: this one trains it no longer."
            )
        return self.lease.stop is not None or self.listener.should_stop()

    def flush(self) -> None:
        """Write what still waits. Raises StorageError and LeaseLostError."""
        if self._points:
            self.store.add_metrics(self._points, lease=self.lease.token)
            self._points = []
        if self._changes:
            self.store.jobs.write(self.experiment_id, self.lease.token, **self._changes)
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


@contextmanager
def logging_to(files: ExperimentFiles, settings: Settings) -> Iterator[None]:
    """Write Tunesmith's log lines to the experiment's `logs.txt`, secrets blotted out.

    Warnings of the libraries go there too, so that the terminal stays readable. Raises StorageError
    when the log can't be written.
    """
    try:
        handler = logging.FileHandler(files.log, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{files.log} can't be written: {error.strerror}") from error
    handler.setFormatter(_Formatter(settings.timezone, settings.token))
    sources = [log, *(logging.getLogger(name) for name in ("transformers", "peft", "accelerate"))]
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    sources.append(logging.getLogger("py.warnings"))
    for source in sources:
        source.addHandler(handler)
    try:
        with warnings.catch_warnings():
            # What a library will rename one day is its callers' business, not its users'.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for source in sources:
            source.removeHandler(handler)
        logging.captureWarnings(False)
        log.level, log.propagate = before
        handler.close()


def append_to_log(
    files: ExperimentFiles, settings: Settings, lines: Iterable[tuple[int, str]]
) -> None:
    """Write lines, each with its level, to the `logs.txt` of an experiment that has ended.

    Nothing else is written there meanwhile. A log that can't be written stays as it is.
    """
    with suppress(OSError), files.log.open("a", encoding="utf-8") as stream:
        formatter = _Formatter(settings.timezone, settings.token)
        for level, line in lines:
            record = logging.LogRecord(log.name, level, "", 0, line, None, None)
            stream.write(formatter.format(record) + "\n")


class _Formatter(logging.Formatter):
    """Times in the user's zone; the Hugging Face token never shown."""

    def __init__(self, zone: ZoneInfo, secret: str | None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.zone = zone
        self.secret = secret

    def formatTime(self, record: logging.LogRecord, datefmt: Any = None) -> str:  # noqa: N802
        """ISO 8601 with seconds and offset."""
        return datetime.fromtimestamp(record.created, self.zone).isoformat(" ", "seconds")

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the secret and escape sequences; further lines are set in.

        So nothing that a name or a label brings can pass for a line of its own.
        """
        line = printable(super().format(record)).replace("\n", "\n    ")
        return line.replace(self.secret, "***") if self.secret else line
