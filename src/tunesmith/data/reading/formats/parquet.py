"""Parquet files, read piece by piece: what they unfold to is counted on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tunesmith.data.reading.bounded.types import plain
from tunesmith.data.reading.compressed import check_unfolded, most_bytes
from tunesmith.data.reading.formats.base import Content, Format
from tunesmith.data.reading.label_names import named_by_schema
from tunesmith.data.reading.rows import FileRows, number_rows
from tunesmith.data.reading.width import check_columns
from tunesmith.errors import DataError, first_line
from tunesmith.messages import say

CHUNK_ROWS = 1 << 16
CHUNK_BYTES = 64 << 20
BATCH_ROWS = (16, 1024)
BATCH_BYTES = 256 << 20
"""What a batch may hold if each of its rows had the longest value that the file may have."""

_BYTES = {"BOOLEAN": 1 / 8, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
"""Bytes in memory of a value of each physical type; texts take at least their 4-byte offset."""


class Parquet(Format):
    """Apache Parquet."""

    name = "parquet"
    label = say("Parquet")
    endings = (".parquet",)

    def recognizes(self, content: Content) -> bool:
        """Whether it begins as Parquet files do."""
        return content.head.startswith(b"PAR1")

    def read(self, content: Content) -> FileRows:
        """The table. Raises DataError as `read`."""
        source = content.read() if content.is_packed else content.path
        table = plain(read(source, content.path))
        return FileRows(number_rows(named_by_schema(table)))


def read(source: Path | bytearray, path: Path) -> pa.Table:
    """The table of a Parquet file, columns as its schema says; `path` is for messages.

    `source` is the file, or its bytes where it was compressed as a whole.

    Raises DataError when it is cut short, damaged or not Parquet, when column names are doubled or
    too many, when a text isn't UTF-8 (naming column and row), or when a small file unfolds to rows
    that would fill the memory (dictionaries and run lengths say "a billion times this" in a few
    bytes).
    """
    size = path.stat().st_size
    try:
        if isinstance(source, Path):
            with pa.OSFile(str(source)) as file:
                table = _read(pq.ParquetFile(file), path, size)
        else:
            table = _read(pq.ParquetFile(pa.BufferReader(source)), path, size)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            "{path} is cut short or not a Parquet file ({error}); copy or download it again",
            path=path,
            error=first_line(error),
        ) from error
    for name in table.column_names:
        _check_strings(table.column(name), name, path)
    return table


def _read(file: pq.ParquetFile, path: Path, size: int) -> pa.Table:
    schema = file.schema_arrow
    check_columns(file.metadata.num_columns, path)
    doubled = sorted(name for name, count in Counter(schema.names).items() if count > 1)
    if doubled:
        raise DataError(
            "{path}: these columns stand more than once: {names}", path=path, names=list(doubled)
        )
    groups = []
    for number in range(file.metadata.num_row_groups):
        # Damaged metadata of a column abort the process where Python asks for them, unless Arrow's
        # own reading meets them before, as it does for a batch of no rows.
        list(file.reader.iter_batches(0, row_groups=[number]))
        groups.append(file.metadata.row_group(number))
    most = most_bytes()
    check_unfolded(path, size, int(sum(map(_least_bytes, groups))), most)
    chunks: list[pa.RecordBatch] = []
    part: list[pa.RecordBatch] = []
    bytes_out = kept = rows = 0
    unfolded = {field.name for field in schema if pa.types.is_dictionary(field.type)}
    for number, group in enumerate(groups):
        for batch in file.iter_batches(_batch_rows(group, unfolded), row_groups=[number]):
            bytes_out += sum(map(_bytes, batch.columns)) if unfolded else batch.nbytes
            check_unfolded(path, size, bytes_out, most)
            part.append(_plain(batch) if unfolded else batch)
            rows += batch.num_rows
            if rows >= CHUNK_ROWS or bytes_out - kept >= CHUNK_BYTES:
                chunks.append(pa.concat_batches(part))
                part, rows, kept = [], 0, bytes_out
    if part or not chunks:
        empty = schema.empty_table().to_batches(1) or [pa.RecordBatch.from_pylist([], schema)]
        chunks.append(pa.concat_batches(part or [_plain(batch) for batch in empty]))
    return pa.Table.from_batches(chunks)


def _bytes(column: pa.Array) -> int:
    """What a column takes in memory once it is plain."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    plain = pa.types.is_primitive(column.type.value_type)
    lengths = None if plain else pc.binary_length(column.dictionary)
    text = 0 if lengths is None else pc.sum(lengths.take(column.indices)).as_py() or 0
    return int(text) + 8 * len(column)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` with values in place of dictionaries, of which every batch would have its own."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _columns(group: Any) -> list[Any]:
    return [group.column(number) for number in range(group.num_columns)]


def _least_bytes(group: Any) -> float:
    """What a row group takes in memory at least, by the file's own account."""
    numbers = 8 * group.num_rows  # `_row`
    total: float = numbers + sum(
        max(column.num_values * _BYTES.get(column.physical_type, 4), column.total_uncompressed_size)
        for column in _columns(group)
    )
    return total


def _batch_rows(group: Any, unfolded: set[str]) -> int:
    """Rows to read at once: fewer where a column's dictionary may hold very long values.

    Columns in `unfolded` come with their dictionary, so that their size is known before it counts.
    """
    longest = 1.0
    for column in _columns(group):
        if column.physical_type in _BYTES or column.path_in_schema in unfolded:
            continue
        value = float(column.total_uncompressed_size)
        start = column.dictionary_page_offset
        if column.has_dictionary_page and start is not None and column.data_page_offset > start:
            ratio = column.total_uncompressed_size / max(column.total_compressed_size, 1)
            value = min(value, (column.data_page_offset - start) * ratio)
        else:
            # Without a dictionary every value stands in the file: they are as long as their mean.
            value /= max(column.num_values, 1)
        longest = max(longest, value * max(1, column.num_values / max(group.num_rows, 1)))
    least, most = BATCH_ROWS
    return min(most, max(least, int(BATCH_BYTES / longest)))


def _check_strings(column: pa.ChunkedArray, name: str, path: Path) -> None:
    """Raises DataError naming the first row of a text column whose bytes aren't UTF-8."""
    first = 1
    for chunk in column.chunks:
        try:
            chunk.validate(full=True)
        except pa.ArrowInvalid as error:
            if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
                _name_undecodable(chunk, first, name, path)
            raise DataError(
                "{path}: column {name} is damaged: {error}",
                path=path,
                name=name,
                error=first_line(error),
            ) from error
        first += len(chunk)


def _name_undecodable(chunk: pa.Array, first: int, name: str, path: Path) -> None:
    for row, value in enumerate(chunk.cast(pa.large_binary(), safe=False).to_pylist(), first):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            raise DataError(
                "{path}: column {name}, row {row} has a byte that is not UTF-8 "
                "(0x{value}); write the file again with UTF-8 text",
                path=path,
                name=name,
                row=row,
                value=f"{value[error.start]:02x}",
            ) from error
