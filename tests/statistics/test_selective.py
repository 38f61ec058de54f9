"""A threshold that keeps its promise, in as many draws as it is certain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from tunesmith.statistics.calibration import fit_temperature
from tunesmith.statistics.intervals import Floats
from tunesmith.statistics.selective import THRESHOLDS, choose_threshold

DRAWS = 500


def answers(
    draw: np.random.Generator, rows: int, labels: int, noise: float
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Logits that are too large, and the labels: some of them are wrong whatever the model says."""
    truth = draw.integers(0, labels, rows)
    scores = draw.normal(0, 1, (rows, labels))
    scores[np.arange(rows), truth] += 3 * draw.gamma(2, 0.5, rows)
    flipped = draw.random(rows) < noise
    truth[flipped] = draw.integers(0, labels, int(flipped.sum()))
    return scores * 3, truth


@pytest.mark.parametrize(
    ("labels", "noise", "rows"), [(2, 0.0, 400), (2, 0.06, 800), (6, 0.0, 400)]
)
def test_the_promise_is_kept_in_as_many_draws_as_it_is_certain(
    labels: int, noise: float, rows: int
) -> None:
    draw, kept, answering = np.random.default_rng(0), 0, 0
    many, labelled = answers(draw, 60_000, labels, noise)
    right_of_many = many.argmax(1) == labelled
    for _ in range(DRAWS):
        scores, truth = answers(draw, rows, labels, noise)
        divided = fit_temperature(scores, np.eye(labels)[truth], several=False).value
        found = choose_threshold(
            softmax(scores / divided, 1).max(1),
            (scores.argmax(1) == truth).astype(float),
            accuracy=0.95,
            certainty=0.95,
        )
        if found.value is None:
            kept += 1
            continue
        # The confidence of the same answers to so many rows stands for the truth.
        sample = slice(0, 10_000)
        sure = softmax(many[sample] / divided, 1).max(1) >= found.value
        answering += 1
        kept += right_of_many[sample][sure].mean() >= 0.95
    assert kept / DRAWS >= 0.95
    assert answering > DRAWS / 20


def test_all_is_answered_where_all_is_right() -> None:
    found = choose_threshold(np.full(400, 0.999), np.ones(400), accuracy=0.95, certainty=0.95)
    assert (found.value, found.answered, found.right) == (0.0, 400, 400)
    assert found.least is not None
    assert 0.95 < found.least < 1


def test_nothing_is_promised_by_too_few_rows_or_by_chance_alone() -> None:
    for rows, share in ((40, 1.0), (1000, 0.5)):
        right = (np.arange(rows) < share * rows).astype(float)
        found = choose_threshold(np.full(rows, 0.99), right, accuracy=0.95, certainty=0.95)
        assert (found.value, found.rows) == (None, rows)
        assert f"{rows:,} validation rows" in str(found.reason)


def test_rows_that_picked_among_models_promise_less() -> None:
    right = np.ones(130)
    confidence = np.full(130, 0.9)
    alone = choose_threshold(confidence, right, accuracy=0.95, certainty=0.95)
    picked = choose_threshold(confidence, right, accuracy=0.95, certainty=0.95, looks=20)
    assert (alone.value, picked.value) == (0.0, None)


def test_rows_of_a_group_count_once() -> None:
    groups = np.repeat(np.arange(30), 20)
    found = choose_threshold(
        np.full(600, 0.9), np.ones(600), accuracy=0.95, certainty=0.95, groups=groups
    )
    assert (found.value, found.rows) == (None, 30)


def test_thresholds_are_tried_from_the_strictest_on() -> None:
    assert list(THRESHOLDS) == sorted(THRESHOLDS, reverse=True)
