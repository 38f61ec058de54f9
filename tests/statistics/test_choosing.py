"""A score that chose nothing holds what its interval says; one that chose doesn't."""

from __future__ import annotations

from benchmarks import choosing


def test_early_stopping_and_best_checkpoint_leave_the_interval_true() -> None:
    found = choosing.checkpoints(rows=60, validate=60, rounds=1500)
    assert 0.93 <= found["apart"] <= 0.975
    assert found["same"] < 0.85  # as the rows that judge would have it


def test_the_best_of_fifty_equal_trials_is_seldom_called_better() -> None:
    found = choosing.sweeps(rows=200, validate=100, rounds=300)
    assert found["apart"] <= 0.05
    assert found["same"] <= 0.05  # the comparison allows for every look
    assert found["as_one_look"] > 0.08  # as 0.1 did
