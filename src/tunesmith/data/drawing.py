"""The order in which texts are drawn, and drawing from it so that every label keeps its share.

The order is that of a hash of the seed and the text; rows that must stay together (equal texts,
groups) are drawn as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from tunesmith.data.texts import normalised
from tunesmith.loading import load
from tunesmith.messages import say

BATCH_ROWS = 100_000

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """What a split must know of the rows of a table, in their order."""

    texts: pl.Series
    """Rows whose texts are equal but for capitals, width and white space go to the same side."""
    strata: pl.Series
    """The label, or the like, whose share both sides keep."""
    groups: Sequence[str] | None = None
    """Rows of one group (an author, a document) go to the same side; "" is a row's own group."""


class Rows:
    """The rows of a table by their texts, in their order."""

    def __init__(self, drawn: Drawn, seed: int) -> None:
        self.texts: list[bytes] = []
        """16 bytes of the hash of seed and text: they stand for the text, and order the drawing."""
        begin = f"{seed}\n".encode()
        for start in range(0, len(drawn.texts), BATCH_ROWS):
            batch = normalised(drawn.texts.slice(start, BATCH_ROWS)).cast(pl.Binary).to_list()
            self.texts += [sha256(begin + text).digest()[:16] for text in batch]
        names = pl.Enum(drawn.strata.unique().sort())
        self.strata: Integers = drawn.strata.cast(names).to_physical().to_numpy().astype(np.int64)
        words = _words(self.texts)
        self.drawing: Integers = _in_order(words)
        """The rows in the drawing's order; rows that stay together in the table's order."""
        ordered = words[self.drawing]
        changes = np.any(ordered[1:] != ordered[:-1], axis=1)
        self.text_of: Integers = np.zeros(len(self.texts), dtype=np.int64)
        """For each row the number, in the drawing's order, of what stays together: the rows of a
        text, and of a group, and what has one of them in common."""
        self.text_of[self.drawing[1:]] = np.cumsum(changes)
        self.groups = drawn.groups
        if self.groups is not None:
            self._join_groups(self.groups, words, begin)

    def _join_groups(
        self, groups: Sequence[str], words: npt.NDArray[np.uint64], begin: bytes
    ) -> None:
        """Let rows of one group stay together; the group's name decides where they are drawn."""
        texts, named = self.text_of, np.array([bool(group) for group in groups], dtype=bool)
        names, numbers = np.unique(np.array(groups, dtype=object)[named], return_inverse=True)
        nodes = int(texts.max(initial=-1)) + 1
        edges = (np.ones(len(numbers)), (texts[named], nodes + numbers))
        size = nodes + len(names)
        graph = load("scipy.sparse").coo_matrix(edges, shape=(size, size))
        _, parts = load("scipy.sparse.csgraph").connected_components(graph, directed=False)
        part_of = parts[texts]
        if len(names):
            hashes = [sha256(begin + b"group\n" + name.encode()).digest()[:16] for name in names]
            words = words.copy()
            words[named] = _words(hashes)[numbers]
        order = np.lexsort((words[:, 1], words[:, 0]))
        _, first = np.unique(part_of[order], return_index=True)
        self.text_of = np.argsort(np.argsort(first))[part_of]
        self.drawing = np.argsort(self.text_of, kind="stable")

    def __len__(self) -> int:
        return len(self.texts)


def _in_order(words: npt.NDArray[np.uint64]) -> Integers:
    """The rows by their two numbers, equal ones in their own order.

    A sort by the first number alone is many times faster, and leaves few rows to be sorted.
    """
    first, second = words.T
    order = np.argsort(first)
    same = first[order[1:]] == first[order[:-1]]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same)) if len(order) else order
    rows = order[tied]
    order[tied] = rows[np.lexsort((rows, second[rows], first[rows]))]
    return order


