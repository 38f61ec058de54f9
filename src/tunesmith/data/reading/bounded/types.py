"""Arrow's types → those that everything here can compute with; no value changes."""

from __future__ import annotations

from typing import TypeVar

import pyarrow as pa
import pyarrow.types as kinds

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def plain(rows: Rows) -> Rows:
    """`rows` without views, dictionaries, run lengths and other packages' types.

    Text and lists come in their usual layout, values in place of dictionaries, and what a type of
    another package stores in place of the type.
    """
    for number, field in enumerate(rows.schema):
        wanted = plain_type(field.type)
        if not wanted.equals(field.type):
            column = rows.column(number)
            if isinstance(column, pa.ChunkedArray):
                cast = pa.chunked_array([_cast(chunk, wanted) for chunk in column.chunks], wanted)
            else:
                cast = _cast(column, wanted)
            rows = rows.set_column(number, field.with_type(wanted), cast)
    return rows


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that `plain` gives to columns of type `kind`."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if kinds.is_string_view(kind):
        return pa.string()
    if kinds.is_binary_view(kind):
        return pa.binary()
    if kinds.is_large_list(kind) or kinds.is_large_list_view(kind):
        return pa.large_list(plain_type(kind.value_type))
    if kinds.is_list(kind) or kinds.is_list_view(kind) or kinds.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if kinds.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if kinds.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    return kind


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    while isinstance(column, pa.ExtensionArray):
        column = column.storage
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        cast = column.cast(wanted)
        cast.validate()  # Arrow 26 casts some views of lists to lists that lack their last offset
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # also lists of views
        cast = pa.array(column.to_pylist(), wanted)
    return cast
