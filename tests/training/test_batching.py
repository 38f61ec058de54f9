"""The order of an epoch: decided by seed and epoch alone, neighbours of similar length."""

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest
import torch

from tunesmith.training.batching import NO_ROW, EpochSampler, Examples, PartialBatches, Widths

_DRAW = random.Random(7)
LENGTHS = [_DRAW.randint(4, 128) for _ in range(1003)]


def order(
    *, seed: int = 42, epoch: int = 0, batch_size: int | None = 8, lengths: list[int] | None = None
) -> list[int]:
    return list(
        EpochSampler(
            LENGTHS if lengths is None else lengths,
            seed=seed,
            epoch=lambda: epoch,
            batch_size=batch_size,
        )
    )


@pytest.mark.parametrize("batch_size", [8, None], ids=["by length", "shuffled"])
def test_the_order_is_decided_by_seed_and_epoch(batch_size: int | None) -> None:
    first = order(batch_size=batch_size)
    assert order(batch_size=batch_size) == first
    assert order(batch_size=batch_size, epoch=1) != first
    assert order(batch_size=batch_size, seed=43) != first
    # The next seed's first epoch is not this seed's second one.
    assert order(batch_size=batch_size, seed=43) != order(batch_size=batch_size, epoch=1)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 400, 401, 1003])
@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_each_row_comes_exactly_once(rows: int, batch_size: int | None) -> None:
    sampler = EpochSampler(LENGTHS[:rows], seed=1, epoch=lambda: 0, batch_size=batch_size)
    assert sorted(sampler) == list(range(rows))
    assert len(sampler) == rows


def padding(rows: list[int]) -> float:
    """Share of a padded batch that is padding, over batches of 8."""
    batches = [rows[start : start + 8] for start in range(0, len(rows), 8)]
    padded = sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches)
    return 1 - sum(LENGTHS) / padded


def test_neighbours_have_similar_lengths() -> None:
    assert padding(order()) < 0.05
    assert padding(order(batch_size=None)) > 0.3


def test_lengths_carry_no_order() -> None:
    rows = order()
    means = [statistics.fmean(LENGTHS[i] for i in rows[n : n + 8]) for n in range(0, 1000, 8)]
    correlation = statistics.correlation(range(len(means)), means)
    assert abs(correlation) < 0.25


def test_whole_batches_come_before_the_rest() -> None:
    rows = order(lengths=[*range(1, 12)], batch_size=4)
    assert {frozenset(rows[:4]), frozenset(rows[4:8])} == {
        frozenset(range(4)),
        frozenset(range(4, 8)),
    }
    assert rows[8:] == [8, 9, 10]


def random_states() -> tuple[object, ...]:
    numpys = np.random.get_state(legacy=False)
    return torch.get_rng_state().tolist(), random.getstate(), repr(numpys)


def test_no_global_random_state_is_used() -> None:
    before = random_states()
    first = order()
    assert random_states() == before
    torch.manual_seed(2)
    assert order() == first


def test_the_epoch_is_asked_for_when_the_order_is_made() -> None:
    epoch = 0
    sampler = EpochSampler(LENGTHS, seed=42, epoch=lambda: epoch, batch_size=8)
    first = list(sampler)
    epoch = 1
    assert list(sampler) == order(epoch=1) != first


def test_the_largest_seed_and_a_late_epoch_have_an_order() -> None:
    assert sorted(order(seed=2**32 - 1, epoch=10_000)) == list(range(len(LENGTHS)))


def test_examples_are_a_dataset() -> None:
    examples = Examples([{"input_ids": [1]}, {"input_ids": [2, 3]}])
    assert (len(examples), examples[1]) == (2, {"input_ids": [2, 3]})


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 400, 401])
@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_each_batch_of_one_process_with_all_their_rows(
    rows: int, size: int
) -> None:
    sampler = EpochSampler(LENGTHS[:rows], seed=1, epoch=lambda: 0, batch_size=4 * size)
    whole = list(sampler)
    parts = [list(PartialBatches(sampler, 4, rank=rank, size=size)) for rank in range(size)]
    assert {len(part) for part in parts} == {len(PartialBatches(sampler, 4, rank=0, size=size))}
    for number, batches in enumerate(zip(*parts, strict=True)):
        wanted = whole[number * 4 * size : (number + 1) * 4 * size]
        taken = [row for batch in batches for row in batch if row != NO_ROW]
        assert sorted(taken) == sorted(wanted)
        assert all(1 <= len(batch) <= 4 for batch in batches)
        counts = [sum(row != NO_ROW for row in batch) for batch in batches]
        assert max(counts) - min(counts) <= 1


def test_the_row_that_stands_in_is_no_example() -> None:
    examples = Examples([{"input_ids": [1]}, {"input_ids": [2]}])
    assert examples[NO_ROW] is None
    assert examples[1] == {"input_ids": [2]}


def test_a_batch_is_as_wide_as_the_multiple_and_no_wider_than_the_model_may_read() -> None:
    widths = Widths(multiple=4, longest=30)
    assert [widths(tokens) for tokens in (1, 4, 5, 28, 29, 30)] == [4, 4, 8, 28, 30, 30]
    assert Widths(multiple=1, longest=30)(29) == 29
