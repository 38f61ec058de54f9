"""The paired tests raise no more false alarms than they say, and rows tell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, binomtest

from tunesmith.statistics.intervals import ratio_difference
from tunesmith.statistics.significance import (
    coefficient_of_variation,
    fewest_rows_that_differ,
    holm,
    mid_p_mcnemar,
    randomization,
    ratio,
    ratio_gains,
    ratio_rows_needed,
    rows_needed,
)

DRAWS = 2000


def pairs(lost: float, won: float, rows: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Counts of lost, won and other rows in DRAWS comparisons: shape (DRAWS, 3)."""
    chances = [lost, won, 1 - lost - won]
    return np.random.default_rng(seed).multinomial(rows, chances, DRAWS)


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


def test_mid_p_is_the_exact_p_value_less_the_chance_of_what_was_seen() -> None:
    for lost, won in [(1, 8), (12, 5), (0, 5), (40, 61)]:
        exact = binomtest(lost, lost + won, 0.5).pvalue
        seen = binom.pmf(lost, lost + won, 0.5)
        assert mid_p_mcnemar(lost, won) == pytest.approx(exact - seen)
    assert mid_p_mcnemar(0, 0) == 1.0
    assert mid_p_mcnemar(7, 7) == 1.0
    assert mid_p_mcnemar(0, fewest_rows_that_differ()) <= 0.05
    assert mid_p_mcnemar(0, fewest_rows_that_differ() - 1) > 0.05


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


def test_two_metrics_that_are_equal_are_told_apart_one_time_in_twenty() -> None:
    p_values = []
    for seed in range(200):
        first, second = entities(150, 0.8, seed), entities(150, 0.8, seed + 5_000)
        p_values.append(randomization(first, second))
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_a_metric_that_is_better_is_found_with_an_interval_that_says_so() -> None:
    first, second = entities(400, 0.6, 1), entities(400, 0.8, 1)
    interval = ratio_difference(first, second, bounded=True)
    assert interval is not None
    difference = ratio(*second.T) - ratio(*first.T)
    assert 0 < interval.low < difference < interval.high
    assert randomization(first, second) < 0.001
    assert randomization(second, first) == randomization(first, second)
    gains = ratio_gains(first, second)
    assert gains.sum() > 0
    needed = ratio_rows_needed(coefficient_of_variation(gains))
    assert needed is not None
    assert 1 <= needed < 400


def test_rows_without_a_weight_have_the_metric_0_and_no_difference_to_find() -> None:
    nothing = np.zeros((5, 2))
    assert ratio(*nothing.T) == 0.0
    assert randomization(nothing, nothing) == 1.0
    assert ratio_rows_needed(coefficient_of_variation(ratio_gains(nothing, nothing))) is None
