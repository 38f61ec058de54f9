"""What a training costs: which steps get a point, what is counted, what a resume keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from tunesmith.schemas.metrics import RESOURCES, data_seen
from tunesmith.training.reporting.callbacks import SAVED_PROGRESS, Progress
from tunesmith.training.reporting.meters import ProcessMeter
from tunesmith.training.reporting.monitor import (
    GpuStopwatch,
    Part,
    PerformanceMonitor,
    Usage,
    is_due,
)
from tunesmith.ui.components.experiment.results import _rows_seen


def test_a_long_history_stays_short_and_depends_on_steps_alone() -> None:
    due = [step for step in range(1, 1_000_001) if is_due(step, 10)]
    assert due[:3] == [10, 20, 30]
    assert due[198:202] == [1990, 2000, 2020, 2040]  # from twice 100 logs on every second one
    assert 1000 < len(due) < 1200
    assert not is_due(15, 10)  # a log between: for a checkpoint, or the end of an epoch


def test_every_metric_of_a_point_is_a_named_one_and_the_shares_make_a_whole() -> None:
    monitor = PerformanceMonitor(Usage(), "cpu", children=False)
    with monitor:
        for part in Part:
            sum(range(10_000))
            monitor.lap(part)
        point = monitor.point(rows=8, tokens=64)
        later = monitor.point(rows=8, tokens=64)
    assert set(point) == {name for name in RESOURCES if not name.startswith("gpu")}
    shares = [value for name, value in point.items() if name.startswith("time_share")]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0
    assert point["train_tokens_per_second"] == pytest.approx(8 * point["train_samples_per_second"])
    assert point["memory_mb"] > 50  # this very process, in 10^6 bytes
    assert later["train_samples_per_second"] == 0  # since the point before
    whole = monitor.usage.to_metrics()
    assert whole["memory_mb"]["peak"] >= whole["memory_mb"]["mean"]
    assert set(whole["time_shares"]) == {str(part) for part in Part}


def test_a_child_counts_only_where_children_are_asked_for() -> None:
    program = "block = b'1' * 80_000_000; print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        _, alone = ProcessMeter(children=False).read()
        meter = ProcessMeter(children=True)
        _, together = meter.read()
        child.kill()
        child.wait()
        _, afterwards = meter.read()
    assert together - alone > 70_000_000
    assert together - afterwards > 70_000_000  # one that has ended is no error


class Mark:
    """A GPU's event as PyTorch has it: no machine of the tests has a GPU."""

    clock = 0.0
    passed = 0.0
    """Milliseconds until which the GPU has come."""
    waited = 0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = Mark.clock

    def query(self) -> bool:
        return self.at <= Mark.passed

    def synchronize(self) -> None:
        Mark.waited += 1
        Mark.passed = max(Mark.passed, self.at)

    def elapsed_time(self, end: Any) -> float:
        milliseconds: float = end.at - self.at
        return milliseconds


def test_the_time_of_a_gpu_is_read_once_it_has_passed_without_waiting_for_it() -> None:
    seconds = Usage().parts
    watch = GpuStopwatch(seconds, Mark)
    for part, milliseconds in ((Part.DATA, 1), (Part.FORWARD, 10), (Part.BACKWARD, 20)):
        Mark.clock += milliseconds
        watch.lap(part)
    watch.lap(Part.OTHER)
    assert sum(seconds.values()) == 0  # it has not begun yet
    Mark.passed = 15
    watch.lap(Part.OTHER)
    assert (seconds["data"], seconds["forward"], seconds["backward"]) == (0.001, 0.01, 0.0)
    assert Mark.waited == 0
    watch.settle()
    assert seconds["backward"] == 0.02
    assert Mark.waited == 1


def test_a_checkpoint_keeps_what_was_used_and_one_without_it_is_read() -> None:
    progress = Progress(steps=3, samples=24)
    progress.usage.memory.add(1e9)
    progress.usage.parts[Part.FORWARD] += 2.0
    saved = json.loads(json.dumps(asdict(progress)))
    assert SAVED_PROGRESS.validate_json(json.dumps(saved)) == progress
    del saved["usage"]
    assert SAVED_PROGRESS.validate_json(json.dumps(saved)) == Progress(steps=3, samples=24)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"train_examples": 4000, "train_examples_seen": 4000}, "4,000 rows"),
        ({"train_examples": 4000, "train_examples_seen": 8}, "8 of 4,000 rows"),
        ({"train_examples": 9000, "train_examples_seen": 9000}, "4,000 rows (9,000 examples)"),
        ({"train_examples": 9000, "train_examples_seen": 8}, "8 of 9,000 examples, of 4,000 rows"),
        ({"train_samples_seen": 8}, "8 of 4,000 rows"),  # as early versions recorded it
        ({}, "4,000 rows"),
    ],
)
def test_rows_are_called_rows_and_several_examples_of_a_row_examples(
    metrics: dict[str, int], said: str
) -> None:
    assert data_seen({"train_samples": 4000, **metrics}) == said
    shown = _rows_seen({"train_samples": 4000, **metrics})
    assert ("examples" in shown) == ("examples" in said)
