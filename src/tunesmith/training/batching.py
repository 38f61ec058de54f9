"""Which rows train together: batches of similar length that hold every label in its share."""

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
    `batch_size` given, batches have little padding: rows are shuffled, sorted within windows of 50
    batches, and the batches shuffled again, so that lengths carry no order. Rows that fill no batch
    are drawn before anything is sorted, and come last.

    Rows are sorted by how long they are among those of their stratum in the window (0 the
    shortest, 1 the longest), so that each batch holds every stratum in its share. Where strata are
    as long as each other that is nearly the order of lengths. Where they aren't, batches by length
    alone would each hold a few strata, which makes training unstable (docs/speed.md); these then
    cost padding. So do strata of few rows: of one row each, they are only shuffled.
    """

    WINDOW = 50

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        seed: int,
        epoch: Callable[[], int],
        batch_size: int | None,
        strata: Sequence[int] | None = None,
    ) -> None:
        """`strata` numbers the group of each row, such as its label; None: all are of one."""
        self.lengths = lengths
        self.seed = seed
        self.epoch = epoch
        self.batch_size = batch_size
        self.strata = strata

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch())
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.batch_size is None:
            return iter(order)
        whole = len(order) - len(order) % self.batch_size
        batches: list[list[int]] = []
        for start in range(0, whole, self.batch_size * self.WINDOW):
            end = min(start + self.batch_size * self.WINDOW, whole)
            batches += self._batches(order[start:end], self.batch_size, generator)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        last = self._by_length(order[whole:])
        return iter([row for number in shuffled for row in batches[number]] + last)

    def _batches(
        self, window: Sequence[int], batch_size: int, generator: torch.Generator
    ) -> Iterator[list[int]]:
        """The rows of a window as whole batches, the ones with the shorter texts first."""
        places: list[tuple[float, int]] = []
        for rows in self._strata_of(window):
            offset = float(torch.rand(1, generator=generator, dtype=torch.float64))
            ranked = enumerate(self._by_length(rows))
            places += [((rank + offset) / len(rows), row) for rank, row in ranked]
        rows = [row for _, row in sorted(places, key=lambda place: place[0])]
        for first in range(0, len(rows), batch_size):
            # By length, so that processes that take every second row get texts of the same length.
            yield self._by_length(rows[first : first + batch_size])

    def _strata_of(self, window: Sequence[int]) -> list[list[int]]:
        """The rows of a window by stratum."""
        if self.strata is None:
            return [list(window)]
        found: dict[int, list[int]] = {}
        for row in window:
            found.setdefault(self.strata[row], []).append(row)
        return list(found.values())

    def _by_length(self, rows: Sequence[int]) -> list[int]:
        return sorted(rows, key=self.lengths.__getitem__)


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
