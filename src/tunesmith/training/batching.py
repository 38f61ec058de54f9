"""Which rows train together: batches of similar length, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from tunesmith.tasks.base import Example


class Examples(Dataset[Example]):
    """Encoded rows as a dataset."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


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
