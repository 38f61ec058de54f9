"""What an uploaded file is: told by its content, never by its name."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pyarrow as pa

from tunesmith.data.reading.compressed import COMPRESSIONS
from tunesmith.errors import DataError

LOOKED_AT = 1 << 16
"""Bytes at the beginning that tell what a file is."""

_COMPRESSED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
"""First bytes of compressed files → ending."""

_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel sheet: unpack it, or save the sheet as CSV",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database: export the table as CSV or Parquet",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf\x27\x1c": "an archive: unpack it",
    b"Rar!": "an archive: unpack it",
    b"ARROW1": "an Arrow file: write it as Parquet",
}


def named_by_content(path: Path, given: str) -> Path:
    """Rename an uploaded file to a harmless form of its name with the ending of its content.

    Raises DataError for a file that holds no table.
    """
    stem = re.split(r"[/\\]", given)[-1].split(".")[0]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:80] or "upload"
    target = path.with_name(plain + detect_ending(path))
    path.rename(target)
    return target


def detect_ending(path: Path) -> str:
    """The ending that a file of this content should have, such as `.csv` or `.jsonl.gz`.

    Raises DataError for a file that holds no table.
    """
    with path.open("rb") as stream:
        head = stream.read(LOOKED_AT)
    if not head:
        raise DataError("The uploaded file is empty (0 bytes).")
    for magic, ending in _COMPRESSED.items():
        if head.startswith(magic):
            return _table_ending(_unpacked(path, COMPRESSIONS[ending])) + ending
    return _table_ending(head)


def _unpacked(path: Path, compression: str) -> bytes:
    """The first bytes of what a compressed file holds."""
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            return bytes(stream.read(LOOKED_AT))
    except OSError as error:
        raise DataError(f"The uploaded file is cut short or damaged: {error}.") from error


def _table_ending(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return ".parquet"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"The uploaded file is {what}; accepted: CSV, TSV, JSON, JSON Lines, "
                            "Parquet, each also packed with gzip, bzip2 or Zstandard.")  # fmt: skip
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head.decode(encoding, "replace").lstrip()
    if text.startswith("["):
        return ".json"
    if text.startswith("{"):
        return ".jsonl" if _is_json(text.splitlines()[0]) else ".json"
    header = io.StringIO(text).readline()
    return ".tsv" if header.count("\t") > header.count(",") else ".csv"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
