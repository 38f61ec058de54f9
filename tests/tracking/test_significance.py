"""Intervals cover, the paired test raises no more false alarms than it says, and rows tell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, binomtest

from tunesmith.tracking.significance import (
    difference_interval,
    fewest_rows_that_differ,
    holm,
    mid_p_mcnemar,
    randomization,
    ratio,
    ratio_difference_interval,
    ratio_gains,
    ratio_interval,
    ratio_rows_needed,
    rows_needed,
    unsteadiness,
    wilson,
)

DRAWS = 2000


def pairs(lost: float, won: float, rows: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Counts of lost, won and other rows in DRAWS comparisons: shape (DRAWS, 3)."""
    chances = [lost, won, 1 - lost - won]
    return np.random.default_rng(seed).multinomial(rows, chances, DRAWS)


@pytest.mark.parametrize("rows", [200, 500, 1200])
@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_an_interval_holds_the_true_accuracy_as_often_as_it_says(
    accuracy: float, rows: int
) -> None:
    counts = np.random.default_rng(0).binomial(rows, accuracy, DRAWS)
    found = {int(right): wilson(int(right), rows) for right in set(counts.tolist())}
    held = [found[right].low <= accuracy <= found[right].high for right in counts.tolist()]
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("rows", [20, 50, 100])
@pytest.mark.parametrize("accuracy", [0.8, 0.95, 0.99])
def test_few_rows_or_few_mistakes_still_give_an_interval_that_covers(
    accuracy: float, rows: int
) -> None:
    # The coverage itself, summed over all that can happen; few rows make it jump.
    intervals = [wilson(right, rows) for right in range(rows + 1)]
    held = [found.low <= accuracy <= found.high for found in intervals]
    assert binom.pmf(np.arange(rows + 1), rows, accuracy)[held].sum() >= 0.90


def test_rows_that_are_all_right_leave_room_for_mistakes() -> None:
    found = wilson(50, 50)
    assert 0.9 < found.low < 0.95
    assert found.high == 1.0


@pytest.mark.parametrize("rows", [200, 500, 1200])
@pytest.mark.parametrize("apart", [0.1, 0.2, 0.4])
def test_the_test_finds_a_difference_that_is_not_there_one_time_in_twenty(
    apart: float, rows: int
) -> None:
    counts = pairs(apart / 2, apart / 2, rows)
    alarms = (mid_p_mcnemar(counts[:, 0], counts[:, 1]) <= 0.05).mean()
    assert 0.035 <= alarms <= 0.065


def test_few_rows_that_differ_raise_fewer_alarms_and_never_more() -> None:
    for rows, apart in [(30, 0.1), (50, 0.1), (100, 0.05)]:
        counts = pairs(apart / 2, apart / 2, rows)
        assert (mid_p_mcnemar(counts[:, 0], counts[:, 1]) <= 0.05).mean() <= 0.05


def test_wilsons_interval_is_the_one_that_scipy_gives() -> None:
    for right, rows in [(0, 20), (1, 29), (19, 40), (81, 263), (20, 20), (1, 1), (0, 1)]:
        expected = binomtest(right, rows).proportion_ci(0.95, method="wilson")
        found = wilson(right, rows)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mid_p_is_the_exact_p_value_less_the_chance_of_what_was_seen() -> None:
    for lost, won in [(1, 8), (12, 5), (0, 5), (40, 61)]:
        exact = binomtest(lost, lost + won, 0.5).pvalue
        seen = binom.pmf(lost, lost + won, 0.5)
        assert mid_p_mcnemar(lost, won) == pytest.approx(exact - seen)
    assert mid_p_mcnemar(0, 0) == 1.0
    assert mid_p_mcnemar(7, 7) == 1.0
    assert mid_p_mcnemar(0, fewest_rows_that_differ()) <= 0.05
    assert mid_p_mcnemar(0, fewest_rows_that_differ() - 1) > 0.05


