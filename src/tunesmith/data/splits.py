"""Training and evaluation rows: repeatable, stratified, with no text on both sides.

Which side a text goes to is decided by the order of a hash of the seed and the text. So the order
of the rows doesn't matter, and rows added later move few others. Evaluation takes texts from the
low end of that order and training from the high end: asking for more evaluation rows doesn't
change which training rows a sample takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from tunesmith.data.texts import normalised
from tunesmith.errors import DataError
from tunesmith.loading import load
from tunesmith.messages import say, say_plural

BATCH_ROWS = 100_000

_Integers = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Splits:
    """The two sides, as indices of rows in their tables, ascending."""

    train: _Integers
    evaluation: _Integers
    overlap: int
    """Texts that stand on both sides; 0 unless the evaluation rows came as a table of their own."""
    notes: tuple[str, ...] = ()
    """Where less was there than was asked for: one sentence each, for people."""


@dataclass(frozen=True)
class Drawn:
    """What a split must know of the rows of a table, in their order."""

    texts: pl.Series
    """Rows whose texts are equal but for capitals, width and white space go to the same side."""
    strata: Iterable[str]
    """The label, or the like, whose share both sides keep."""
    groups: Sequence[str] | None = None
    """Rows of one group (an author, a document) go to the same side; "" is a row's own group."""


def make_splits(
    train: Drawn,
    evaluation: Drawn | None,
    *,
    train_samples: int | None,
    eval_samples: int | None,
    eval_fraction: float,
    seed: int,
    leaking: Callable[[_Mask], _Mask] | None = None,
) -> Splits:
    """Choose the rows to train on and to evaluate on.

    Without `evaluation`, `eval_samples` rows are held out, or `eval_fraction` of all; with it,
    `eval_samples` of its rows are taken, or all. `train_samples` of the remaining rows are trained
    on, or all. `leaking` gets the rows held out, and says which rows must then not be trained on.
    Asking for more than there is takes what there is, with a note.

    Raises DataError when there are too few different texts for two sides.
    """
    rows = _Rows(train, seed)
    notes: list[str] = []
    if evaluation is None:
        held_out = _hold_out(rows, eval_samples, eval_fraction, notes)
        barred = leaking(held_out) if leaking is not None else np.zeros(len(rows), dtype=bool)
        rest = np.flatnonzero(~held_out & ~barred)
        if not len(rest):
            raise DataError(
                "every row that is not held out is nearly a held-out one, so there is "
                "nothing to train on; data.validation_rules.near_leakage: warn lets such "
                "rows be trained on"
            )
        chosen = _sample(rows, rest, train_samples, "train_samples", notes, from_high=True)
        return Splits(chosen, np.flatnonzero(held_out), 0, tuple(notes))
    others = _Rows(evaluation, seed)
    if not len(rows) or not len(others):
        raise DataError(
            "there is no row for {kind}", kind=say("evaluation") if len(rows) else say("training")
        )
    every = _apart(rows, others, notes)
    chosen = _sample(rows, every, train_samples, "train_samples", notes, from_high=True)
    asked = _sample(others, np.arange(len(others)), eval_samples, "eval_samples", notes)
    overlap = {rows.texts[index] for index in chosen} & {others.texts[index] for index in asked}
    return Splits(chosen, asked, len(overlap), tuple(notes))


def drawable(drawn: Drawn, train: int, evaluation: int, seed: int) -> _Integers:
    """The rows that `make_splits` takes first for `train` and `evaluation` rows, ascending."""
    rows, notes = _Rows(drawn, seed), list[str]()
    every = np.arange(len(rows))
    chosen = _sample(rows, every, train, "train_samples", notes, from_high=True)
    return np.union1d(chosen, _sample(rows, every, evaluation, "eval_samples", notes))


def _apart(rows: _Rows, others: _Rows, notes: list[str]) -> _Integers:
    """The rows whose group is not among the `others`, which judge.

    Raises DataError where there are none.
    """
    judging = {group for group in others.groups or () if group}
    kept = np.array([group not in judging for group in rows.groups or ()] or [True] * len(rows))
    if not kept.any():
        raise DataError("every group of data.group_column judges, so there is nothing to train on")
    if not kept.all():
        notes.append(
            say_plural(
                "{n:,} row is not trained on: its group (data.group_column) judges",
                "{n:,} rows are not trained on: their groups (data.group_column) judge",
                n=int((~kept).sum()),
            )
        )
    return np.flatnonzero(kept)


class _Rows:
    """The rows of a table by their texts, in their order."""

    def __init__(self, drawn: Drawn, seed: int) -> None:
        self.texts: list[bytes] = []
        """16 bytes of the hash of seed and text: they stand for the text, and order the drawing."""
        begin = f"{seed}\n".encode()
        for start in range(0, len(drawn.texts), BATCH_ROWS):
            batch = normalised(drawn.texts.slice(start, BATCH_ROWS)).cast(pl.Binary).to_list()
            self.texts += [sha256(begin + text).digest()[:16] for text in batch]
        strata = list(drawn.strata)
        numbers = {name: number for number, name in enumerate(sorted(set(strata)))}
        self.strata: _Integers = np.array([numbers[name] for name in strata], dtype=np.int64)
        words = _words(self.texts)
        self.drawing: _Integers = _in_order(words)
        """The rows in the drawing's order; rows that stay together in the table's order."""
        ordered = words[self.drawing]
        changes = np.any(ordered[1:] != ordered[:-1], axis=1)
        self.text_of: _Integers = np.zeros(len(self.texts), dtype=np.int64)
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


