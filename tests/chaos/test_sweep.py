"""A sweep of the starter with two workers, one of which is killed with all that it has started."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from tests.chaos.cluster import Cluster, wait_for

from tunesmith.config.sweep import read_sweep
from tunesmith.experiments.sweeps.driving import begin
from tunesmith.experiments.sweeps.report import sweep_report
from tunesmith.schemas.enums import ExperimentStatus, SweepStatus, TrialState

FILE = Path(__file__).resolve().parents[2] / "config" / "sweeps" / "starter.yaml"
PATIENCE = float(os.environ.get("TUNESMITH_SWEEP_PATIENCE", "3600"))
"""Seconds for the twelve trials."""


def kill_all_of(cluster: Cluster, name: str) -> None:
    """SIGKILL for a worker and every process that it has started, as when its machine is lost."""
    pid = cluster.parts[name].pid
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    cluster.kill(name)
    for process in family[1:]:
        if process.is_running():
            process.kill()


@pytest.mark.parametrize("cluster", ["sqlite"], indirect=True)
def test_a_sweep_survives_the_loss_of_a_worker_prunes_and_finds_better_than_the_default(
    cluster: Cluster,
) -> None:
    # A busy machine may not let a training say for a while that it lives; what is killed on this
    # one is found at once all the same.
    cluster.settings = cluster.settings.model_copy(update={"lease_seconds": 60.0})
    asked = read_sweep(FILE)
    sweep = begin(asked, cluster.store, cluster.settings)
    for name in ("worker-a", "worker-b"):
        cluster.start_worker(name)
    begun = time.monotonic()

    def half_way() -> bool:
        if len(cluster.store.sweeps.trials(sweep.id)) < asked.total // 2:
            return False
        # One that has just begun: another might end, or be pruned, while its worker is killed.
        running = (e for e in cluster.store.list() if e.status is ExperimentStatus.RUNNING)
        return any(e.worker == "worker-a" and 0 < e.progress < 0.2 for e in running)

    wait_for(half_way, "the middle of the sweep", cluster.said, PATIENCE)
    kill_all_of(cluster, "worker-a")
    print(f"\nworker-a killed after {time.monotonic() - begun:.0f} s")
    cluster.start_worker("worker-c")

    def ended() -> bool:
        return cluster.store.sweeps.get(sweep.id).status is not SweepStatus.RUNNING

    wait_for(ended, "the end of the sweep", cluster.said, PATIENCE)
    report = sweep_report(cluster.store.sweeps.get(sweep.id), cluster.store, cluster.settings)
    print(f"{time.monotonic() - begun:.0f} s")
    for trial in report.trials:
        print(trial)
    print(report.verdict)
    assert report.status is SweepStatus.SUCCEEDED, report.reason
    assert len(report.trials) == asked.total == 12
    states = [trial.state for trial in report.trials]
    assert set(states) == {TrialState.SUCCEEDED, TrialState.PRUNED}
    assert states.count(TrialState.PRUNED) >= asked.total / 3
    assert report.best is not None
    assert report.baseline is not None
    best, default = report.trials[report.best], report.trials[report.baseline]
    assert best.value is not None
    assert default.value is not None
    assert best.value > default.value
    assert best.low is not None
    assert best.high is not None
    assert best.low < best.value < best.high
    assert any(e.restarts for e in cluster.store.list()), "nothing ran on the worker that was lost"
