"""Tables of columns besides Parquet: Arrow and Feather, ORC, Avro."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from tunesmith.data.reading.bounded.process import UnreadError, run
from tunesmith.data.reading.formats.base import Content, Format
from tunesmith.data.reading.label_names import named_by_schema
from tunesmith.data.reading.rows import FileRows, number_rows
from tunesmith.data.reading.width import check_columns
from tunesmith.errors import DataError
from tunesmith.messages import say


class Columnar(Format):
    """A file whose own schema says what its columns are."""

    magic: ClassVar[tuple[bytes, ...]]
    """How its files may begin."""
    reader: ClassVar[str]
    """The function of `bounded.libraries` that reads them."""

    def recognizes(self, content: Content) -> bool:
        """Whether it begins as such files do."""
        return content.head.startswith(self.magic)

    def read(self, content: Content) -> FileRows:
        """The rows, columns as the file's schema says.

        Raises DataError when it is cut short or damaged, when names of columns are doubled or too
        many, or when it unfolds to more than a file of its size may.
        """
        try:
            with content.unpacked() as path:
                table = run(self.reader, path, content.path).table
        except UnreadError as error:
            raise DataError(
                "{path} is cut short or not a file of {format} ({error}); copy or download it "
                "again",
                path=content.path,
                format=self.label,
                error=error,
            ) from error
        return FileRows(numbered(named_by_schema(table), content.path))


def numbered(table: pa.Table, path: Path | str) -> pa.Table:
    """`table` with numbers of its rows. Raises DataError for names twice, or too many columns."""
    check_columns(table.num_columns, path)
    counts = Counter(table.column_names)
    if doubled := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            "{path}: these columns stand more than once: {names}", path=path, names=doubled
        )
    return number_rows(table)


class Arrow(Columnar):
    """Apache Arrow's files and streams, and Feather."""

    name = "arrow"
    label = say("Arrow")
    endings = (".arrow", ".feather", ".ipc", ".arrows")
    magic = (b"ARROW1", b"\xff\xff\xff\xff", b"FEA1")
    reader = "arrow"


class Orc(Columnar):
    """Apache ORC."""

    name = "orc"
    label = say("ORC")
    endings = (".orc",)
    magic = (b"ORC",)
    reader = "orc"


class Avro(Columnar):
    """Apache Avro."""

    name = "avro"
    label = say("Avro")
    endings = (".avro",)
    magic = (b"Obj\x01",)
    reader = "avro"
