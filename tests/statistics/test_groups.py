"""Rows that go together: intervals and tests over groups hold what those over rows promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tunesmith.schemas.enums import ExperimentStatus, Verdict
from tunesmith.statistics.answers import JudgedRows
from tunesmith.statistics.comparison import GROUP_TEST, TEST, compare
from tunesmith.statistics.intervals import (
    Floats,
    Groups,
    by_group,
    group_numbers,
    interval_of,
    ratio_difference,
    wilson,
)
from tunesmith.store.entities.experiments import Experiment

AUTHORS, TEXTS = 30, 20


def of_authors(random: np.random.Generator, share: float, alike: float) -> tuple[Floats, Groups]:
    """Whether each text of some authors is told rightly: of each author another share is."""
    shares = random.beta(alike * share, alike * (1 - share), AUTHORS)
    counts = random.integers(1, 2 * TEXTS, AUTHORS)
    groups = np.repeat(np.arange(AUTHORS), counts)
    return (random.random(len(groups)) < shares[groups]).astype(float), groups


def test_rows_without_a_group_stand_alone() -> None:
    assert group_numbers(["a", "", "b", "a", ""]).tolist() == [0, 1, 2, 0, 3]
    parts = np.array([[1.0, 1], [0, 1], [1, 1], [1, 1]])
    assert by_group(parts, np.array([0, 1, 0, 2])).tolist() == [[2, 2], [0, 1], [1, 1]]


@pytest.mark.parametrize("bounded", [True, False])
def test_groups_of_one_row_are_rows(bounded: bool) -> None:
    random = np.random.default_rng(0)
    weights = random.random(40)
    points = weights * random.random(40)
    alone = interval_of(points, weights, bounded=bounded).interval
    assert alone is not None
    found = interval_of(points, weights, bounded=bounded, groups=np.arange(40)).interval
    assert found == replace(alone, groups=40)


@pytest.mark.parametrize(("share", "alike"), [(0.6, 1.5), (0.9, 1.5), (0.8, 9.0)])
def test_the_interval_holds_where_that_of_rows_is_far_too_narrow(
    share: float, alike: float
) -> None:
    random, draws = np.random.default_rng(1), 600
    held = by_rows = 0
    for _ in range(draws):
        right, groups = of_authors(random, share, alike)
        found = interval_of(right, np.ones(len(right)), bounded=True, groups=groups).interval
        assert found is not None
        assert (found.rows, found.groups) == (len(right), AUTHORS)
        held += found.low <= share <= found.high
        alone = wilson(int(right.sum()), len(right))
        by_rows += alone.low <= share <= alone.high
    assert 0.92 <= held / draws <= 0.985
    assert by_rows / draws < 0.85


def test_the_interval_of_explained_variance_holds_too() -> None:
    random, draws, truth = np.random.default_rng(2), 400, 0.8
    groups = np.repeat(np.arange(AUTHORS), TEXTS)
    held = by_rows = 0
    for _ in range(draws):
        targets = random.normal(size=len(groups))
        # All texts of an author are told too high, or too low.
        wrong = np.sqrt(0.1) * random.normal(size=AUTHORS)[groups]
        wrong += np.sqrt(0.1) * random.normal(size=len(groups))
        spread = (targets - targets.mean()) ** 2
        for numbers in (groups, None):
            found = interval_of(spread - wrong**2, spread, bounded=False, groups=numbers).interval
            assert found is not None
            held += numbers is not None and found.low <= truth <= found.high
            by_rows += numbers is None and found.low <= truth <= found.high
    assert 0.92 <= held / draws <= 0.99
    assert by_rows / draws < 0.85


def test_the_interval_of_a_difference_holds_too() -> None:
    random, draws = np.random.default_rng(3), 400
    held = 0
    for _ in range(draws):
        # Each author's texts are told better by one or the other, by none on the average.
        right, groups = of_authors(random, 0.5, 1.0)
        other = np.where(random.random(AUTHORS)[groups] < 0.5, right, 1 - right)
        first, second = (np.column_stack((each, np.ones(len(each)))) for each in (right, other))
        found = ratio_difference(first, second, bounded=True, groups=groups)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / draws <= 0.99


def test_too_few_groups_have_no_interval_and_it_is_said() -> None:
    points, weights = np.ones(50), np.ones(50)
    found = interval_of(points, weights, bounded=True, groups=np.zeros(50, dtype=np.int64))
    assert (found.interval, found.reason) == (None, "1 group of held-out rows is too few")


def experiment(right: Floats, name: str) -> Experiment:
    sides = {"evaluation": {"rows": len(right), "hash": "sha256:e"}}
    return Experiment(
        name=name, task="text-classification", model_name="m", dataset_name="d", config={},
        status=ExperimentStatus.SUCCEEDED, data={"splits": sides}, score_name="accuracy",
        score=float(right.mean()),
    )  # fmt: skip


def pair(first: Floats, second: Floats, groups: tuple[Groups | None, Groups | None]) -> Any:
    experiments = [experiment(first, "a"), experiment(second, "b")]
    answers = {
        one.id: JudgedRows(
            np.arange(len(right)), np.zeros(len(right), np.uint64), right > 0, groups=of
        )
        for one, right, of in zip(experiments, (first, second), groups, strict=True)
    }
    return compare(experiments, answers, {}).pairs[0]


def test_experiments_that_are_equal_over_authors_are_seldom_called_different() -> None:
    random, draws = np.random.default_rng(4), 150
    groups = np.repeat(np.arange(AUTHORS), TEXTS)
    alarms = by_rows = 0
    for _ in range(draws):
        # Each author's texts are told better by one or the other: by a coin.
        lean = random.choice([-0.2, 0.2], AUTHORS)[groups]
        first, second = (
            (random.random(len(groups)) < 0.7 + each).astype(float) for each in (lean, -lean)
        )
        found, alone = pair(first, second, (None, groups)), pair(first, second, (None, None))
        assert (found.test, alone.test) == (GROUP_TEST, TEST)
        alarms += found.verdict is not Verdict.NOT_DISTINGUISHABLE
        by_rows += alone.verdict is not Verdict.NOT_DISTINGUISHABLE
    assert alarms / draws <= 0.08
    assert by_rows / draws > 0.3


def test_a_difference_that_all_authors_share_is_found() -> None:
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(AUTHORS), TEXTS)
    first = (random.random(len(groups)) < 0.6).astype(float)
    second = np.maximum(first, (random.random(len(groups)) < 0.4).astype(float))
    found = pair(first, second, (groups, groups))
    assert found.verdict is Verdict.BETTER
    assert found.interval.groups == AUTHORS
    assert "approximate randomization of groups" in found.explanation
