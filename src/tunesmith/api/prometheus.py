"""Measurements for operators, in Prometheus' format.

What the store knows (how many wait, run, ended) is read when it is asked for, so that every API on
one store says the same; times and latencies are counted by this process since it started.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tunesmith.errors import NotFoundError
from tunesmith.tracking.entities import Experiment, ExperimentStatus, Filters, utc_now
from tunesmith.tracking.store import Store

MINUTES = (1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600)
"""Bounds of the times that experiments wait and run, in seconds."""

MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Bounds of the times that requests take, in seconds."""

OLDEST = 1000
"""Waiting experiments among which the oldest of each queue is looked for."""


class Measurements:
    """The measurements of one API process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._registry = CollectorRegistry()
        self._registry.register(_StoreCollector(store))
        self._requests = Histogram(
            "tunesmith_request_seconds",
            "Time that requests to the API took.",
            ("method", "route", "status"),
            buckets=MOMENTS,
            registry=self._registry,
        )
        self._waits = Histogram(
            "tunesmith_wait_seconds",
            "Time from submission until a worker took the experiment.",
            ("queue",),
            buckets=MINUTES,
            registry=self._registry,
        )
        self._runs = Histogram(
            "tunesmith_run_seconds",
            "Time from the first start until the experiment ended.",
            ("queue", "status"),
            buckets=MINUTES,
            registry=self._registry,
        )
        self._outcomes = Counter(
            "tunesmith_outcomes",
            "Experiments that ended while this process watched.",
            ("queue", "status"),
            registry=self._registry,
        )
        self._lock = threading.Lock()
        self._running: frozenset[str] | None = None
        """Experiments that ran at the last look; None before the first."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def look(self) -> None:
        """See which experiments began and ended since the last look. Raises StorageError."""
        with self._lock:
            found = self._store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
            before, self._running = self._running, frozenset(e.id for e in found)
            if before is None:
                return
            for experiment in found:
                if experiment.id not in before:
                    self._started(experiment)
            for experiment_id in before - self._running:
                self._ended(experiment_id)

    def text(self) -> bytes:
        """All of them, for Prometheus. Raises StorageError."""
        return generate_latest(self._registry)

    def _started(self, experiment: Experiment) -> None:
        if experiment.queue and experiment.started_at and not experiment.restarts:
            waited = (experiment.started_at - experiment.created_at).total_seconds()
            self._waits.labels(experiment.queue).observe(max(0.0, waited))

    def _ended(self, experiment_id: str) -> None:
        try:
            experiment = self._store.get(experiment_id)
        except NotFoundError:  # deleted at once
            return
        if experiment.status.is_live:  # given back to the queue, or running again
            return
        labels = (experiment.queue or "none", str(experiment.status))
        self._outcomes.labels(*labels).inc()
        if experiment.started_at and experiment.finished_at:
            ran = (experiment.finished_at - experiment.started_at).total_seconds()
            self._runs.labels(*labels).observe(max(0.0, ran))


class _StoreCollector(Collector):
    """What the store knows, read at the moment of asking."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: naming the measurements must not need the store."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The measurements as they are now."""
        total = GaugeMetricFamily(
            "tunesmith_experiments", "Recorded experiments by status.", labels=["status"]
        )
        for status, count in self._store.stats().by_status.items():
            total.add_metric([str(status)], count)
        yield total
        yield from self._queues()
        yield from self._workers()

    def _queues(self) -> Iterator[GaugeMetricFamily]:
        families = {
            "waiting": GaugeMetricFamily(
                "tunesmith_queue_length", "Experiments that wait.", labels=["queue"]
            ),
            "running": GaugeMetricFamily(
                "tunesmith_queue_running", "Experiments that run.", labels=["queue"]
            ),
            "paused": GaugeMetricFamily(
                "tunesmith_queue_paused", "1 where nothing is taken.", labels=["queue"]
            ),
        }
        for state in self._store.jobs.states():
            for name, family in families.items():
                family.add_metric([state.name], getattr(state, name))
        yield from families.values()
        oldest = GaugeMetricFamily(
            "tunesmith_oldest_wait_seconds", "Time that the oldest waits.", labels=["queue"]
        )
        waiting = Filters(
            status=ExperimentStatus.QUEUED, sort_by="created_at", desc=False, limit=OLDEST
        )
        first = reversed(self._store.list(waiting, details=False))
        since = {experiment.queue: experiment.created_at for experiment in first}
        for queue, created in since.items():
            if queue is not None:
                oldest.add_metric([queue], max(0.0, (utc_now() - created).total_seconds()))
        yield oldest

    def _workers(self) -> Iterator[GaugeMetricFamily]:
        slots = GaugeMetricFamily(
            "tunesmith_worker_slots", "Experiments that a worker can train at once.",
            labels=["worker", "devices"],
        )  # fmt: skip
        busy = GaugeMetricFamily(
            "tunesmith_worker_busy", "Slots of a worker in which an experiment is trained.",
            labels=["worker", "devices"],
        )  # fmt: skip
        running = self._store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
        for worker in self._store.jobs.workers():
            labels = [worker.name, ",".join(worker.devices)]
            slots.add_metric(labels, worker.slots)
            busy.add_metric(labels, sum(e.worker == worker.name for e in running))
        yield from (slots, busy)
