"""Numbers for texts: what is a number, standard scores and back, and how good they are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from tests.tasks.samples import bound

from tunesmith.errors import DataError
from tunesmith.tasks.base import Row
from tunesmith.tasks.regression import Regression, RegressionOptions, as_number
from tunesmith.tasks.results import Prediction

COLUMNS = {"text": "text", "target": "score"}


def task_of(targets: list[Any], judged: list[Any] | None = None) -> Regression:
    task = bound(Regression(RegressionOptions()), COLUMNS)
    task.fit(rows_of(targets), rows_of(judged or []))
    return task


def rows_of(targets: list[Any]) -> list[Row]:
    return [{"_row": n, "text": f"text {n}", "score": t} for n, t in enumerate(targets, 1)]


class Says:
    """A model that gives these standard scores."""

    def __init__(self, scores: list[float]) -> None:
        self.logits = torch.tensor(scores)[:, None]

    def __call__(self, **_inputs: Any) -> Any:
        return self


def predictions(task: Regression, targets: list[float], said: list[float]) -> list[Prediction]:
    """What is predicted where the model says `said`, in the data's own unit."""
    scores = [(value - task.mean) / task.deviation for value in said]
    return list(task.predict(Says(scores), [(rows_of(targets), {})], None))


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3.0), (2.5, 2.5), (" -1e2 ", -100.0), (Decimal("0.5"), 0.5), (True, None), ("", None),
     (None, None), ("nan", None), (float("inf"), None), ("3,5", None), ([1], None)],
)  # fmt: skip
def test_what_spells_a_finite_number_is_one(value: Any, number: float | None) -> None:
    assert as_number(value) == number


def test_rows_without_a_number_break_a_rule_that_says_what_to_write() -> None:
    task = bound(Regression(RegressionOptions()), COLUMNS)
    found = [list(task.faults(row)) for row in rows_of([1, " ", None, "good"])]
    assert [[rule for rule, _ in faults] for faults in found] == [
        [], ["missing_labels"], ["missing_labels"], ["unknown_labels"]
    ]  # fmt: skip
    assert found[3][0][1] == "'good' is no number: write one, as in 3.5"


def test_numbers_that_are_all_the_same_cannot_be_learned() -> None:
    with pytest.raises(DataError, match=r"a single number, 4: there is nothing to learn"):
        task_of([4, 4.0, "4"])


def test_the_loss_does_not_depend_on_the_unit_and_answers_are_in_it() -> None:
    in_stars, in_percent = task_of([1, 2, 5]), task_of([20, 40, 100])
    (star,), (percent,) = (
        predictions(in_stars, [3.0], [4.0]), predictions(in_percent, [60.0], [80.0])
    )  # fmt: skip
    assert star.loss == pytest.approx(percent.loss)
    assert (star.predicted, percent.predicted) == pytest.approx((4.0, 80.0))


def test_the_metrics_are_those_of_numpy_and_scipy() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(1, 6, 200).astype(float).tolist()  # with many ties
    said = (np.array(targets) + random.normal(0, 1, 200)).tolist()
    task = task_of([1, 2, 3, 4, 5], targets)
    metrics = task.score(predictions(task, targets, said)).metrics
    errors = np.array(said) - targets
    assert metrics["mse"] == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert metrics["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)
    assert metrics["r2"] == pytest.approx(1 - np.mean(errors**2) / np.var(targets), rel=1e-5)
    assert metrics["pearson"] == pytest.approx(pearsonr(targets, said).statistic, rel=1e-5)
    assert metrics["spearman"] == pytest.approx(spearmanr(targets, said).statistic, rel=1e-5)


def test_the_mean_of_training_has_an_r2_of_0_or_less_and_no_correlation() -> None:
    task = task_of([1, 3], [1, 3, 5])
    found = task.score(predictions(task, [1, 3, 5], [2, 2, 2])).metrics
    baseline = task.baseline(rows_of([1, 3]), rows_of([1, 3, 5]))
    assert baseline == {
        "name": "always 2, the mean of the training rows",
        "metric": "r2",
        "value": pytest.approx(found["r2"]),
    }
    assert found["r2"] == pytest.approx(-0.375)
    assert found["pearson"] == found["spearman"] == 0.0


def test_a_base_model_with_a_number_of_its_own_is_asked_in_its_own_unit() -> None:
    task = task_of([10, 30])
    assert task.of_base({}, ["classifier"]) is None
    own = task.of_base({}, [])
    assert own is not None
    assert (own.mean, own.deviation) == (0.0, 1.0)
