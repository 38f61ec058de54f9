"""Questions read from a stream and answers written to one, row by row, whatever its length."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa
from pydantic_core import from_json

from tunesmith.config.schema import DataConfig
from tunesmith.data.reading.files import ending, is_plain, open_content, recognize
from tunesmith.data.reading.formats.csv import Csv
from tunesmith.data.reading.formats.jsonl import JsonLines
from tunesmith.data.reading.formats.plain_text import PlainText
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.places import archives
from tunesmith.data.reading.rows import ROW, Unreadable
from tunesmith.data.sources import Source, parse_dataset, read_data
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError
from tunesmith.messages import say
from tunesmith.names import Package, Query, Version
from tunesmith.tasks.results import Answer

LONGEST_LINE = 1_000_000
"""Bytes of one line, at most: a file without line ends is none of lines."""

FORMATS = ("text", "csv", "tsv", "jsonl")


@dataclass(frozen=True)
class Asked:
    """One row of the input."""

    row: int
    """Its number, from 1."""
    question: str | Mapping[str, Any] | None
    """None where it can't be read."""
    fault: str | None = None
    """Why it can't."""


def read_stream(stream: BinaryIO, form: str) -> Iterator[Asked]:
    """The rows of `stream`, one after the other, in one of `FORMATS`.

    A line that can't be read is a row with its fault. Raises DataError where nothing after it could
    be read: a CSV without a header, or with a quote that is never closed.
    """
    if form in ("csv", "tsv"):
        yield from _read_table(stream, "\t" if form == "tsv" else ",")
        return
    number = 0
    for line in _lines(stream):
        if line is None:
            number += 1
            yield Asked(
                number,
                None,
                say("the line is longer than {longest_line:,} bytes", longest_line=LONGEST_LINE),
            )
            continue
        if form == "jsonl" and not line.strip():
            continue
        number += 1
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Asked(
                number, None, say("the line is not UTF-8 (byte {start})", start=error.start + 1)
            )
            continue
        yield _from_json(number, text) if form == "jsonl" else Asked(number, text)


def read_table(
    request: DataConfig, *, token: str | None = None, versions: Versions | None = None
) -> Iterator[Asked] | None:
    """The rows of data that must be read as a whole, one split behind the other; None for a file
    that can be streamed.

    That is JSON Lines, a text a line, or CSV or TSV with the usual delimiter, in UTF-8. All else is
    read as for training: tables, folders, archives, versions, queries. Raises as `read_source`.
    """
    if not ReadingOptions.of(request).given() and _is_streamed(request.dataset_name):
        return None
    return _of_source(read_data(request, token=token, versions=versions))


def _is_streamed(name: str) -> bool:
    """Whether `name` is a stream, or a file whose rows are read one after the other."""
    if isinstance(parse_dataset(name), Query | Package | Version):
        return False
    path = Path(name)
    if not path.is_file():
        return not path.is_dir()
    kind, compression = ending(path.name)
    if compression or archives.is_archive(path):
        return False
    if not kind or not path.stat().st_size:
        return True
    content = open_content(path)
    found = recognize(content)
    if kind in (".csv", ".tsv"):
        return is_plain(path)
    # A table's commas may stand in any text; sentences of words with tags, and objects, don't.
    expected = (PlainText, Csv) if kind == ".txt" else (JsonLines,)
    return found is not None and issubclass(found, expected) and _begins_in_utf8(content.head)


def _begins_in_utf8(head: bytes) -> bool:
    """Whether the first line that isn't ASCII is UTF-8."""
    line = next((each for each in head.splitlines() if not each.isascii()), b"")
    try:
        line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return len(line) - error.start < 4 and head.endswith(line)  # cut within a character
    return b"\0" not in head


def _of_source(source: Source) -> Iterator[Asked]:
    number = 0
    for split, table in source.tables.items():
        broken = source.unreadable.get(split, ())
        for asked in _of_rows(table, broken):
            number += 1
            yield replace(asked, row=number)


def _of_rows(table: pa.Table, unreadable: Sequence[Unreadable]) -> Iterator[Asked]:
    """The rows, and those that can't be read where they stand among them."""
    broken, last = iter(unreadable), 0
    for batch in table.to_batches(max_chunksize=1000):
        for values in batch.to_pylist():
            row = values.pop(ROW)
            for _, line in zip(range(last + 1, row), broken, strict=False):
                yield Asked(0, None, line.reason)
            yield Asked(0, values)
            last = row
    for line in broken:
        yield Asked(0, None, line.reason)


def _from_json(number: int, text: str) -> Asked:
    try:
        value = from_json(text)
    except ValueError as error:
        return Asked(number, None, say("not valid JSON: {error}", error=error))
    if not isinstance(value, str | dict):
        return Asked(number, None, say("must be a text or an object of columns"))
    return Asked(number, value)


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines; None stands for one that is too long, of which nothing is kept."""
    while line := stream.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


def _read_table(stream: BinaryIO, delimiter: str) -> Iterator[Asked]:
    def decoded() -> Iterator[str]:
        for number, line in enumerate(_lines(stream), 1):
            if line is None:
                raise DataError(
                    "line {number:,} is longer than {longest_line:,} bytes.",
                    number=number,
                    longest_line=LONGEST_LINE,
                )
            # What isn't UTF-8 is found in its row, and reported there.
            yield line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")

    reader = csv.reader(decoded(), delimiter=delimiter, strict=True)
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        names = next(reader, None)
        if not names:
            raise DataError("the table has no header: its first line names the columns.")
        number = 0
        for values in reader:
            if not values:
                continue
            number += 1
            if len(values) != len(names):
                yield Asked(
                    number,
                    None,
                    say("has {n} values, the header {n2}", n=len(values), n2=len(names)),
                )
            elif any(not value.isprintable() and _is_broken(value) for value in values):
                yield Asked(number, None, say("the row is not UTF-8"))
            else:
                yield Asked(number, dict(zip(names, values, strict=True)))
    except csv.Error as error:
        raise DataError(
            "line {line_num:,} of the table can't be read: {error}.",
            line_num=reader.line_num,
            error=error,
        ) from error
    finally:
        csv.field_size_limit(before)


def _is_broken(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


class ObjectLines:
    """Writes an object a line: row, input, answer, probabilities, cut; base, reason, error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, asked: Asked, answer: Answer | None, base: Answer | None, fault: str) -> None:
        line: dict[str, Any] = {"row": asked.row}
        if asked.question is not None:
            line["input"] = asked.question
        if answer is not None:
            line |= asdict(answer)
            if answer.reason is None:
                del line["reason"]
        if base is not None:
            line["base"] = {"answer": base.answer, "probabilities": base.probabilities}
        if fault:
            line["error"] = fault
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")


class Table:
    """Writes the same as CSV, base where that was asked for."""

    def __init__(self, stream: TextIO, *, base: bool) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._base = base
        names = ["row", "input", "answer", "probabilities", "cut", "reason"]
        self._writer.writerow([*names, *(["base"] if base else []), "error"])

    def write(self, asked: Asked, answer: Answer | None, base: Answer | None, fault: str) -> None:
        values = [
            asked.row,
            _cell(asked.question),
            _cell(answer and answer.answer),
            _cell(answer and answer.probabilities),
            str(answer.cut).lower() if answer else "",
            _cell(answer and answer.reason),
        ]
        values += [_cell(base and base.answer)] if self._base else []
        self._writer.writerow([*values, fault])


def _cell(value: Any) -> str:
    """A value of a table: text as it is, lists and objects as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
