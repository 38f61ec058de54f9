"""Measurements for operators, in Prometheus' format.

What the store knows (how many wait, run, ended) is read when it is asked for, so that every API on
one store says the same; times and latencies are counted by this process since it started.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.entities.experiments import Experiment, Filters, utc_now
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store

MINUTES = (1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600)
"""Bounds of the times that experiments wait and run, in seconds."""

MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Bounds of the times that requests take, in seconds."""

LATE = timedelta(minutes=10)
"""How late an end may be noticed: clocks differ, and a store may be away."""

OLDEST = 1000
"""Waiting experiments among which the oldest of each queue is looked for."""


_WORKERS = (
    ("tunesmith_worker_slots", "Experiments that a worker can train at once.", "worker", "devices"),
    ("tunesmith_worker_busy", "Slots in which an experiment is trained.", "worker", "devices"),
    ("tunesmith_worker_silence_seconds", "Time since a worker's last heartbeat.", "worker"),
)
_OF_WORKERS = {
    "cpu_percent": ("tunesmith_worker_cpu_percent", "Use of a worker's cores, 0 to 100."),
    "memory_used": ("tunesmith_worker_memory_used_bytes", "Memory in use on a worker's machine."),
    "memory_total": ("tunesmith_worker_memory_bytes", "Memory of a worker's machine."),
    "disk_free": ("tunesmith_worker_disk_free_bytes", "Free where its experiments are kept."),
    "disk_total": ("tunesmith_worker_disk_bytes", "Size of the disk of its experiments."),
}
_OF_DEVICES = {
    "utilization": ("tunesmith_device_utilization_percent", "Time that a device computed, 0-100."),
    "memory_used": ("tunesmith_device_memory_used_bytes", "Memory of a device in use."),
    "memory_total": ("tunesmith_device_memory_bytes", "Memory of a device."),
}
"""Name in what workers say of their use → name and meaning of the measurement."""


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
        self._looked = utc_now()
        """When the last look was."""
        self._ended: frozenset[tuple[str, datetime]] = frozenset()
        """Ends that earlier looks found: ids and times."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def look(self) -> None:
        """See which experiments began and ended since the last look. Raises StorageError."""
        with self._lock:
            now = utc_now()
            found = self._store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
            ends = {
                (e.id, e.finished_at): e
                for e in self._store.ended(min(now, self._looked) - LATE)
                if e.finished_at is not None
            }
            running, known = self._running, self._ended
            self._running = frozenset(e.id for e in found)
            self._ended, self._looked = frozenset(ends), now
            if running is None:
                return
            new = [experiment for end, experiment in ends.items() if end not in known]
            for experiment in (*found, *new):
                if experiment.id not in running:
                    self._count_start(experiment)
            for experiment in new:
                self._count_end(experiment)

    def text(self) -> bytes:
        """All of them, for Prometheus. Raises StorageError."""
        return generate_latest(self._registry)

    def _count_start(self, experiment: Experiment) -> None:
        if experiment.queue and experiment.started_at and not experiment.restarts:
            waited = (experiment.started_at - experiment.created_at).total_seconds()
            self._waits.labels(experiment.queue).observe(max(0.0, waited))

    def _count_end(self, experiment: Experiment) -> None:
        labels = (experiment.queue or "none", str(experiment.status))
        self._outcomes.labels(*labels).inc()
        if experiment.started_at and experiment.finished_at:
            ran = (experiment.finished_at - experiment.started_at).total_seconds()
            self._runs.labels(*labels).observe(max(0.0, ran))


class _StoreCollector(Collector):
    """Measurements from the store, read when they are asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: naming the measurements must not need the store."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The measurements as they are now."""
        total = _gauge("tunesmith_experiments", "Recorded experiments by status.", "status")
        for status, count in self._store.stats().by_status.items():
            total.add_metric([str(status)], count)
        yield total
        yield from self._queues()
        yield from self._workers()

    def _queues(self) -> Iterator[GaugeMetricFamily]:
        families = {
            "waiting": _gauge("tunesmith_queue_length", "Experiments that wait.", "queue"),
            "running": _gauge("tunesmith_queue_running", "Experiments that run.", "queue"),
            "paused": _gauge("tunesmith_queue_paused", "1 where nothing is taken.", "queue"),
        }
        for state in self._store.queue.states():
            for name, family in families.items():
                family.add_metric([state.name], getattr(state, name))
        yield from families.values()
        oldest = _gauge("tunesmith_oldest_wait_seconds", "Time that the oldest waits.", "queue")
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
        slots, busy, silence = (_gauge(*each) for each in _WORKERS)
        running = self._store.list(Filters(status=ExperimentStatus.RUNNING), details=False)
        workers = self._store.queue.workers()
        for worker in workers:
            labels = [worker.name, ",".join(worker.devices)]
            slots.add_metric(labels, worker.slots)
            busy.add_metric(labels, sum(e.worker == worker.name for e in running))
            silence.add_metric([worker.name], worker.silence.total_seconds())
        yield from (slots, busy, silence)
        yield from _usage(workers)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _usage(workers: list[Worker]) -> Iterator[GaugeMetricFamily]:
    """What workers and their devices used at their last heartbeats."""
    for name, (metric, text) in _OF_WORKERS.items():
        family = _gauge(metric, text, "worker")
        for worker in workers:
            if (value := worker.usage.get(name)) is not None:
                family.add_metric([worker.name], value)
        yield family
    for name, (metric, text) in _OF_DEVICES.items():
        family = _gauge(metric, text, "worker", "device", "kind")
        for worker in workers:
            for device in worker.usage.get("devices", ()):
                if (value := device[name]) is not None:
                    family.add_metric([worker.name, device["name"], device["kind"]], value)
        yield family
