"""Which rows train together: batches of similar length, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import BatchSampler, Dataset, Sampler

from tunesmith.tasks.base import Example

NO_ROW = -1
"""Stands in a batch for the row that a process does not get of a short last batch."""


class Examples(Dataset[Example | None]):
    """Encoded rows as a dataset; None is at `NO_ROW`."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example | None:
        return None if index == NO_ROW else self.examples[index]


@dataclass(frozen=True)
class Widths:
    """How many tokens wide a batch is."""

    multiple: int
    longest: int
    """The most tokens that a text may have: the model may not know more places."""

    def __call__(self, tokens: int) -> int:
        """The width of a batch whose longest text has `tokens`."""
        return max(tokens, min(-(-tokens // self.multiple) * self.multiple, self.longest))


class EpochSampler(Sampler[int]):
    """The order of one epoch, decided by seed and epoch alone.

    No global random state is used, so that a resumed training meets the same batches. With
    `batch_size` given, neighbours have similar lengths: rows are shuffled, sorted by length within
    windows of 50 batches, and the batches shuffled again, so that lengths carry no order.
    """

    WINDOW = 50

    def __init__(
        self, lengths: Sequence[int], *, seed: int, epoch: Callable[[], int], batch_size: int | None
    ) -> None:
        self.lengths = lengths
        self.seed = seed
        self.epoch = epoch
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch())
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.batch_size is None:
            return iter(order)
        window = self.batch_size * self.WINDOW
        full: list[list[int]] = []
        rest: list[int] = []
        for start in range(0, len(order), window):
            rows = sorted(order[start : start + window], key=self.lengths.__getitem__)
            for first in range(0, len(rows), self.batch_size):
                batch = rows[first : first + self.batch_size]
                full.append(batch) if len(batch) == self.batch_size else rest.extend(batch)
        shuffled = torch.randperm(len(full), generator=generator).tolist()
        return iter([row for number in shuffled for row in full[number]] + rest)


class PartialBatches(Sampler[list[int]]):
    """The part that one process takes of every batch, when `size` processes train together.

    A batch of all of them is what one process would take with `size` times the rows; neighbours in
    it go to different processes, so that all have about the same length. In the last batch of an
    epoch some may get fewer rows; one that gets none is given `[NO_ROW]`, because all must step.
    """

    def __init__(self, order: Sampler[int], rows: int, *, rank: int, size: int) -> None:
        self.whole = BatchSampler(order, batch_size=rows * size, drop_last=False)
        self.rank = rank
        self.size = size

    def __len__(self) -> int:
        return len(self.whole)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.whole:
            yield batch[self.rank :: self.size] or [NO_ROW]
