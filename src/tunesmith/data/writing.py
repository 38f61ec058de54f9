"""Rows to a file that, read again, has the same content: CSV, TSV, JSON Lines, JSON, Parquet."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from functools import partial
from json.encoder import encode_basestring
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tunesmith.data.content import canonical_strings, is_list
from tunesmith.data.reading.compressed import COMPRESSIONS
from tunesmith.data.reading.files import ending
from tunesmith.errors import DataError, StorageError
from tunesmith.files.writing import written_whole
from tunesmith.values import canonical

BATCH_ROWS = 1 << 16

_Writer = Callable[[pa.Table, pa.NativeFile], None]


def write_table(table: pa.Table, path: Path, *, keep_own: bool = False, mark: bool = True) -> None:
    """Write the rows of `table` to `path` as its ending says, in place of what is there.

    Columns of ours (`_…`) are left out unless `keep_own`. CSV and TSV hold canonical strings, so
    that chats are JSON text there; JSON and Parquet keep the types that they have. With `mark` a
    `.csv` begins with a byte-order mark, by which Excel knows that it is UTF-8. The file appears
    under its name when it is whole; its folder is made.

    Raises DataError when the ending names no format, there is no column to write, or a text for CSV
    or TSV holds a NUL character, which they can't; StorageError when the file can't be written.
    """
    kind, compression = ending(path.name)
    if kind not in _WRITERS or compression == ".xz" or (kind == ".parquet" and compression):
        raise DataError(
            "{path}: files of this ending are not written; accepted: {names}, all "
            "but .parquet also with {names2}",
            path=path,
            names=list(_WRITERS),
            names2=[name for name in COMPRESSIONS if name != ".xz"],
        )
    names = [name for name in table.column_names if keep_own or not name.startswith("_")]
    if not names:
        raise DataError("{path}: there is no column to write", path=path)
    pressed = COMPRESSIONS.get(compression)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            written_whole(path) as partial,
            pa.output_stream(str(partial), compression=pressed) as stream,
        ):
            if mark and has_mark(path):
                stream.write(codecs.BOM_UTF8)
            _WRITERS[kind](table.select(names), stream)
    except OSError as error:
        cause = error.strerror or str(error).partition("\n")[0]
        raise StorageError("{path} can't be written: {error}", path=path, error=cause) from error


def has_mark(path: Path) -> bool:
    """Whether a file of this name is one that Excel opens, so that it needs a byte-order mark."""
    return path.suffix.lower() == ".csv"


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
                    "row {row:,} has a NUL character in column {name}, which CSV and TSV "
                    "can't hold; write .jsonl or .parquet",
                    row=row,
                    name=name,
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
        to_json = partial(json.dumps, ensure_ascii=False, default=canonical)
        return lambda piece: [to_json(value) for value in piece.to_pylist()]
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


def _is_finite(values: pa.Array) -> bool:
    """Whether no float in `values`, however deep, is NaN or infinite."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return _is_finite(values.storage)
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(values)).as_py() is not False
    if pa.types.is_struct(kind):
        return all(_is_finite(part) for part in values.flatten())
    if is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _is_finite(values.flatten())
    return True


def _fits_json(kind: pa.DataType) -> bool:
    """Whether values of this type, inside lists and objects, are read as what was written."""
    if pa.types.is_struct(kind):
        return all(_fits_json(part.type) for part in kind)
    if is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _fits_json(kind.value_type)
    return not (
        pa.types.is_nested(kind)  # maps and unions
        or pa.types.is_uint64(kind)
        or pa.types.is_dictionary(kind)
        or isinstance(kind, pa.BaseExtensionType)
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