@pytest.mark.parametrize(("lost", "won"), [(0.1, 0.1), (0.02, 0.06)])
@pytest.mark.parametrize("rows", [200, 1200])
def test_the_interval_of_a_difference_covers(lost: float, won: float, rows: int) -> None:
    counts = pairs(lost, won, rows, seed=1)
    found = {tuple(row): difference_interval(row[0], row[1], rows) for row in counts.tolist()}
    truth = won - lost
    held = [
        found[tuple(row)].low - 1e-12 <= truth <= found[tuple(row)].high + 1e-12
        for row in counts.tolist()
    ]
    assert 0.93 <= np.mean(held) <= 0.985


def test_answers_that_never_differ_are_not_called_equal_for_sure() -> None:
    found = difference_interval(0, 0, 100)
    assert found.low < 0 < found.high


@pytest.mark.parametrize(("lost", "won", "rows"), [(20, 30, 500), (3, 8, 100), (60, 90, 1200)])
def test_the_rows_asked_for_tell_four_times_of_five(lost: int, won: int, rows: int) -> None:
    needed = rows_needed(lost, won, rows)
    assert needed is not None
    counts = pairs(lost / rows, won / rows, needed)
    assert (mid_p_mcnemar(counts[:, 0], counts[:, 1]) <= 0.05).mean() == pytest.approx(
        0.8, abs=0.04
    )


def test_no_number_of_rows_finds_a_difference_that_was_not_seen() -> None:
    assert rows_needed(9, 9, 100) is None
    assert rows_needed(0, 0, 100) is None


def test_several_tests_are_adjusted_as_holm_says() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


# -- ratios of sums over rows, as F1 and R² are ------------------------------------------------


def entities(rows: int, found: float, seed: int) -> npt.NDArray[np.float64]:
    """Twice the entities found and all expected or predicted ones of each row: F1's parts."""
    random = np.random.default_rng(seed)
    expected = random.poisson(2, rows)
    hits = random.binomial(expected, found)
    return np.stack([2.0 * hits, expected + hits + random.binomial(1, 0.3, rows)], axis=1)


def test_an_interval_of_f1_holds_the_true_one_as_often_as_it_says() -> None:
    truth = ratio(*entities(1_000_000, 0.8, 10_000).T)
    drawn = [ratio_interval(*entities(200, 0.8, seed).T) for seed in range(200)]
    assert 0.91 <= np.mean([found.low <= truth <= found.high for found in drawn]) <= 0.99
    assert {(found.method, found.rows) for found in drawn} == {("bootstrap", 200)}


def test_two_metrics_that_are_equal_are_told_apart_one_time_in_twenty() -> None:
    p_values = []
    for seed in range(200):
        first, second = entities(150, 0.8, seed), entities(150, 0.8, seed + 5_000)
        p_values.append(randomization(first, second))
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_a_metric_that_is_better_is_found_with_an_interval_that_says_so() -> None:
    first, second = entities(400, 0.6, 1), entities(400, 0.8, 1)
    interval = ratio_difference_interval(first, second)
    difference = ratio(*second.T) - ratio(*first.T)
    assert 0 < interval.low < difference < interval.high
    assert randomization(first, second) < 0.001
    assert randomization(second, first) == randomization(first, second)
    gains = ratio_gains(first, second)
    assert gains.sum() > 0
    needed = ratio_rows_needed(unsteadiness(gains))
    assert needed is not None
    assert 1 <= needed < 400


def test_a_share_of_right_rows_is_a_ratio_like_others() -> None:
    right = (np.arange(1000) < 800).astype(np.float64)
    found, known = ratio_interval(right, np.ones(1000)), wilson(800, 1000)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.003)


def test_rows_without_a_weight_have_the_metric_0_and_no_difference_to_find() -> None:
    nothing = np.zeros((5, 2))
    assert ratio(*nothing.T) == ratio_interval(*nothing.T).high == 0.0
    assert randomization(nothing, nothing) == 1.0
    assert ratio_rows_needed(unsteadiness(ratio_gains(nothing, nothing))) is None