def _words(hashes: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Hashes of 16 bytes as two numbers each.

    In the machine's own byte order, in which sorting is many times faster.
    """
    return np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.uint64).reshape(-1, 2)


def sample(
    rows: Rows,
    candidates: Integers,
    wanted: int | None,
    setting: str,
    notes: list[str],
    *,
    from_high: bool = False,
) -> Integers:
    """`wanted` of the `candidates` (all, where None), each stratum with its share, ascending."""
    if wanted is None or wanted >= len(candidates):
        if wanted is not None and wanted > len(candidates):
            notes.append(
                say(
                    "{setting} is {wanted:,}; all {n:,} rows there are are used",
                    setting=setting,
                    wanted=wanted,
                    n=len(candidates),
                )
            )
        return candidates
    allowed = np.zeros(len(rows), dtype=bool)
    allowed[candidates] = True
    drawing = rows.drawing[::-1] if from_high else rows.drawing
    drawing = drawing[allowed[drawing]]
    groups = _grouped(drawing, rows.strata[drawing])
    quotas = _allocate(wanted, [(len(group), len(group)) for group in groups])
    taken = [group[:quota] for group, quota in zip(groups, quotas, strict=True)]
    return np.sort(np.concatenate(taken))


def rows_of(rows: Rows, texts: Integers) -> Mask:
    """Which rows have one of the `texts`."""
    chosen = np.zeros(int(rows.text_of.max(initial=-1)) + 1, dtype=bool)
    chosen[texts] = True
    return np.asarray(chosen[rows.text_of])


@dataclass(frozen=True)
class _Stratum:
    """The texts of one label, and how many of its rows may be held out."""

    rows: int
    drawable: Integers
    """The texts that may be held out, in the drawing's order."""
    capacity: int
    """Rows that may be held out."""


def strata_of(rows: Rows, texts: Integers, sizes: Integers, wanted: int) -> list[_Stratum]:
    """The `texts` by stratum; `sizes` are the rows of every text.

    One text of every stratum stays for training. The strata of a single text can't stand on both
    sides: they are drawn from as one, and never beyond their share of `wanted`, so that a label
    with one row is normally trained on, while data in which every row has a label of its own
    (many labels in combination) can still be split.
    """
    groups = _grouped(texts, commonest_stratum(rows)[texts])
    several = [group for group in groups if len(group) > 1]
    single = np.array(sorted(int(group[0]) for group in groups if len(group) == 1), np.int64)
    strata = []
    for group in several or [single]:
        count = int(sizes[group].sum())
        strata.append(_Stratum(count, group[:-1], count - int(sizes[group[-1]])))
    if several and len(single):
        count = int(sizes[single].sum())
        strata.append(_Stratum(count, single, wanted * count // int(sizes[texts].sum())))
    return strata


def commonest_stratum(rows: Rows) -> Integers:
    """Each text's stratum: the commonest among its rows, the first by name where two are."""
    strata = int(rows.strata.max()) + 1
    pairs, counts = np.unique(rows.text_of * strata + rows.strata, return_counts=True)
    texts, names = np.divmod(pairs, strata)
    best = np.lexsort((names, -counts, texts))
    _, first = np.unique(texts[best], return_index=True)
    return np.asarray(names[best[first]])


def _grouped(items: Integers, group_of: Integers) -> list[Integers]:
    """`items` by the number of their group, each group in the order of `items`."""
    order = np.argsort(group_of, kind="stable")
    bounds = np.flatnonzero(np.diff(group_of[order])) + 1
    return np.split(items[order], bounds)


def draw(strata: Sequence[_Stratum], sizes: Integers, wanted: int) -> Integers:
    """Texts with `wanted` rows, or as near below as whole texts allow; at least one text."""
    quotas = _allocate(wanted, [(stratum.rows, stratum.capacity) for stratum in strata])
    taken: list[int] = []
    for stratum, quota in zip(strata, quotas, strict=True):
        taken += _fill(stratum.drawable, sizes, quota)
    short = wanted - int(sizes[taken].sum())
    if short:
        # A text of several rows may not have fitted what its own label had left to take.
        is_left = np.zeros(len(sizes), dtype=bool)
        for stratum in strata:
            is_left[stratum.drawable] = stratum.capacity > 0
        is_left[taken] = False
        left = np.flatnonzero(is_left)
        taken += _fill(left, sizes, short) or ([] if taken else [left[np.argmin(sizes[left])]])
    return np.array(taken, dtype=np.int64)


def _fill(texts: Integers, sizes: Integers, room: int) -> list[int]:
    """The first of `texts` that together fill `room` rows, passing over those too large for it."""
    filled = np.cumsum(sizes[texts])
    whole = int(np.searchsorted(filled, room, side="right"))
    taken: list[int] = texts[:whole].tolist()
    room -= int(filled[whole - 1]) if whole else 0
    for text in texts[whole:].tolist():
        if not room:
            break
        if sizes[text] <= room:
            taken.append(text)
            room -= int(sizes[text])
    return taken


def _allocate(total: int, strata: Sequence[tuple[int, int]]) -> list[int]:
    """`total` shared out by size, by largest remainder (Hamilton), no share over its capacity.

    `strata` are (size, capacity) pairs. What a full stratum can't take goes to the others.
    """
    quotas = [0] * len(strata)
    unfilled = {number for number, (size, _) in enumerate(strata) if size}
    rest = min(total, sum(capacity for _, capacity in strata))
    while rest and unfilled:
        weight = sum(strata[number][0] for number in unfilled)
        shares = {number: divmod(rest * strata[number][0], weight) for number in unfilled}
        full = {number for number in unfilled if shares[number][0] >= strata[number][1]}
        for number in full:
            quotas[number] = strata[number][1]
        if not full:
            for number, (share, _) in shares.items():
                quotas[number] = share
            by_remainder = sorted(shares, key=lambda number: (-shares[number][1], number))
            for number in by_remainder[: rest - sum(share for share, _ in shares.values())]:
                quotas[number] += 1
            break
        rest -= sum(quotas[number] for number in full)
        unfilled -= full
    return quotas
