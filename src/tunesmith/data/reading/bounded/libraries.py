"""What runs in the other process: libraries that read a file, and nothing of ours above them.

    python -m tunesmith.data.reading.bounded.libraries SECONDS BYTES < [name, path, folder, options]

It leaves the rows in `folder`, as a stream of Arrow of so many bytes at most, with what else it
found; or the library's words.
"""

from __future__ import annotations

import errno
import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from importlib.abc import MetaPathFinder
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.data.reading.bounded import databases, workbook_parts
from tunesmith.data.reading.bounded.types import plain

TABLE, ABOUT = "rows.arrow", "about"
UNREAD, NO_MEMORY = 3, 4
"""Exit codes: the library can't read the file; there is no memory for what is in it."""

CHUNK_ROWS = 4096

EXACT = 1e15
"""Whole numbers below are written without an exponent, as spreadsheets show them."""

Batches = Iterator[pa.RecordBatch]
"""The first batch gives the schema; there is at least one."""


def sheet(path: str, wanted: str | None) -> tuple[Batches, dict[str, Any]]:
    """The cells of one sheet as columns of text.

    `wanted` is its name or its number from 1; None for the first visible one that isn't empty.

    Beside them: `sheets`, the names of all, and `sheet`, the name of this one; None, and no rows,
    where there is none. `merged` has the column of cells that are one over several rows, the first
    and the last of these, `spans` whether there are such where they aren't known, and `unsaid`
    columns with how many of their formulas have no value.
    """
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    with Path(path).open("rb") as file:  # whatever its name says
        workbook = CalamineWorkbook.from_filelike(file)
    every = [each for each in workbook.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    names = [each.name for each in every]
    seen = [each.name for each in every if each.visible == SheetVisibleEnum.Visible]
    tried = _named(wanted, names) if wanted is not None else [*seen, *sorted({*names} - {*seen})]
    for name in tried:
        found = workbook.get_sheet_by_name(name)
        if found.height and found.width:
            about = {"sheet": name, "sheets": names, **_beside(path, found)}
            return _cells(found.iter_rows(), found.width), about
    empty = tried[0] if wanted is not None and tried else None
    return iter([_batch([], 1)]), {"sheet": empty, "sheets": names}


def _beside(path: str, found: Any) -> dict[str, Any]:
    """What else is to be known of a sheet; columns count from its first one that isn't empty."""
    shift = found.start[1]
    tall = [(first, last) for first, last in found.merged_cell_ranges or () if last[0] > first[0]]
    unsaid = workbook_parts.formulas_without_value(path, found.name)
    return {
        "merged": [(column - shift, row, last) for (row, column), (last, _) in tall],
        "spans": found.merged_cell_ranges is None and workbook_parts.has_spans(path),
        "unsaid": [(column - shift, count) for column, count in sorted(unsaid.items())],
    }


def _named(wanted: str, names: list[str]) -> list[str]:
    if wanted in names:
        return [wanted]
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    return names[number - 1 : number] if number else []


def _cells(rows: Iterable[list[Any]], width: int) -> Batches:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield _batch(chunk, width)


def _batch(rows: list[list[Any]], width: int) -> pa.RecordBatch:
    columns = [pa.array([_text(row[n]) for row in rows], pa.string()) for n in range(width)]
    return pa.RecordBatch.from_arrays(columns, names=[str(number) for number in range(width)])


def _text(value: Any) -> str:
    """A cell as people see it, but dates as ISO 8601 has them."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < EXACT else f"{value:.15g}"
        case datetime() | date() | time() | timedelta() | int():
            return str(value)
    return ""


def arrow(path: str) -> tuple[Batches, dict[str, Any]]:
    """The rows of an Arrow file or stream, or of a Feather file of version 1, which is neither."""
    from pyarrow import feather

    with Path(path).open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"FEA1"):
        return _of_table(feather.read_table(path, memory_map=True)), {}
    source = pa.memory_map(path)
    if magic != b"ARROW1":
        stream = pa.ipc.open_stream(source)
        return _all(stream, stream.schema), {}
    reader = pa.ipc.open_file(source)
    return _all((reader.get_batch(n) for n in range(reader.num_record_batches)), reader.schema), {}


def orc(path: str) -> tuple[Batches, dict[str, Any]]:
    """The rows of an ORC file."""
    import pyarrow.orc

    file = pyarrow.orc.ORCFile(path)
    return _all((file.read_stripe(n) for n in range(file.nstripes)), file.schema), {}


def avro(path: str) -> tuple[Batches, dict[str, Any]]:
    """The rows of an Avro file."""
    import polars

    return _of_table(polars.read_avro(path).to_arrow()), {}


def _of_table(table: pa.Table) -> Batches:
    return _all(table.to_batches(), table.schema)


def _all(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Batches:
    yield pa.RecordBatch.from_pylist([], schema)
    for batch in batches:
        batch.validate(full=True)  # a damaged one would end the process that looks into it
        yield batch


def sqlite(path: str, wanted: str | None, query: str) -> tuple[Batches, dict[str, Any]]:
    """As `databases.sqlite`."""
    table, about = databases.sqlite(path, wanted, query)
    return _of_table(table), about


def server(path: str, address: str, query: str) -> tuple[Batches, dict[str, Any]]:
    """As `databases.server`."""
    table, about = databases.server(path, address, query)
    return _of_table(table), about


READERS: dict[str, Callable[..., tuple[Batches, dict[str, Any]]]] = {
    each.__name__: each for each in (sheet, arrow, orc, avro, sqlite, server)
}


def _work(name: str, path: str, folder: str, options: dict[str, Any]) -> int:
    try:
        batches, about = READERS[name](path, **options)
        first = plain(next(batches))
        with (
            pa.OSFile(str(Path(folder, TABLE)), "wb") as file,
            pa.ipc.new_stream(file, first.schema) as writer,
        ):
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(plain(batch))
    except (MemoryError, pa.ArrowMemoryError):
        return NO_MEMORY
    except Exception as error:  # noqa: BLE001 - whatever a library raises
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return NO_MEMORY
        Path(folder, ABOUT).write_text(f"{error}"[:1000] or repr(error), encoding="utf-8")
        return UNREAD
    Path(folder, ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return 0


class _WithoutPandas(MetaPathFinder):
    """Arrow would load pandas, which takes longer than all else here, to ask what a list is."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def main() -> int:
    """Do what standard input asks for, within so many seconds of processor time."""
    seconds, most = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, _WithoutPandas())
    return _work(*json.load(sys.stdin))


if __name__ == "__main__":
    sys.exit(main())
