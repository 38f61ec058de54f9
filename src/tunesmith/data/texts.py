"""The text of each row, whether its column holds strings or chats, and HTML taken out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.content import canonical_strings
from tunesmith.data.markup import HINT, strip_html


def is_chat(kind: pa.DataType) -> bool:
    """Whether a column of this type holds chats: lists of `{role, content}`."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    turn = kind.value_type
    return bool(pa.types.is_struct(turn)) and {"role", "content"} <= {part.name for part in turn}


def row_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One large_string per row: the value, or a chat's user turns, a line break between them."""
    if not is_chat(column.type):
        return canonical_strings(column)
    chunks = [_asked(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks, type=pa.large_string())


def without_html(
    column: pa.ChunkedArray,
) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64], list[Any]]:
    """`column` with HTML gone from its strings, or from every turn of its chats.

    Also the indices of the rows that changed, and their values before. A dictionary column becomes
    a string column when a row changes; other types come back as they are.
    """
    indices = _suspects(column)
    before = column.take(pa.array(indices)).to_pylist()
    after = [_clean(value) for value in before]
    changed = [number for number, value in enumerate(before) if after[number] != value]
    if not changed:
        return column, np.array([], dtype=np.int64), []
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    # The mended values are put behind the column, and each changed row is taken from there.
    mended = pa.array([after[number] for number in changed], column.type)
    source = np.arange(len(column), dtype=np.int64)
    source[indices[changed]] = len(column) + np.arange(len(changed), dtype=np.int64)
    rebuilt = pa.chunked_array([*column.chunks, mended]).take(pa.array(source))
    return rebuilt, indices[changed], [before[number] for number in changed]


def _asked(chunk: pa.Array) -> pa.Array:
    """The user's turns of each chat in `chunk`, joined."""
    turns = pc.list_flatten(chunk)
    parents = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
    by_user = pc.fill_null(pc.equal(pc.struct_field(turns, "role"), "user"), False)
    contents = pa.chunked_array([pc.struct_field(turns, "content")])
    said = canonical_strings(contents).chunk(0).filter(by_user)
    mask = by_user.to_numpy(zero_copy_only=False)
    counts = np.bincount(parents[mask], minlength=len(chunk))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    line_break = pa.scalar("\n", pa.large_string())
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), said), line_break)


def _suspects(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Indices of the rows in which something looks like HTML; the rest is never copied."""
    found = []
    start = 0
    for chunk in column.chunks:
        parents = None
        texts = chunk
        if is_chat(chunk.type):
            texts = pc.struct_field(pc.list_flatten(chunk), "content")
            parents = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
        elif pa.types.is_dictionary(chunk.type):
            texts = chunk.dictionary_decode()
        if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
            looks = pc.fill_null(pc.match_substring_regex(texts, HINT), False)
            rows = np.flatnonzero(looks.to_numpy(zero_copy_only=False))
            found.append(start + (rows if parents is None else np.unique(parents[rows])))
        start += len(chunk)
    return np.concatenate(found).astype(np.int64) if found else np.array([], dtype=np.int64)


def _is_read(turn: Any) -> bool:
    """Whether the model reads the turn; the answers it learns stay as they are."""
    return isinstance(turn, dict) and turn.get("role") != "assistant"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return strip_html(value)
    if isinstance(value, list):
        return [
            {**turn, "content": _clean(turn["content"])} if _is_read(turn) else turn
            for turn in value
        ]
    return value
