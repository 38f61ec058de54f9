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
    *,
    seed: int = 42,
    epoch: int = 0,
    batch_size: int | None = 8,
    lengths: list[int] | None = None,
    strata: list[int] | None = None,
) -> list[int]:
    return list(
        EpochSampler(
            LENGTHS if lengths is None else lengths,
            seed=seed,
            epoch=lambda: epoch,
            batch_size=batch_size,
            strata=strata,
        )
    )


SHARES = (0.5, 0.2, 0.2, 0.1)
"""Of the four labels of `labelled`."""


def labelled(rows: int, *, follow: bool) -> tuple[list[int], list[int]]:
    """Lengths and labels of `rows` rows; where labels `follow` it, each has lengths of its own."""
    chance = random.Random(3)
    labels = [chance.choices(range(4), SHARES)[0] for _ in range(rows)]
    if follow:
        return [20 + 25 * label + chance.randint(0, 10) for label in labels], labels
    return [chance.randint(4, 128) for _ in labels], labels


def in_batches(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def padded(rows: list[int], size: int, lengths: list[int]) -> float:
    """Tokens computed for each token of a text."""
    computed = sum(max(lengths[i] for i in b) * len(b) for b in in_batches(rows, size))
    return computed / sum(lengths)


@pytest.mark.parametrize("batch_size", [8, None], ids=["by length", "shuffled"])
def test_the_order_is_decided_by_seed_and_epoch(batch_size: int | None) -> None:
    first = order(batch_size=batch_size)
    assert order(batch_size=batch_size) == first
    strata = [length % 3 for length in LENGTHS]
    mixed = order(batch_size=batch_size, strata=strata)
    assert order(batch_size=batch_size, strata=strata) == mixed
    assert order(batch_size=batch_size, strata=strata, epoch=1) != mixed
    assert order(batch_size=batch_size, epoch=1) != first
    assert order(batch_size=batch_size, seed=43) != first
    # The next seed's first epoch is not this seed's second one.
    assert order(batch_size=batch_size, seed=43) != order(batch_size=batch_size, epoch=1)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 400, 401, 1003])
@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_each_row_comes_exactly_once(rows: int, batch_size: int | None) -> None:
    for strata in (None, [length % 5 for length in LENGTHS], list(range(len(LENGTHS)))):
        sampler = EpochSampler(
            LENGTHS[:rows], seed=1, epoch=lambda: 0, batch_size=batch_size, strata=strata
        )
        assert sorted(sampler) == list(range(rows))
        assert len(sampler) == rows


def test_neighbours_have_similar_lengths() -> None:
    assert padded(order(), 8, LENGTHS) < 1.05
    assert padded(order(batch_size=None), 8, LENGTHS) > 1.4


def test_lengths_carry_no_order() -> None:
    rows = order()
    means = [statistics.fmean(LENGTHS[i] for i in rows[n : n + 8]) for n in range(0, 1000, 8)]
    correlation = statistics.correlation(range(len(means)), means)
    assert abs(correlation) < 0.25


@pytest.mark.parametrize("rows", [43, 403, 1003], ids=["a batch", "a window", "three windows"])
@pytest.mark.parametrize("strata", [False, True], ids=["one stratum", "strata"])
@pytest.mark.parametrize("size", [1, 4], ids=["one process", "four processes"])
def test_the_last_rows_of_an_epoch_are_any_rows(rows: int, strata: bool, size: int) -> None:
    """Drawn before sorting: the longest of a window come last no more often than others."""
    batch_size, epochs = 8 * size, 60
    lengths = LENGTHS[:rows]
    rest = rows % batch_size
    groups = [length % 3 for length in lengths] if strata else None
    last: list[int] = []
    for epoch in range(epochs):
        found = order(lengths=lengths, epoch=epoch, batch_size=batch_size, strata=groups)
        last += found[-rest:]
    longest = set(sorted(range(rows), key=lengths.__getitem__)[-rest:])
    share = rest / rows
    deviation = (share * (1 - share) / len(last)) ** 0.5
    assert sum(row in longest for row in last) / len(last) < share + 4 * deviation
    mean = statistics.fmean(lengths[row] for row in last)
    error = statistics.stdev(lengths) / len(last) ** 0.5
    assert abs(mean - statistics.fmean(lengths)) < 4 * error


@pytest.mark.parametrize("rows", [1600, 2500])
def test_each_batch_holds_the_labels_in_their_shares_where_labels_follow_length(rows: int) -> None:
    lengths, labels = labelled(rows, follow=True)
    batches = in_batches(order(lengths=lengths, strata=labels, batch_size=32), 32)
    for batch in batches[: rows // 32]:
        for label, share in enumerate(SHARES):
            counted = sum(labels[row] == label for row in batch)
            assert abs(counted - 32 * share) <= 4, batch
    by_length = in_batches(order(lengths=lengths, batch_size=32), 32)
    alone = [len({labels[row] for row in batch}) == 1 for batch in by_length]
    assert sum(alone) > len(alone) / 2  # what is to be avoided


def test_mixing_labels_costs_padding_only_where_they_follow_length() -> None:
    for follow, most in ((False, 1.1), (True, 1.01)):
        lengths, labels = labelled(2500, follow=follow)
        shuffled = padded(order(lengths=lengths, batch_size=None), 32, lengths)
        mixed = padded(order(lengths=lengths, strata=labels, batch_size=32), 32, lengths)
        by_length = padded(order(lengths=lengths, batch_size=32), 32, lengths)
        assert mixed < most * (shuffled if follow else by_length)


@pytest.mark.parametrize("each", [1, 2, 5, 7, 20])
def test_labels_of_few_rows_are_spread_over_batches_where_they_follow_length(each: int) -> None:
    labels = [row % (1600 // each) for row in range(1600 // each * each)]
    lengths = [4 + label % 100 for label in labels]
    batches = in_batches(order(lengths=lengths, strata=labels, batch_size=32), 32)
    whole = batches[: len(labels) // 32]
    assert all(len({labels[row] for row in batch}) == 32 for batch in whole)
    means = [statistics.fmean(lengths[row] for row in batch) for batch in whole]
    assert statistics.stdev(means) < 2 * statistics.stdev(lengths) / 32**0.5  # as if shuffled


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
