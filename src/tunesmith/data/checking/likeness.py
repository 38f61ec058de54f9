"""Which rows of a dataset have the same text, or nearly: duplicates, contradictions, leakage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from tunesmith.data.checking.duplicates import Integers, Pairs, near_pairs, numbered, row_hashes
from tunesmith.data.texts import normalised
from tunesmith.loading import load

Mask = npt.NDArray[np.bool_]

BATCH_ROWS = 100_000
NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class Likeness:
    """The rows of every split, numbered by their text: equal texts have equal numbers.

    Texts are equal when they differ in capitals, width and white space only.
    """

    numbers: Mapping[str, Integers]
    """Split → the number of each row's text."""
    pairs: Pairs
    """Numbers of nearly equal texts."""

    def keep(self, alive: Mapping[str, Mask]) -> Likeness:
        """The same for the rows of each split that `alive` keeps."""
        kept = {split: numbers[alive[split]] for split, numbers in self.numbers.items()}
        return Likeness(kept, self.pairs)

    def near(self, numbers: Integers, others: Integers) -> Mask:
        """Which of `numbers` are nearly, and not equally, the text of one of `others`.

        Nearly equal is also what only texts between them connect.
        """
        groups = self._groups
        alike = np.isin(groups[numbers], groups[others])
        return np.asarray(alike & ~np.isin(numbers, others))

    @cached_property
    def _groups(self) -> Integers:
        """The group of each number: texts that pairs connect, over other texts too."""
        numbers = [own.max(initial=-1) for own in self.numbers.values()]
        size = int(max([*numbers, self.pairs.second.max(initial=-1)])) + 1
        links = (np.ones(len(self.pairs.first)), (self.pairs.first, self.pairs.second))
        graph = load("scipy.sparse").coo_array(links, shape=(size, size))
        components = load("scipy.sparse.csgraph").connected_components
        _, groups = components(graph, directed=False)
        return np.asarray(groups, dtype=np.int64)

    def repeated(self, split: str) -> tuple[Integers, Integers]:
        """Indices of the rows of `split` whose text an earlier row has, and the first such rows."""
        _, first, number = np.unique(self.numbers[split], return_index=True, return_inverse=True)
        return _again(first[number])

    def nearest_earlier(self, split: str) -> dict[int, tuple[float, int]]:
        """Row of `split` with nearly the text of an earlier row there → how nearly, and that row.

        Rows are indices. Of rows with equal texts only the first counts.
        """
        here, first = np.unique(self.numbers[split], return_index=True)
        place = dict(zip(here.tolist(), first.tolist(), strict=True))
        best: dict[int, tuple[float, int]] = {}
        columns = (self.pairs.first, self.pairs.second, self.pairs.similarity)
        for one, other, similarity in zip(*(column.tolist() for column in columns), strict=True):
            if one in place and other in place:
                earlier, later = sorted((place[one], place[other]))
                best[later] = max(best.get(later, (0.0, 0)), (similarity, earlier))
        return best


def compare(texts: Mapping[str, pl.Series], similarity: float | None) -> Likeness:
    """The likeness of the rows of every split; without `similarity` only of equal texts.

    Texts of which at least `similarity` (0 to 1) of the words are common are nearly equal.
    """
    lengths = [len(series) for series in texts.values()]
    every = pl.concat(texts.values())
    numbers, first = numbered(_hashes(every))
    pairs = near_pairs(every.gather(first), similarity) if similarity is not None else NO_PAIRS
    parts = np.split(numbers, np.cumsum(lengths)[:-1])
    return Likeness(dict(zip(texts, parts, strict=True)), pairs)


def _hashes(texts: pl.Series) -> pl.DataFrame:
    """`row_hashes` of the normalised texts, of which only a batch is in memory at once."""
    parts = [row_hashes(pl.DataFrame({"text": pl.Series([], dtype=pl.String)}))]
    for start in range(0, len(texts), BATCH_ROWS):
        batch = normalised(texts.slice(start, BATCH_ROWS))
        parts.append(row_hashes(pl.DataFrame({"text": batch})))
    return pl.concat(parts)


def repeats(columns: Sequence[pl.Series]) -> tuple[Integers, Integers]:
    """Indices of the rows whose values an earlier row has, and the first row that has them."""
    values = pl.DataFrame([column.alias(f"{n}") for n, column in enumerate(columns)])
    numbers, first = numbered(row_hashes(values))
    return _again(first[numbers])


def _again(earliest: Integers) -> tuple[Integers, Integers]:
    """The rows that aren't their own `earliest`, and these."""
    again = np.flatnonzero(earliest != np.arange(len(earliest)))
    return again, earliest[again]
