"""Figures beside the score: side by side, and who lacks them."""

from __future__ import annotations

from typing import Any

from tunesmith.statistics.figures import figures_of, lacking
from tunesmith.store.entities.experiments import Experiment


def experiment(**metrics: Any) -> Experiment:
    return Experiment(name="x", task="sft", model_name="m", dataset_name="d", metrics=metrics)


def test_an_old_experiment_says_what_it_lacks_and_a_figure_nobody_has_is_left_out() -> None:
    forgotten = {"text": {"difference": 0.123456}}
    new = experiment(forgetting=forgotten, calibration={"after": {"ece": 0.02}})
    old = experiment(train_loss=1.0)
    found = {each.field: each.values for each in figures_of([new, old])}
    assert found == {"calibration_error": (0.02, None), "forgetting_text": (0.1235, None)}
    (said,) = lacking([new, old])
    assert f"Experiment {old.id} lacks calibration_error, forgetting_text" in said
    assert lacking([new, new]) == lacking([old, old]) == ()
