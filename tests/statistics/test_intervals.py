"""Intervals hold the truth as often as they say, with few rows too, and never collapse."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks import coverage
from scipy.stats import binom, binomtest

from tunesmith.statistics.intervals import (
    interval_of,
    ratio_difference,
    share_difference,
    wilson,
)

SIZES = [1, 2, 3, 5, 10, 20, 50, 200]
Floats = npt.NDArray[np.float64]


@pytest.mark.parametrize("rows", SIZES)
def test_an_interval_of_a_share_covers_whatever_the_share(rows: int) -> None:
    # The coverage itself, summed over all that can happen.
    intervals = [wilson(right, rows) for right in range(rows + 1)]
    ends = np.array([(found.low, found.high) for found in intervals])
    shares = np.linspace(0.001, 0.999, 999)
    chances = binom.pmf(np.arange(rows + 1)[:, None], rows, shares[None, :])
    held = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])
    found = (chances * held).sum(axis=0)
    assert found.min() >= 0.91
    assert 0.945 <= found.mean() <= 0.98 or rows < 3


def test_wilsons_interval_is_scipys_but_where_few_answers_are_of_the_rarer_kind() -> None:
    for right, rows in [(0, 20), (4, 29), (19, 40), (81, 263), (20, 20), (60, 64)]:
        expected = binomtest(right, rows).proportion_ci(0.95, method="wilson")
        found = wilson(right, rows)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    # One mistake among 5: Brown, Cai and DasGupta's end, 1 + log(0.95) / 5.
    assert wilson(4, 5).high == pytest.approx(1 + np.log(0.95) / 5)
    assert wilson(1, 5).low == pytest.approx(-np.log(0.95) / 5)


@pytest.mark.parametrize("rows", [2, 3, 5, 50])
def test_rows_that_are_all_right_leave_room_for_mistakes(rows: int) -> None:
    weights = np.full(rows, 4.0)
    found = interval_of(weights, weights, bounded=True).interval
    assert found is not None
    assert found.high == 1.0
    assert found.low <= wilson(rows, rows).low + 1e-9
    assert found.low < (0.6 if rows <= 5 else 0.95)
    nothing = interval_of(0 * weights, weights, bounded=True).interval
    assert nothing is not None
    assert nothing.low == 0.0
    assert nothing.high == pytest.approx(1 - found.low)


def test_where_no_interval_is_honest_there_is_none_and_it_says_why() -> None:
    one = np.array([2.0, 0.0, 0.0])
    found = interval_of(one, one, bounded=True)
    assert found.interval is None
    assert found.reason == "fewer than 2 held-out rows count for it"
    spread = np.array([1.0, 2.0, 0.5, 0.5])
    assert interval_of(spread / 2, spread, bounded=False).reason == "fewer than 5 held-out rows"
    same = np.array([4.0, 0.25, 0.25, 0.25, 0.25])  # all but one are the same number
    same[0] = 4.0
    assert interval_of(same / 2, same, bounded=False).interval is None
    spread = np.array([1.0, 2.0, 0.5, 0.5, 3.0])
    assert interval_of(spread, spread, bounded=False).interval is None  # no error at all


@pytest.mark.parametrize(
    ("case", "least"),
    [(case, 0.93 if case.metric != "r2" else 0.92) for case in coverage.cases()],
    ids=lambda one: one.name if isinstance(one, coverage.Case) else "",
)
def test_an_interval_holds_the_true_score_about_as_often_as_it_says(
    case: coverage.Case, least: float
) -> None:
    truth = case.truth()
    for rows in (5, 20):
        found = coverage.coverage(case, rows, 100, truth)
        assert found["coverage"] >= least - 0.06, rows  # 100 draws: two standard errors are 0.05
        assert found["refused"] <= (0.3 if "few" in case.name or "stars" in case.name else 0.02)
        assert found["width"] > 0


@pytest.mark.parametrize("kind", ["share", "f1", "r2"])
@pytest.mark.parametrize("rows", [5, 20, 200])
def test_the_interval_of_a_difference_covers(kind: str, rows: int) -> None:
    found = coverage.paired(kind, rows, 200)
    assert found["coverage"] >= 0.90
    assert found["refused"] <= 0.02


def test_answers_that_never_differ_are_not_called_equal_for_sure() -> None:
    found = share_difference(0, 0, 100)
    assert found.low < 0 < found.high
    same = np.full((20, 2), 2.0)
    ratio = ratio_difference(same, same, bounded=True)
    assert ratio is not None
    assert ratio.low < 0 < ratio.high
    assert ratio_difference(same, same, bounded=False) is None


def test_a_share_of_right_rows_is_a_ratio_like_others() -> None:
    right = (np.arange(1000) < 800).astype(np.float64)
    found, known = interval_of(right, np.ones(1000), bounded=True).interval, wilson(800, 1000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.003)


def test_the_table_of_the_page_is_made_of_the_figures_and_they_hold() -> None:
    figures = json.loads(coverage.FIGURES.read_text(encoding="utf-8"))
    assert coverage.table(figures) in coverage.PAGE.read_text(encoding="utf-8")
    assert {each["metric"] for each in figures["scores"]} == {"share", "f1", "r2"}
    for each in figures["scores"]:
        for found in each["rows"].values():
            assert found["coverage"] >= 0.90, each
    assert coverage.table_of_groups(figures) in coverage.PAGE.read_text(encoding="utf-8")
    for each in figures["groups"]:
        for found in each["authors"].values():
            assert found["coverage"] >= 0.90, each
