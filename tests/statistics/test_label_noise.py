"""The share of wrong labels: within its interval, and none where none is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from benchmarks.label_errors import KINDS, RATES, SETS, draw

from tunesmith.statistics.label_noise import FEWEST_ROWS, estimate_noise


@pytest.mark.parametrize("name", SETS)
def test_without_a_wrong_label_none_stands_out(name: str) -> None:
    for seed in range(3):
        found = draw(name, "at random", 0.0, 500, seed)
        assert not found.noise.stands_out
        assert found.noise.high < 0.05


@pytest.mark.parametrize(("name", "kind"), [*zip(SETS, ("at random", *KINDS), strict=True)])
def test_flipped_labels_are_as_many_as_the_interval_says(name: str, kind: str) -> None:
    rounds = [draw(name, kind, 0.1, 500, seed) for seed in range(5)]  # type: ignore[arg-type]
    assert sum(found.is_held for found in rounds) >= 4
    some = [found for found in rounds if found.noise.stands_out]
    assert some
    held = 0
    for found in some:
        listed = np.flatnonzero(found.noise.chances > 0.5)
        precision = found.noise.precision(listed)
        assert precision is not None
        held += precision[1] <= found.wrong[listed].mean() <= precision[2]
    assert held >= len(some) - 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [*product(SETS, KINDS)])
def test_the_interval_holds_the_share_as_often_as_it_says(name: str, kind: str) -> None:
    held, none = 0, []
    for rate, seed in product(RATES, range(6)):
        found = draw(name, kind, rate, 500, seed)  # type: ignore[arg-type]
        held += found.is_held
        none += [not found.noise.stands_out] if not rate else []
    assert held >= 20  # of 24: fewer are 1 of 40 where 95 % is true
    assert sum(none) >= 5


def test_rows_that_go_together_say_less() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 300)
    wrong = rng.random(300) < 0.15
    logits = 4 * np.eye(2)[truth] + rng.normal(size=(300, 2))
    given = np.where(wrong, 1 - truth, truth)
    alone = estimate_noise(np.repeat(logits, 4, axis=0), np.repeat(given, 4))
    together = estimate_noise(
        np.repeat(logits, 4, axis=0), np.repeat(given, 4), np.repeat(np.arange(300), 4)
    )
    assert alone is not None
    assert together is not None
    assert together.high - together.low > alone.high - alone.low


def test_few_rows_or_one_label_are_no_estimate() -> None:
    logits = np.zeros((FEWEST_ROWS, 2))
    given = np.arange(FEWEST_ROWS) % 2
    assert estimate_noise(logits[1:], given[1:]) is None
    assert estimate_noise(logits, np.zeros_like(given)) is None
    same = estimate_noise(logits, given)
    assert same is not None
    assert not same.stands_out
