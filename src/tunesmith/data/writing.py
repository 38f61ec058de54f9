"""Rows to a file that, read again, has the same content: CSV, TSV, JSON Lines, JSON, Parquet."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from json.encoder import encode_basestring
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tunesmith.data.content import canonical_strings
from tunesmith.data.reading.files import COMPRESSIONS, FORMATS, ending
from tunesmith.errors import DataError, StorageError
from tunesmith.tasks.values import canonical

BATCH_ROWS = 1 << 16

_Writer = Callable[[pa.Table, pa.NativeFile], None]


def write_table(table: pa.Table, path: Path, *, keep_own: bool = False) -> None:
    """Write the rows of `table` to `path` as its ending says, in place of what is there.

    Columns of ours (`_…`) are left out unless `keep_own`. CSV and TSV hold canonical strings, so
    that chats are JSON text there; JSON and Parquet keep the types that they have. The file appears
    under its name when it is whole; its folder is made.

    Raises DataError when the ending names no format, there is no column to write, or a text for CSV
    or TSV holds a NUL character, which they can't; StorageError when the file can't be written.
    """
    kind, compression = ending(path.name)
    if not kind or (kind == ".parquet" and compression):
        raise DataError(
            f"{path}: files of this ending are not written; accepted: {', '.join(FORMATS)}, all "
            f"but .parquet also with {', '.join(COMPRESSIONS)}"
        )
    names = [name for name in table.column_names if keep_own or not name.startswith("_")]
    if not names:
        raise DataError(f"{path}: there is no column to write")
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.output_stream(str(beside), compression=COMPRESSIONS.get(compression)) as stream:
            _WRITERS[kind](table.select(names), stream)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as error:
        cause = error.strerror or str(error).partition("\n")[0]
        raise StorageError(f"{path} can't be written: {cause}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _pieces(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS)


# -- CSV, TSV ---------------------------------------------------------------------------------


def _write_delimited(table: pa.Table, stream: pa.NativeFile, delimiter: str) -> None:
    """Raises DataError naming the first value with a NUL, which ends a text for many readers."""
    # An empty piece first: it writes the header, of a table without rows too.
    for number, piece in enumerate([table.slice(0, 0), *_pieces(table)]):
        # No nulls: in a file of one column an empty value without quotes would be a blank line.
        texts = [canonical_strings(column) for column in piece.columns]
        for name, column in zip(table.column_names, texts, strict=True):
            place = pc.index(pc.match_substring(column, "\0"), True).as_py()
            if place >= 0:
                row = max(number - 1, 0) * BATCH_ROWS + place + 1
                raise DataError(
                    f"row {row:,} has a NUL character in column {name}, which CSV and TSV can't "
                    "hold; write .jsonl or .parquet"
                )
        frame = pl.DataFrame(pa.table(texts, table.column_names))
        frame.write_csv(stream, include_header=number == 0, separator=delimiter)


# -- JSON -------------------------------------------------------------------------------------


def _write_lines(table: pa.Table, stream: pa.NativeFile) -> None:
    for lines in _objects(table):
        stream.write(("\n".join(lines) + "\n").encode())


def _write_document(table: pa.Table, stream: pa.NativeFile) -> None:
    separator = "[\n"
    for lines in _objects(table):
        stream.write((separator + ",\n".join(lines)).encode())
        separator = ",\n"
    stream.write(b"\n]\n" if table.num_rows else b"[]\n")


def _objects(table: pa.Table) -> Iterator[list[str]]:
    """Every row as a JSON object on one line, many rows at a time."""
    keys = [encode_basestring(name) + ": " for name in table.column_names]
    to_texts = [_json_writer(column) for column in table.columns]
    for piece in _pieces(table):
        columns = [
            [key + text for text in write(column)]
            for key, write, column in zip(keys, to_texts, piece.columns, strict=True)
        ]
        yield [f"{{{', '.join(values)}}}" for values in zip(*columns, strict=True)]


def _json_writer(column: pa.ChunkedArray) -> Callable[[pa.ChunkedArray], list[str]]:
    """What gives the values of pieces of `column` as JSON, of the same type in all of them."""
    kind = column.type
    if not _is_finite(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)):
        return _json_strings  # JSON has no NaN
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return lambda piece: [text or "null" for text in canonical_strings(piece).to_pylist()]
    if pa.types.is_floating(kind):
        return _json_floats
    if pa.types.is_nested(kind) and _fits_json(kind):
        return lambda piece: [_json_value(value) for value in piece.to_pylist()]
    return _json_strings


def _json_strings(piece: pa.ChunkedArray) -> list[str]:
    missing = piece.is_null().to_pylist()
    texts = canonical_strings(piece).to_pylist()
    return [
        "null" if is_missing else encode_basestring(text)
        for text, is_missing in zip(texts, missing, strict=True)
    ]


def _json_floats(piece: pa.ChunkedArray) -> list[str]:
    # With a point, so that all values of a column are read as floats.
    texts = canonical_strings(piece).to_pylist()
    return [f"{text}.0" if text.lstrip("-").isdigit() else text or "null" for text in texts]


def _json_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=canonical)


def _is_finite(values: pa.Array) -> bool:
    """Whether no float in `values`, however deep, is NaN or infinite."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return _is_finite(values.storage)
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(values)).as_py() is not False
    if pa.types.is_struct(kind):
        return all(_is_finite(part) for part in values.flatten())
    if _is_list(kind):
        return _is_finite(values.flatten())
    return True


def _fits_json(kind: pa.DataType) -> bool:
    """Whether values of this type, inside lists and objects, are read as what was written."""
    if pa.types.is_struct(kind):
        return all(_fits_json(part.type) for part in kind)
    if _is_list(kind):
        return _fits_json(kind.value_type)
    return not (
        pa.types.is_nested(kind)  # maps and unions
        or pa.types.is_uint64(kind)
        or pa.types.is_dictionary(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


# -- Parquet ----------------------------------------------------------------------------------


def _write_parquet(table: pa.Table, stream: pa.NativeFile) -> None:
    for number, field in enumerate(table.schema):
        if not _fits_parquet(field):
            texts = canonical_strings(table.column(number))
            table = table.set_column(number, field.name, texts)
    pq.write_table(table, stream, compression="zstd")


def _fits_parquet(field: pa.Field) -> bool:
    """Whether a column is read from Parquet with the type that it was written with."""
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.schema([field]).empty_table(), sink)
        read = pq.read_schema(pa.BufferReader(sink.getvalue()))
    except (pa.ArrowException, OSError):  # the latter is what Parquet's own refusals become
        return False
    return bool(read.field(0).type == field.type)


_WRITERS: dict[str, _Writer] = {
    ".csv": lambda table, stream: _write_delimited(table, stream, ","),
    ".tsv": lambda table, stream: _write_delimited(table, stream, "\t"),
    ".json": _write_document,
    ".jsonl": _write_lines,
    ".ndjson": _write_lines,
    ".parquet": _write_parquet,
}
