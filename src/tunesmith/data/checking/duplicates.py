"""Texts that are equal, or nearly: MinHash finds candidates, and their words decide.

Two texts are nearly equal when the sets of their words, capitals and punctuation aside, have a
Jaccard similarity of at least the threshold: words in common by all words of the two. Where words
have no spaces between them, a Chinese or Japanese character is a word, in long texts, which have
most characters in common, each two that follow each other; in Thai, Lao, Khmer and Burmese each
three letters that do.
Signatures are R-MinHash (rensa); candidates share a band of a signature (locality-sensitive
hashing, Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", chapter 3); each candidate pair
is then decided by its words, so that nothing is reported that isn't so. One pair in ten just at the
threshold may be missed, a pair well above it hardly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import rensa

from tunesmith.data.texts import normalised
from tunesmith.messages import say
from tunesmith.progress import doing

Integers = npt.NDArray[np.int64]
Signatures = npt.NDArray[np.uint16]

_CHARACTERS = r"\p{Han}\p{Hiragana}\p{Katakana}"
_UNSPACED = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORDS = rf"[{_CHARACTERS}]|[\p{{L}}\p{{M}}\p{{N}}--[{_CHARACTERS}{_UNSPACED}]]+"
LONG = 500
"""Characters of a text that are words by themselves, at most."""
PERMUTATIONS = 64
RECALL = 0.9
"""Share of the pairs just at the threshold that share a band, at least."""
SEED = 42
BATCH_ROWS = 25_000
DIGESTED = 500
"""Signatures that rensa gives at once: as Python's numbers they still fit into a core's cache, in
which they are read twice as fast as thousands of them."""
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
    words = _words(normalised(texts))
    lengths = words.list.len().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    flat = words.explode(empty_as_null=False, keep_nulls=False)
    return flat.hash(SEED).to_numpy(), offsets


def _words(texts: pl.Series) -> pl.Series:
    """The words of each text: a list of strings."""
    is_long = pl.lit(False)
    if (texts.str.len_bytes() > LONG).any():
        is_long = pl.col("text").str.count_matches(f"[{_CHARACTERS}]") > LONG
    sizes = (
        pl.DataFrame({"text": texts})
        .with_row_index()
        .with_columns(
            size=pl.when(pl.col("text").str.contains(f"[{_UNSPACED}]"))
            .then(3)
            .when(is_long)
            .then(2)
        )
    )
    parts = [
        sizes.filter(pl.col("size").is_null()).select("index", words=_found(WORDS)),
        *(
            sizes.filter(size=size).select("index", words=_runs(size, kind))
            for size, kind in ((2, _CHARACTERS), (3, _UNSPACED))
        ),
    ]
    return pl.concat(parts).sort("index")["words"]


def _found(pattern: str) -> pl.Expr:
    return pl.col("text").str.extract_all(pattern)


def _runs(size: int, kind: str) -> pl.Expr:
    """Words that have spaces, and each `size` letters of this `kind` that follow each other."""
    letters = pl.col("text").str.replace_all(f"[^{kind}]", "")
    shifted = [letters.str.slice(start).str.extract_all("." * size) for start in range(size)]
    others = WORDS if kind == _UNSPACED else WORDS.partition("|")[2]
    return pl.concat_list(_found(others), *shifted)


def _signatures(texts: pl.Series) -> Signatures:
    """The MinHash signature of each text: shape (texts, PERMUTATIONS).

    16 bits of each value are kept: 65,535 of 65,536 different values stay different (b-bit minwise
    hashing, Li & König 2010).
    """
    signatures = np.zeros((len(texts), PERMUTATIONS), dtype=np.uint16)
    for start in range(0, len(texts), BATCH_ROWS):
        doing(say("comparing texts: {done:,} of {total:,}", done=start, total=len(texts)))
        hashes, offsets = _word_hashes(texts.slice(start, BATCH_ROWS))
        for first in range(0, len(offsets) - 1, DIGESTED):
            part = offsets[first : first + DIGESTED + 1]
            rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
                hashes[part[0] : part[-1]], (part - part[0]).astype(np.uint64), PERMUTATIONS, SEED
            ).to_rows()
            values = np.array(rows, dtype=np.uint32)
            place = start + first
            signatures[place : place + len(rows)] = values ^ (values >> np.uint32(16))
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
    bands = range(0, PERMUTATIONS - width + 1, width)
    for band, start in enumerate(bands):
        doing(say("looking for nearly equal texts: {done} of {total}", done=band, total=len(bands)))
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
    alike: list[float] = []
    for start in range(0, len(pairs), BATCH_ROWS):
        doing(say("comparing pairs of texts: {done:,} of {total:,}", done=start, total=len(pairs)))
        part = pairs[start : start + BATCH_ROWS]
        needed, place = np.unique(part, return_inverse=True)
        hashes, offsets = _word_hashes(texts.gather(needed))
        words = hashes.tolist()
        sets = [set(words[a:b]) for a, b in pairwise(offsets.tolist())]
        for one, other in place.reshape(-1, 2).tolist():
            words_of_both = len(sets[one] | sets[other])
            alike.append(len(sets[one] & sets[other]) / max(words_of_both, 1))
    return np.array(alike, dtype=np.float64)
