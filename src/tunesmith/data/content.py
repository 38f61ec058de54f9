"""The hash that names a table by its content, whatever file it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.values import canonical

PIECE_ROWS = 1 << 17


def canonical_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`canonical` of every value: a large_string column as long as `column`, without nulls."""
    chunks = [_canonical_chunk(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks, type=pa.large_string())


def dataset_hash(tables: Mapping[str, pa.Table]) -> str:
    """`sha256:<hex>` of a dataset's splits: of its only table, else of the text that has a line
    `split hash` for each split, sorted by name.

    Where there is one split only, its name doesn't count.
    """
    hashes = {split: content_hash(table) for split, table in tables.items()}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    text = "".join(f"{split} {hashes[split]}\n" for split in sorted(hashes))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def content_hash(table: pa.Table) -> str:
    """`sha256:<hex>` of the table's column names, values and row order, and of nothing else.

    Columns whose name begins with `_` are ours and don't count; neither do the columns' order, the
    file format, Arrow's chunks and whether a type is string, large_string or dictionary. The digest
    covers the number of rows, then per column, sorted by name: the length of the name and the name
    (UTF-8), the length of every value in bytes, and the values (`canonical_strings`, UTF-8), one
    after the other. Numbers are 64-bit little-endian, so no two tables write the same bytes.
    """
    digest = hashlib.sha256(_word(table.num_rows))
    for name in sorted(name for name in table.column_names if not name.startswith("_")):
        encoded = name.encode()
        digest.update(_word(len(encoded)) + encoded)
        column = table.column(name)
        pieces = [
            chunk.slice(start, PIECE_ROWS)  # not copied
            for chunk in column.chunks
            for start in range(0, len(chunk), PIECE_ROWS)
        ]
        if not _is_cheap(column.type):
            pieces = [_canonical_chunk(piece) for piece in pieces]  # too slow to make twice
        for piece in pieces:
            offsets, _ = _text_buffer(_canonical_chunk(piece))
            digest.update(bytes(np.diff(offsets).astype("<i8")))
        for piece in pieces:
            offsets, text = _text_buffer(_canonical_chunk(piece))
            digest.update(text[offsets[0] : offsets[-1]])
    return f"sha256:{digest.hexdigest()}"


def _is_cheap(kind: pa.DataType) -> bool:
    """Whether canonical strings of this type are made faster than they are kept."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _word(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _text_buffer(chunk: pa.Array) -> tuple[Any, memoryview]:
    """Offsets (len + 1, int64) of a large_string array without nulls, and the bytes they cut."""
    _, offsets, text = chunk.buffers()
    window = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return window, memoryview(text if text is not None else b"")


def _canonical_chunk(chunk: pa.Array) -> pa.Array:
    kind = chunk.type
    if isinstance(chunk, pa.ExtensionArray):
        return _canonical_chunk(chunk.storage)
    if pa.types.is_dictionary(kind):
        return _canonical_chunk(chunk.dictionary_decode())
    if pa.types.is_null(kind):
        return pa.array([""] * len(chunk), pa.large_string())
    if pa.types.is_floating(kind):
        return _float_strings(chunk)
    if pa.types.is_nested(kind) or is_binary(kind):
        return pa.array([canonical(value) for value in chunk.to_pylist()], pa.large_string())
    # Strings, integers, booleans, decimals, dates and times: Arrow writes them as `canonical` does.
    strings = chunk if pa.types.is_large_string(kind) else chunk.cast(pa.large_string())
    return pc.fill_null(strings, "") if strings.null_count else strings


def is_binary(kind: pa.DataType) -> bool:
    """Whether values of this type are bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists, as files have them."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _float_strings(chunk: pa.Array) -> pa.Array:
    if pa.types.is_float16(chunk.type):
        chunk = chunk.cast(pa.float32())
    values = chunk.to_numpy(zero_copy_only=False)
    integral = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2.0**63)
    whole = pa.array(np.where(integral, values, 0).astype(np.int64)).cast(pa.large_string())
    if integral.all():
        return whole
    # `str` of a numpy scalar is the shortest text that gives the same float32 or float64 back.
    texts = {value: str(value) for value in np.unique(values[~integral])}
    missing = chunk.is_null().to_numpy(zero_copy_only=False)
    rest = [
        None if is_whole else "" if is_missing else texts.get(value, "nan")
        for value, is_whole, is_missing in zip(values, integral, missing, strict=True)
    ]
    return pc.coalesce(pa.array(rest, pa.large_string()), whole)


def joined_tables(tables: Sequence[pa.Table]) -> tuple[pa.Table, list[str]]:
    """The rows of all tables, and the columns whose types differ, which are canonical strings.

    A column that a table lacks is null there.
    """
    differing: list[str] = []
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        columns = [table.select([name]) for table in tables if name in table.column_names]
        try:
            pa.concat_tables(columns, promote_options="permissive")
        except pa.ArrowException:
            differing.append(name)
    written = [_as_strings(table, differing) for table in tables]
    return pa.concat_tables(written, promote_options="permissive"), differing


def _as_strings(table: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        if name in table.column_names:
            column = table.column(name)
            text = pc.if_else(column.is_valid(), canonical_strings(column), None)
            table = table.set_column(table.column_names.index(name), name, text)
    return table
