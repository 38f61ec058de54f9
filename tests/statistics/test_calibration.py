"""Whether probabilities become what they say, and whether that is measured honestly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from tunesmith.statistics.calibration import FEWEST_ROWS, brier, fit_temperature, reliability
from tunesmith.statistics.intervals import Floats


def drawn(rows: int, labels: int = 3, *, scale: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Logits that are `scale` times too large, and what was true by the right ones."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(0, 2, (rows, labels))
    truth = np.array([draw.multinomial(1, p) for p in softmax(scores, 1)], dtype=float)
    return scores * scale, truth


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_the_temperature_is_what_scores_are_too_large_by(scale: float) -> None:
    found = fit_temperature(*drawn(4000, scale=scale), several=False)
    assert found.value == pytest.approx(scale, rel=0.1)
    assert (found.rows, found.reason) == (4000, None)


def test_labels_that_go_their_own_ways_have_one_temperature_too() -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(0, 2, (2000, 4))
    truth = (draw.random(scores.shape) < 1 / (1 + np.exp(-scores))).astype(float)
    assert fit_temperature(3 * scores, truth, several=True).value == pytest.approx(3, rel=0.1)


def test_scores_that_are_right_stay_as_they_are() -> None:
    found = fit_temperature(*drawn(500, scale=1.0, seed=3), several=False)
    assert found.value == 1.0
    assert "no better" in str(found.reason)


def test_too_few_rows_change_nothing() -> None:
    found = fit_temperature(*drawn(FEWEST_ROWS - 1, scale=4.0), several=False)
    assert found.value == 1.0
    assert f"{FEWEST_ROWS - 1} validation rows are too few" in str(found.reason)


def test_a_model_that_is_right_everywhere_is_not_made_certain() -> None:
    scores = np.tile([2.0, 0.0], (100, 1))
    truth = np.tile([1.0, 0.0], (100, 1))
    found = fit_temperature(scores, truth, several=False)
    sure = softmax(scores / found.value, 1)[0, 0]
    assert 0.98 < sure < 0.999  # one mistake in 200, by the row that is added


def test_brier_is_that_computed_by_hand() -> None:
    chances, truth = np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert brier(chances, truth) == pytest.approx((0.3**2 + 0.3**2 + 0.8**2 + 0.8**2) / 2)


def test_the_error_is_the_mean_gap_of_bins_of_equally_many_rows() -> None:
    confidence = np.repeat([0.6, 0.9], 20)
    right = np.array([1.0] * 10 + [0.0] * 10 + [1.0] * 20)
    found = reliability(confidence, right)
    assert [(p.accuracy, p.rows) for p in found.points] == [(0.5, 20), (1.0, 20)]
    assert found.ece == pytest.approx((0.1 + 0.1) / 2)
    assert found.low == 0.0 < found.ece < found.high


@pytest.mark.parametrize("lie", [0.0, 0.04, 0.15])
def test_the_interval_holds_the_true_error(lie: float) -> None:
    draw, held = np.random.default_rng(2), 0
    for _ in range(80):
        confidence = 0.6 + 0.4 * draw.beta(3, 1, 500)
        right = (draw.random(500) < confidence - lie).astype(float)
        found = reliability(confidence, right)
        held += found.low <= lie + 1e-9 and lie <= found.high
    assert held >= 72


def test_rows_of_a_group_count_as_what_they_are() -> None:
    draw = np.random.default_rng(0)
    confidence = np.repeat(draw.uniform(0.6, 0.95, 40), 10)
    right = np.repeat((draw.random(40) < 0.6).astype(float), 10)
    groups = np.repeat(np.arange(40), 10)
    alone, together = reliability(confidence, right), reliability(confidence, right, groups)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert together.ece == alone.ece
