"""Conversations whose turns are a role and a text alone, read as columns: many times as fast."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.layouts.turns import CONTENT_KEYS, ROLE_KEYS, ROLES, TURN, as_list


def plain_turns(column: pa.Array) -> pa.Array | None:
    """What `read_turns` gives of each row of `column`; None where a row holds anything else than
    turns with a role and a text, under the same two keys in all."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(column.to_pylist())
    if column is None or not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return None
    turns = column.flatten()
    if not pa.types.is_struct(turns.type) or turns.null_count:
        return None
    parts = [part for part in turns.type if not pa.types.is_null(part.type)]
    roles = [part.name for part in parts if part.name in ROLE_KEYS]
    contents = [part.name for part in parts if part.name in CONTENT_KEYS]
    is_text = all(pa.types.is_string(part.type) for part in parts)
    if not (len(parts) == 2 and len(roles) == len(contents) == 1 and is_text):
        return None
    role, content = turns.field(roles[0]), turns.field(contents[0])
    if role.null_count:
        return None
    encoded = role.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    known = pa.array([ROLES.get(name.strip().casefold(), name) for name in names], pa.string())
    role = known.take(encoded.indices)
    kept = np.ones(len(role), dtype=bool)
    systems = np.flatnonzero(pc.equal(role, "system").to_numpy(zero_copy_only=False))
    texts = content.take(pa.array(systems)).to_pylist()
    kept[systems] = [text is not None and bool(text.strip()) for text in texts]
    return _lists(column, role, content, kept)


def _parsed(texts: list[str | None]) -> pa.Array | None:
    """The lists that are written in `texts`; None where one holds none, or they differ in type."""
    lists = [None if text is None else as_list(text) for text in texts]
    if any(turns is None and text is not None for turns, text in zip(lists, texts, strict=True)):
        return None
    try:
        return pa.array(lists)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _lists(
    column: pa.Array,
    role: pa.Array,
    content: pa.Array,
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> pa.Array:
    """The turns that are `kept`, in as many lists as `column` has."""
    parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)[kept]
    counts = np.bincount(parents, minlength=len(column))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    given = {"role": role.filter(pa.array(kept)), "content": content.filter(pa.array(kept))}
    absent = {part.name: pa.nulls(int(kept.sum()), part.type) for part in TURN}
    turns = pa.StructArray.from_arrays(
        [{**absent, **given}[part.name] for part in TURN], fields=[*TURN]
    )
    mask = column.is_null() if column.null_count else None
    return pa.ListArray.from_arrays(offsets, turns, mask=mask).cast(pa.list_(TURN))
