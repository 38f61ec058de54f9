"""The text of each row, whether its column holds strings or chats, and mending it there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.content import canonical_strings, is_list

LEAST_ROWS = 10_000
"""Texts for which another core is asked, at least."""


def is_chat(kind: pa.DataType) -> bool:
    """Whether a column of this type holds chats: lists of `{role, content}`."""
    return {"role", "content"} <= turn_parts(kind)


def turn_parts(kind: pa.DataType) -> set[str]:
    """The names in the objects that a column of this type holds lists of; none for other types."""
    if not is_list(kind) or not pa.types.is_struct(kind.value_type):
        return set()
    return {part.name for part in kind.value_type}


def is_words(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of words."""
    return is_list(kind) and is_text(kind.value_type)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def row_texts(column: pa.ChunkedArray, *, answers: bool = False) -> pa.ChunkedArray:
    """One large_string per row: the value, words with spaces between them, or a chat's user turns
    (with `answers` all turns) with line breaks.
    """
    if is_words(column.type):
        return _spoken(column)
    if not is_chat(column.type):
        return canonical_strings(column)
    chunks = [_said(chunk, None if answers else "user") for chunk in column.chunks]
    return pa.chunked_array(chunks, type=pa.large_string())


def normalise(text: str) -> str:
    """`text` as two rows' texts are compared: NFKC, case folded, white space collapsed."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


_ODD_SPACE = r"\s\s|[^\S ]|^\s|\s$|[\x1c-\x1f]"
"""White space that `normalise` would change."""


def normalised(texts: pl.Series) -> pl.Series:
    """`normalise` of every text; plain ASCII only needs small letters, written by Polars."""
    frame = pl.DataFrame({"text": texts})
    text = pl.col("text")
    odd = (text.str.len_bytes() != text.str.len_chars()) | text.str.contains(_ODD_SPACE)
    plain = frame.select(odd.alias("odd"), text.str.to_lowercase())
    indices = plain["odd"].arg_true()
    if indices.is_empty():
        return plain["text"]
    mended = [normalise(text) for text in texts.gather(indices).to_list()]
    return plain["text"].scatter(indices, mended)


def matching(texts: pl.Series, pattern: str) -> pl.Series:
    """Which of the texts match `pattern` (Rust's syntax), found out on all cores."""
    match = pl.col("text").str.contains(pattern).fill_null(False)
    size = max(-(-len(texts) // (4 * pl.thread_pool_size())), LEAST_ROWS)
    parts = [texts.slice(start, size) for start in range(0, max(len(texts), 1), size)]
    frames = [pl.DataFrame({"text": part}).lazy().select(match) for part in parts]
    return pl.concat(pl.collect_all(frames)).to_series()


def joined_texts(parts: Sequence[pl.Series]) -> pl.Series:
    """The texts of several columns, row by row, a line break between them."""
    if len(parts) == 1:
        return parts[0]
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    return frame.select(pl.concat_str(pl.all(), separator="\n")).to_series()


def as_series(column: pa.ChunkedArray, *, answers: bool = False) -> pl.Series:
    """`row_texts` for Polars; "" where there is none."""
    if is_text(column.type):
        return pl.Series(pl.from_arrow(column)).fill_null("")  # shares the column's memory
    return pl.Series(pl.from_arrow(row_texts(column, answers=answers)))


def mend(
    column: pa.ChunkedArray, pattern: str, clean: Callable[[str], str], *, answers: bool
) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64], list[Any]]:
    """`column` with `clean` applied to its strings, or to the turns of its chats.

    Only texts that match `pattern` (Rust's syntax) are looked at. The assistant's turns stay as
    they are unless `answers`. Also the indices of the rows that changed, and their values before. A
    dictionary column becomes a string column when a row changes; columns without text come back as
    they are.
    """
    indices = _suspects(column, pattern)
    before = column.take(pa.array(indices)).to_pylist()
    after = [_clean(value, clean, answers) for value in before]
    changed = [number for number, value in enumerate(before) if after[number] != value]
    if not changed:
        return column, np.array([], dtype=np.int64), []
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) and column.nbytes >= 2**31:
        column = column.cast(pa.large_string())  # `take` makes one chunk, of 64-bit offsets
    # The mended values are put behind the column, and each changed row is taken from there.
    mended = pa.array([after[number] for number in changed], column.type)
    source = np.arange(len(column), dtype=np.int64)
    source[indices[changed]] = len(column) + np.arange(len(changed), dtype=np.int64)
    rebuilt = pa.chunked_array([*column.chunks, mended]).take(pa.array(source))
    return rebuilt, indices[changed], [before[number] for number in changed]


def _spoken(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The words of each row, joined; "" where there are none."""
    words = column.cast(pa.large_list(pa.large_string()))
    texts = [pc.binary_join(chunk, pa.scalar(" ", pa.large_string())) for chunk in words.chunks]
    return pc.fill_null(pa.chunked_array(texts, type=pa.large_string()), "")


def _said(chunk: pa.Array, role: str | None = None) -> pa.Array:
    """The turns of each chat in `chunk`, or those of one role, joined."""
    turns = pc.list_flatten(chunk)
    parents = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
    contents = pa.chunked_array([pc.struct_field(turns, "content")])
    said = canonical_strings(contents).chunk(0)
    if role is not None:
        wanted = pc.fill_null(pc.equal(pc.struct_field(turns, "role"), role), False)
        said, parents = said.filter(wanted), parents[wanted.to_numpy(zero_copy_only=False)]
    counts = np.bincount(parents, minlength=len(chunk))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    line_break = pa.scalar("\n", pa.large_string())
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), said), line_break)


def _suspects(column: pa.ChunkedArray, pattern: str) -> npt.NDArray[np.int64]:
    """Indices of the rows in which something matches `pattern`; the rest is never copied."""
    found, start = [np.array([], dtype=np.int64)], 0
    for chunk in column.chunks:
        parents, texts = None, chunk
        if is_chat(chunk.type):
            texts = pc.struct_field(pc.list_flatten(chunk), "content")
            parents = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
        elif pa.types.is_dictionary(chunk.type):
            texts = chunk.dictionary_decode()
        if is_text(texts.type):
            rows = (
                matching(pl.Series(pl.from_arrow(texts)), pattern)
                .arg_true()
                .to_numpy()
                .astype(np.int64)
            )
            found.append(start + (rows if parents is None else np.unique(parents[rows])))
        start += len(chunk)
    return np.concatenate(found)


def _clean(value: Any, clean: Callable[[str], str], answers: bool) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [
            {**turn, "content": _clean(turn["content"], clean, answers)}
            if isinstance(turn, dict) and (answers or turn.get("role") != "assistant")
            else turn
            for turn in value
        ]
    return value
