"""Arrow tables as Delta Lake can store them, with the canonical text of every value unchanged.

Delta Lake lacks some of Arrow's types, and would store some others wrongly (a uint32 as an int32,
say). Such columns are stored as a wider type, or else as their canonical strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.data.content import canonical_strings, is_binary, is_list
from tunesmith.data.reading.rows import ROW

SPLIT = "_split"
"""Column of a stored table with the name of the row's split."""

BATCH_ROWS = 1 << 16

_TEXT = pa.large_string()


@dataclass(frozen=True)
class StoredColumn:
    """How one column of a dataset is stored."""

    name: str
    stored_name: str
    """Its name in the Delta table, where names that differ in case alone can't stand together."""
    kind: pa.DataType | None
    """Its type there; None for canonical strings."""


def stored_columns(tables: Mapping[str, pa.Table]) -> list[StoredColumn]:
    """The columns of all splits, in the order of their first appearance; ours (`_…`) left out.

    A column that splits have with different types gets one that keeps the text of all its values.
    """
    kinds: dict[str, list[pa.DataType | None]] = {}
    for table in tables.values():
        for field in table.schema:
            if not field.name.startswith("_"):
                kinds.setdefault(field.name, []).append(_stored_kind(field.type))
    columns: list[StoredColumn] = []
    taken: set[str] = set()
    for name, found in kinds.items():
        kind = found[0]
        for other in found[1:]:
            kind = _common(kind, other)
        columns.append(StoredColumn(name, _free_name(name, taken), kind))
    return columns


def stored_schema(columns: list[StoredColumn]) -> pa.Schema:
    """The schema of the stored table: `columns`, then `_split` and `_row`."""
    fields = [pa.field(column.stored_name, column.kind or _TEXT) for column in columns]
    return pa.schema([*fields, pa.field(SPLIT, _TEXT), pa.field(ROW, pa.int64())])


def stored_batches(
    tables: Mapping[str, pa.Table], columns: list[StoredColumn]
) -> Iterator[pa.RecordBatch]:
    """The rows of all splits as they are stored, converted a batch at a time."""
    schema = stored_schema(columns)
    for split, table in tables.items():
        names = set(table.column_names)
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            arrays = [
                _stored(batch.column(column.name), column.kind)
                if column.name in names
                else pa.nulls(len(batch), column.kind or _TEXT)
                for column in columns
            ]
            arrays.append(pa.repeat(pa.scalar(split, _TEXT), len(batch)))
            arrays.append(batch.column(ROW).cast(pa.int64()))
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _free_name(name: str, taken: set[str]) -> str:
    """A name for the stored column that none has yet, in capitals or not."""
    plain = name.replace("\0", "\ufffd")  # NUL ends a name in the Parquet file
    stored, number = plain, 2
    while stored.lower() in taken:
        stored, number = f"{plain} ({number})", number + 1
    taken.add(stored.lower())
    return stored


def _stored(values: pa.Array, kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        (text,) = canonical_strings(pa.chunked_array([values])).chunks
        return pc.if_else(values.is_valid(), text, pa.scalar(None, _TEXT))
    if isinstance(values, pa.ExtensionArray):
        return _stored(values.storage, kind)
    return values.cast(kind)


def _stored_kind(kind: pa.DataType) -> pa.DataType | None:
    """The type that a column of type `kind` is stored as; None for canonical strings."""
    if isinstance(kind, pa.BaseExtensionType):
        return _stored_kind(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _stored_kind(kind.value_type)
    if pa.types.is_struct(kind):
        return _stored_struct(kind)
    if _is_list(kind):
        inner = _stored_kind(kind.value_type)
        nested_extension = isinstance(kind.value_type, pa.BaseExtensionType)
        return None if inner is None or nested_extension else pa.large_list(inner)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _TEXT
    if is_binary(kind):
        return pa.large_binary()
    if pa.types.is_unsigned_integer(kind):
        return None if kind.bit_width == 64 else pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()  # as which it is written in canonical strings, too
    if pa.types.is_decimal(kind):
        fits = kind.bit_width <= 128 and 0 <= kind.scale <= kind.precision
        return pa.decimal128(kind.precision, kind.scale) if fits else None
    return kind if _is_delta_type(kind) else None


def _is_delta_type(kind: pa.DataType) -> bool:
    """Whether Delta Lake stores values of this type as they are. Its times count microseconds."""
    return bool(
        pa.types.is_signed_integer(kind)
        or kind in (pa.null(), pa.bool_(), pa.float32(), pa.float64(), pa.date32())
        or kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"))
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        is_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _stored_struct(kind: pa.StructType) -> pa.DataType | None:
    parts = [(part.name, _stored_kind(part.type)) for part in kind]
    names = {name.lower() for name, _ in parts}
    extension = any(isinstance(part.type, pa.BaseExtensionType) for part in kind)
    if not parts or extension or len(names) < len(parts) or "\0" in "".join(names):
        return None
    if any(stored is None for _, stored in parts):
        return None
    return pa.struct(parts)


def _common(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """A type that holds the values of both types without changing their text; None for text."""
    if one is None or other is None or one == other:
        return None if other is None else one
    if pa.types.is_null(one) or pa.types.is_null(other):
        return other if pa.types.is_null(one) else one
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        return pa.int64()
    if pa.types.is_large_list(one) and pa.types.is_large_list(other):
        inner = _common(one.value_type, other.value_type)
        return None if inner is None else pa.large_list(inner)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        # A part that one of them lacks is null there, and canonical strings leave nulls out.
        kinds: dict[str, pa.DataType | None] = {part.name: part.type for part in one}
        for part in other:
            there = kinds.get(part.name, pa.null())
            kinds[part.name] = _common(there, part.type)
        joined = pa.struct([(name, kind or pa.null()) for name, kind in kinds.items()])
        return None if None in kinds.values() else _stored_struct(joined)
    return None