def _in_order(words: npt.NDArray[np.uint64]) -> _Integers:
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


# -- holding out ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stratum:
    """The texts of one label, and how many of its rows may be held out."""

    rows: int
    drawable: _Integers
    """The texts that may be held out, in the drawing's order."""
    capacity: int
    """Rows that may be held out."""


def _hold_out(
    rows: _Rows, eval_samples: int | None, eval_fraction: float, notes: list[str]
) -> _Mask:
    """Which rows are for evaluation: every text's rows are all in or all out."""
    total = len(rows)
    sizes = np.bincount(rows.text_of)
    if len(sizes) < 2 and len({*rows.texts}) > 1:
        raise DataError("data.group_column has a single group, which can't stand on two sides")
    if len(sizes) < 2:
        raise DataError(
            "the data has too few rows to train on some and evaluate on others: "
            "{rows:,}, with {n} different texts; at least two different texts are "
            "needed",
            rows=total,
            n=len(sizes),
        )
    wanted = max(1, round(total * eval_fraction)) if eval_samples is None else eval_samples
    if eval_samples is not None and eval_samples >= total:
        wanted = max(1, round(total * eval_fraction))
        notes.append(
            say(
                "eval_samples is {n:,}, and there are {total:,} rows for training and "
                "evaluation together; {wanted:,} were held out",
                n=eval_samples,
                total=total,
                wanted=wanted,
            )
        )
    texts = _draw(_strata(rows, sizes, wanted), sizes, wanted)
    found = int(sizes[texts].sum())
    if found < wanted and wanted == eval_samples:
        notes.append(
            say(
                "{n:,} rows were held out for evaluation, not {wanted:,}: rows with the "
                "same text or group stay together, and every label keeps a text to train on",
                n=found,
                wanted=wanted,
            )
        )
    held_out = np.zeros(len(sizes), dtype=bool)
    held_out[texts] = True
    return np.asarray(held_out[rows.text_of])


def _strata(rows: _Rows, sizes: _Integers, wanted: int) -> list[_Stratum]:
    """The texts by stratum; `sizes` are the rows of each text.

    One text of every stratum stays for training. The strata of a single text can't stand on both
    sides: they are drawn from as one, and never beyond their share of `wanted`, so that a label
    with one row is normally trained on, while data in which every row has a label of its own
    (many labels in combination) can still be split.
    """
    groups = _grouped(np.arange(len(sizes)), _commonest_stratum(rows))
    several = [texts for texts in groups if len(texts) > 1]
    single = np.array(sorted(int(texts[0]) for texts in groups if len(texts) == 1), np.int64)
    strata = []
    for texts in several or [single]:
        count = int(sizes[texts].sum())
        strata.append(_Stratum(count, texts[:-1], count - int(sizes[texts[-1]])))
    if several and len(single):
        count = int(sizes[single].sum())
        strata.append(_Stratum(count, single, wanted * count // len(rows)))
    return strata


def _commonest_stratum(rows: _Rows) -> _Integers:
    """Each text's stratum: the commonest among its rows, the first by name where two are."""
    strata = int(rows.strata.max()) + 1
    pairs, counts = np.unique(rows.text_of * strata + rows.strata, return_counts=True)
    texts, names = np.divmod(pairs, strata)
    best = np.lexsort((names, -counts, texts))
    _, first = np.unique(texts[best], return_index=True)
    return np.asarray(names[best[first]])


def _grouped(items: _Integers, group_of: _Integers) -> list[_Integers]:
    """`items` by the number of their group, each group in the order of `items`."""
    order = np.argsort(group_of, kind="stable")
    bounds = np.flatnonzero(np.diff(group_of[order])) + 1
    return np.split(items[order], bounds)


def _draw(strata: Sequence[_Stratum], sizes: _Integers, wanted: int) -> _Integers:
    """Texts with `wanted` rows, or as near below as whole texts allow; at least one text."""
    quotas = _allocate(wanted, [(stratum.rows, stratum.capacity) for stratum in strata])
    taken: list[int] = []
    for stratum, quota in zip(strata, quotas, strict=True):
        taken += _fill(stratum.drawable, sizes, quota)
    short = wanted - int(sizes[taken].sum())
    if short:
        # A text of several rows may not have fitted what its own label had left to take.
        drawable = np.concatenate([stratum.drawable for stratum in strata if stratum.capacity])
        left = np.setdiff1d(drawable, taken)
        taken += _fill(left, sizes, short) or ([] if taken else [left[np.argmin(sizes[left])]])
    return np.array(taken, dtype=np.int64)


def _fill(texts: _Integers, sizes: _Integers, room: int) -> list[int]:
    """The first of `texts` that together fill `room` rows, passing over those too large for it."""
    taken = []
    for text in texts:
        if not room:
            break
        if sizes[text] <= room:
            taken.append(int(text))
            room -= int(sizes[text])
    return taken


# -- sampling ---------------------------------------------------------------------------------


def _sample(
    rows: _Rows,
    candidates: _Integers,
    wanted: int | None,
    setting: str,
    notes: list[str],
    *,
    from_high: bool = False,
) -> _Integers:
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
