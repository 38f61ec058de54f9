"""Tables with one word a row → a row for each sentence, as the words are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.reading.rows import ROW, FileRows
from tunesmith.messages import say

SENTENCES = (
    "sentence #", "sentence_id", "sentence id", "sentence", "sentence_number", "sentence number",
    "sentence_idx", "sentence_index", "sentence_no", "sent_id", "sent_idx", "sent", "sentid",
    "sentenceid", "句子編號", "句子编号", "句號", "句子",
)  # fmt: skip
WORDS = ("word", "token", "words", "tokens", "詞", "词", "字", "單詞", "单词")
TAGS = (
    "tag", "tags", "ner", "ner_tag", "ner_tags", "label", "labels", "entity", "bio", "iob",
    "標記", "标记", "標籤", "标签",
)  # fmt: skip
SAMPLE = 2_000


def gather_words(rows: FileRows) -> FileRows:
    """`rows` with one row a sentence, lists of words and tags, where it had one row a word.

    So it is where columns say the sentence, a word and its tag, and sentences go on over rows; the
    sentence may be said in the first of its rows alone. Other columns become lists too. `_row` is
    the number of a sentence's first row.
    """
    table, names = rows.table, word_columns(rows.table.column_names)
    if names is None or not table.num_rows:
        return rows
    sentence, word, tag = names
    if not all(_are_words(table.column(name)) for name in (word, tag)):
        return rows
    if pa.types.is_nested(table.column(sentence).type):
        return rows
    starts = _starts(_texts(table.column(sentence)))
    if len(starts) * 4 > table.num_rows * 3:
        return rows  # nearly every row is a sentence of its own: words are none of many
    offsets = pa.array([*starts.tolist(), table.num_rows], pa.int32())
    columns = {}
    for name in table.column_names:
        whole = table.column(name).combine_chunks()
        if name in (ROW, sentence):
            columns[name] = whole.take(pa.array(starts))
        else:
            columns[name] = pa.ListArray.from_arrays(offsets, whole)
    note = say(
        "{n:,} rows of one word each, read as {m:,} sentences by column {column}",
        n=table.num_rows,
        m=len(starts),
        column=sentence,
    )
    return replace(rows, table=pa.table(columns), notes=(*rows.notes, note))


def word_columns(names: Sequence[str]) -> tuple[str, str, str] | None:
    """The columns that say sentence, word and tag by their names; None where one is missing."""
    sentence, word, tag = (_named(usual, names) for usual in (SENTENCES, WORDS, TAGS))
    return (sentence, word, tag) if sentence and word and tag else None


def _named(usual: Sequence[str], names: Sequence[str]) -> str | None:
    there = {name.strip().casefold(): name for name in reversed(names)}
    return next((there[name] for name in usual if name in there), None)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.large_string()), "")


def _are_words(column: pa.ChunkedArray) -> bool:
    """Whether nearly all values are single words, numbers or nothing."""
    if pa.types.is_nested(column.type):
        return False
    texts = _texts(column.slice(0, SAMPLE))
    several = pc.match_substring_regex(pc.utf8_trim_whitespace(texts), r"\s|^\[")
    return bool((pc.sum(several).as_py() or 0) * 20 <= len(texts))


def _starts(marks: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The rows on which a sentence begins: where its mark is another than the one before."""
    given = pc.not_equal(pc.utf8_trim_whitespace(marks), "").to_numpy()
    places = np.flatnonzero(given)
    codes = marks.combine_chunks().dictionary_encode().indices.to_numpy()[places]
    changed = [place for place, same in zip(places[1:], _same(codes), strict=True) if not same]
    return np.array([0, *changed], dtype=np.int64)


def _same(codes: npt.NDArray[np.int64]) -> list[bool]:
    return [bool(one == other) for one, other in pairwise(codes.tolist())]
