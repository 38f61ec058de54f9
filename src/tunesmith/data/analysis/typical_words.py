"""The words of texts, counted by label, and which of them are typical of one label.

A word is a run of letters and digits in lower case, with an English contraction's ending. Chinese,
Japanese, Thai, Lao, Khmer and Burmese are written without spaces: there, every two characters that
follow each other stand for a word, and a single character between others for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

PRIOR = 0.1
"""Weight of the prior, as a share of all words there are.

A share, because a fixed number of words would drown small data, and in large data make a word that
only one label uses look uncertain however often it stands there.
"""
EVIDENT = 1.96
"""The z-score from which a word is called typical: chance exceeds it for one word in 40."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_RUN = rf"[{_UNSPACED}]+"
_WORD = (
    rf"[\p{{L}}\p{{N}}--[{_UNSPACED}]][\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]*"
    # Endings by name, so that French elisions ("l'homme") still make two words.
    r"(?:['\u2019](?:t|s|d|m|ll|re|ve))?"
)
_MERGE_ROWS = 2_000_000
"""Rows of counts that are kept apart before they are added up: about 100 MB."""


@dataclass(frozen=True, slots=True)
class TypicalWord:
    """A word that one label's texts use more than the others."""

    word: str
    z: float
    """Log-odds ratio against all other labels, in standard errors."""
    count: int
    """How often the label's texts use it."""
    elsewhere: int
    """How often the texts of all other labels do."""


class WordCounts:
    """How often each word stands in the texts of each label; texts are added part by part."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(
        self, texts: pl.Series, labels: Sequence[npt.NDArray[np.int64]] = ()
    ) -> npt.NDArray[np.int64]:
        """Count the words of `texts` (strings); returns the number of words in each.

        `labels` is a pair of arrays, rows (0-based places in `texts`) and the number of a label of
        that row; a row may have several. In a text without spaces a character counts as one word.
        """
        lowered = texts.str.to_lowercase().alias("word")
        words = lowered.str.extract_all(_WORD)
        lengths = words.list.len().to_numpy().astype(np.int64)
        rows = pl.int_range(len(texts), dtype=pl.UInt32, eager=True).alias("row")
        self._parts.append(_counted(pl.DataFrame([rows, words]), labels))
        if texts.str.contains(_RUN).any():
            lengths += lowered.str.count_matches(f"[{_UNSPACED}]").to_numpy().astype(np.int64)
            for pairs in _pairs(rows, lowered):
                self._parts.append(_counted(pairs, labels))
        if sum(part.height for part in self._parts) > _MERGE_ROWS:
            self._parts = [self._merged()]
        return lengths

    def vocabulary_size(self) -> int:
        """The number of different words."""
        return int(self._merged()["word"].n_unique())

    def typical(self, count: int) -> dict[int, list[TypicalWord]]:
        """Label number → its `count` most typical words, the most typical first.

        The log-odds ratio with an informative Dirichlet prior, of a label against all others, in
        standard errors (Monroe, Colaresi and Quinn 2008, "Fightin' Words", Political Analysis 16,
        equations 16 to 22). The prior is the words of all texts. Words below `EVIDENT` are left
        out; among many thousand words some reach a z-score of 4 by chance.
        """
        counts = self._merged().filter(pl.col("label") >= 0)
        total = int(counts["count"].sum())
        own = pl.col("count").sum().over("label")
        every = pl.col("count").sum().over("word")
        prior, prior_total = every * PRIOR, total * PRIOR
        here, there = pl.col("count") + prior, every - pl.col("count") + prior
        odds = (here / (own + prior_total - here)).log()
        other_odds = (there / (total - own + prior_total - there)).log()
        z = (odds - other_odds) / (1 / here + 1 / there).sqrt()
        ranked = (
            counts.with_columns(z=z, elsewhere=every - pl.col("count"))
            .filter(pl.col("z").is_finite() & (pl.col("z") >= EVIDENT))
            .sort(["label", "z", "word"], descending=[False, True, False])
            .group_by("label", maintain_order=True)
            .head(count)
        )
        found: dict[int, list[TypicalWord]] = {}
        for row in ranked.select("label", "word", "z", "count", "elsewhere").iter_rows():
            found.setdefault(row[0], []).append(TypicalWord(*row[1:]))
        return found

    def _merged(self) -> pl.DataFrame:
        if not self._parts:
            return pl.DataFrame(schema={"label": pl.Int64, "word": pl.String, "count": pl.Int64})
        if len(self._parts) > 1:
            together = pl.concat(self._parts)
            self._parts = [together.group_by("label", "word").agg(pl.col("count").sum())]
        return self._parts[0]


def _counted(words: pl.DataFrame, labels: Sequence[npt.NDArray[np.int64]]) -> pl.DataFrame:
    """Label, word and count of `words` (row, list of words); label -1 where a row has none."""
    if len(labels):
        rows, numbers = labels
        given = pl.DataFrame({"row": rows.astype(np.uint32), "label": numbers})
        words = words.join(given, on="row", how="left").with_columns(pl.col("label").fill_null(-1))
    else:
        words = words.with_columns(label=pl.lit(-1, pl.Int64))
    return (
        words.select("label", "word")
        .explode("word")
        .drop_nulls("word")
        .group_by("label", "word")
        .agg(count=pl.len().cast(pl.Int64))
    )


def _pairs(rows: pl.Series, texts: pl.Series) -> list[pl.DataFrame]:
    """The pairs of characters in runs without spaces: those that begin at even and odd places."""
    runs = (
        pl.DataFrame([rows, texts.str.extract_all(_RUN).alias("run")])
        .explode("run")
        .drop_nulls("run")
    )
    run = pl.col("run")
    return [
        runs.filter(run.str.len_chars() == 1).select("row", word=run.str.extract_all(".")),
        runs.select("row", word=run.str.extract_all("..")),
        runs.select("row", word=run.str.slice(1).str.extract_all("..")),
    ]
