"""Texts that are equal, or nearly: MinHash finds candidates, and their words decide.

Two texts are nearly equal when the sets of their words (a CJK character is a word), capitals and
punctuation aside, have a Jaccard similarity of at least the threshold: words in common
by all words of the two.
Signatures are R-MinHash (rensa); candidates share a band of a signature (locality-sensitive
hashing, Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", chapter 3); each candidate pair
is then decided by its words, so that nothing is reported that isn't so. One pair in ten just at the
threshold may be missed, a pair well above it hardly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import rensa

from tunesmith.data.texts import normalised

Integers = npt.NDArray[np.int64]
Signatures = npt.NDArray[np.uint16]

WORDS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"
PERMUTATIONS = 64
RECALL = 0.9
"""Share of the pairs just at the threshold that share a band, at least."""
SEED = 42
BATCH_ROWS = 25_000
PAIRS = 200_000
MARGIN = 0.15
"""How far below the threshold a signature's estimate may be for the words to be compared: two to
three standard errors of an estimate from 64 values."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of nearly equal texts, as their numbers: `first` < `second`, sorted by `second`."""

    first: Integers
    second: Integers
    similarity: npt.NDArray[np.float64]


def row_hashes(values: pl.DataFrame) -> pl.DataFrame:
    """128 bits of a hash of each row's values, by which rows are compared in little memory."""
    return pl.DataFrame({"one": values.hash_rows(seed=1), "two": values.hash_rows(seed=2)})


def numbered(hashes: pl.DataFrame) -> tuple[Integers, Integers]:
    """Each row as a number, equal for equal `row_hashes`; and the first row of each number.

    Numbers count from 0 in the order of first rows.
    """
    rows = hashes.with_row_index("row")
    earliest = rows.select(pl.col("row").min().over("one", "two")).to_series().to_numpy()
    first = np.flatnonzero(earliest == np.arange(len(earliest)))
    return np.searchsorted(first, earliest), first


def near_pairs(texts: pl.Series, similarity: float) -> Pairs:
    """Pairs of texts whose words are at least `similarity` alike; `texts` are all different.

    A text is paired with the first of its likes, and with the nearest before it: a group of n alike
    texts gives about n pairs, not n².
    """
    candidates = _candidates(_signatures(texts), similarity)
    alike = _jaccard(texts, candidates)
    kept = alike >= similarity
    candidates, alike = candidates[kept], alike[kept]
    order = np.lexsort((candidates[:, 0], candidates[:, 1]))
    return Pairs(candidates[order, 0], candidates[order, 1], alike[order])


def _word_hashes(texts: pl.Series) -> tuple[npt.NDArray[np.uint64], Integers]:
    """Hashes of all words, text after text, and where the words of each text begin (n + 1)."""
    words = normalised(texts).str.extract_all(WORDS)
    lengths = words.list.len().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    flat = words.explode(empty_as_null=False, keep_nulls=False)
    return flat.hash(SEED).to_numpy(), offsets


def _signatures(texts: pl.Series) -> Signatures:
    """The MinHash signature of each text: shape (texts, PERMUTATIONS).

    16 bits of each value are kept: 65,535 of 65,536 different values stay different (b-bit minwise
    hashing, Li & König 2010).
    """
    signatures = np.zeros((len(texts), PERMUTATIONS), dtype=np.uint16)
    for start in range(0, len(texts), BATCH_ROWS):
        hashes, offsets = _word_hashes(texts.slice(start, BATCH_ROWS))
        rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, offsets.astype(np.uint64), PERMUTATIONS, SEED
        ).to_rows()
        values = np.array(rows, dtype=np.uint32)
        signatures[start : start + BATCH_ROWS] = values ^ (values >> np.uint32(16))
        # A text without words is like no other.
        empty = start + np.flatnonzero(np.diff(offsets) == 0)
        signatures[empty] = empty[:, None] + np.arange(PERMUTATIONS)
    return signatures


def _candidates(signatures: Signatures, similarity: float) -> Integers:
    """Pairs (earlier, later) of texts that are probably so similar: shape (pairs, 2), each once."""
    if not len(signatures):
        return np.zeros((0, 2), dtype=np.int64)
    width = _band_width(similarity)
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, PERMUTATIONS - width + 1, width):
        keys = _mixed(signatures[:, start : start + width])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        leader = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
        later = np.flatnonzero(~starts)
        for earlier in (leader[later], order[later - 1]):
            found.append(_agreeing(signatures, earlier, order[later], similarity - MARGIN))
    codes = np.unique(np.concatenate(found))
    return np.stack(np.divmod(codes, max(len(signatures), 1)), axis=1)


def _band_width(similarity: float) -> int:
    """Values in a band: as many as leave RECALL of the pairs with `similarity` a band in common."""
    for width in range(16, 1, -1):
        if 1 - (1 - similarity**width) ** (PERMUTATIONS // width) >= RECALL:
            return width
    return 1


def _agreeing(signatures: Signatures, first: Integers, second: Integers, least: float) -> Integers:
    """The pairs whose signatures agree in `least` of their values, each as one number."""
    kept = []
    for start in range(0, len(first), PAIRS):
        one, other = first[start : start + PAIRS], second[start : start + PAIRS]
        alike = (signatures[one] == signatures[other]).mean(axis=1) >= least
        kept.append(one[alike] * len(signatures) + other[alike])
    return np.concatenate([np.zeros(0, dtype=np.int64), *kept])


def _mixed(words: Signatures) -> npt.NDArray[np.uint64]:
    """One 64-bit hash per row of `words` (splitmix64's steps); another step in words decides."""
    keys = np.zeros(len(words), dtype=np.uint64)
    for column in words.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _jaccard(texts: pl.Series, pairs: Integers) -> npt.NDArray[np.float64]:
    """The similarity of the words of each pair of texts."""
    return np.fromiter(
        (len(a & b) / max(len(a | b), 1) for a, b in _word_sets(texts, pairs)),
        dtype=np.float64,
        count=len(pairs),
    )


def _word_sets(texts: pl.Series, pairs: Integers) -> Iterator[tuple[set[int], set[int]]]:
    for start in range(0, len(pairs), BATCH_ROWS):
        part = pairs[start : start + BATCH_ROWS]
        needed, place = np.unique(part, return_inverse=True)
        hashes, offsets = _word_hashes(texts.gather(needed))
        words = hashes.tolist()
        sets = [set(words[a:b]) for a, b in pairwise(offsets.tolist())]
        for first, second in place.reshape(-1, 2).tolist():
            yield sets[first], sets[second]
