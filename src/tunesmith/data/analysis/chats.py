"""Columns of chats: ShareGPT's names as role and content, and the answers in them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.texts import is_chat, row_texts, turn_parts


def as_chats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column`, ShareGPT's chats (`from`, `value`, human, gpt) as chats of role and content."""
    if not {"from", "value"} <= turn_parts(column.type) or is_chat(column.type):
        return column
    return _with_roles(column, "from", "value", {"human": "user", "gpt": "assistant"})


def answers(chats: pa.ChunkedArray) -> pa.ChunkedArray:
    """The assistant's turns of each chat, a line break between them."""
    swapped = {"user": "", "assistant": "user"}
    return row_texts(_with_roles(chats, "role", "content", swapped))


def _with_roles(
    column: pa.ChunkedArray, role: str, content: str, names: Mapping[str, str]
) -> pa.ChunkedArray:
    """Lists of turns as chats of `role` and `content`, with roles renamed by `names`."""
    chunks = []
    for chunk in column.chunks:
        turns = pc.list_flatten(chunk)
        roles = given = pc.fill_null(pc.struct_field(turns, role).cast(pa.large_string()), "")
        for old, new in names.items():
            roles = pc.if_else(pc.equal(given, old), pa.scalar(new, pa.large_string()), roles)
        parts = [roles, pc.struct_field(turns, content)]
        lengths = pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        renamed = pa.StructArray.from_arrays(parts, ["role", "content"])
        chunks.append(pa.LargeListArray.from_arrays(pa.array(offsets), renamed))
    if not chunks:
        return column
    return pa.chunked_array(chunks)
