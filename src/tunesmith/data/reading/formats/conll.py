"""CoNLL files: a word a line with its tags behind it, and a blank line between sentences.

As the shared tasks of CoNLL-2000 and 2003 wrote them, and GermEval, WNUT, MultiCoNER and others
after them: columns apart by tabs or spaces, `-DOCSTART-` between documents, comments after `#`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from tunesmith.data.reading.compressed import LEAST_BYTES
from tunesmith.data.reading.formats.base import TextFormat
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows, Unreadable, number_rows
from tunesmith.errors import DataError
from tunesmith.files.headroom import memory_left
from tunesmith.messages import say, say_plural

DOCUMENT = "-DOCSTART-"
MOST_COLUMNS = 50
MOST_KINDS = 50
"""Kinds of entities, at most, where their tags have no letter before them."""
TIMES = 16
"""Python's objects of a file take so many times its bytes."""
_TAG = re.compile(r"O|[BIESLUMW]([-_:.].+)?|.+[-_:.][BIESLUMW]")
_HEADER = frozenset((
    "tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity", "bio", "iob",
))  # fmt: skip
_CLEAR = 0.9
"""Share of lines that must look like a word with its tag."""


class Conll(TextFormat):
    """Words with tags, a line each."""

    name = "conll"
    label = say("CoNLL")
    endings: ClassVar[tuple[str, ...]] = (
        ".conll", ".conllu", ".conll2003", ".iob", ".iob2", ".bio", ".bioes", ".ner",
    )  # fmt: skip
    rank = -1

    def recognizes_text(self, head: str) -> bool:
        """Whether its lines are words with tags, and blank lines stand between some."""
        lines = head.splitlines()[:-1] if len(head) > 60_000 else head.splitlines()
        filled = [line for line in lines if line.strip() and not _is_comment(line)]
        apart = any(not line.strip() for line in lines[:-1]) or head.startswith(DOCUMENT)
        if not apart or len(filled) < 2 or lines[0].lstrip()[:1] in ("{", "["):
            return False
        shape = _shape(filled)
        if shape is None:
            return False
        rows = [shape.split(line) for line in filled]
        tags = Counter(row[-1] for row in rows if len(row) == shape.width)
        known = sum(times for tag, times in tags.items() if _TAG.fullmatch(tag))
        most = max(tags, key=tags.__getitem__, default="")
        are_tags = known > _CLEAR * tags.total() - 1 or (most == "O" and len(tags) < MOST_KINDS)
        return are_tags and tags.total() > _CLEAR * len(rows)

    def read_text(self, data: bytearray, path: Path, options: ReadingOptions) -> FileRows:
        """The sentences. Raises DataError where there are none."""
        if len(data) > max(LEAST_BYTES, memory_left() // TIMES):
            raise DataError(
                "{path}: sentences of {size:,} MiB take more memory to read than is left on this "
                "machine; write them as Parquet",
                path=path,
                size=len(data) >> 20,
            )
        return read(data.decode(), path)


@dataclass(frozen=True)
class _Shape:
    """How a line is made."""

    delimiter: str | None
    """None: any white space."""
    width: int

    def split(self, line: str) -> list[str]:
        """The values of a line."""
        if self.delimiter is None:
            values = line.split()
            # A space may be a word, where each character is one.
            return [" ", *values] if len(values) == self.width - 1 and line[:1] == " " else values
        if self.delimiter == "," and '"' in line:
            return next(csv.reader([line]), [])
        return [value.strip() for value in line.split(self.delimiter)]


@dataclass
class _Sentences:
    """What was read so far."""

    rows: list[list[list[str]]] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, lines: Sequence[tuple[int, str]], shape: _Shape, document: int) -> None:
        """Take the lines of one sentence, each with its number."""
        number = len(self.rows) + len(self.skipped) + 1
        words = []
        for place, line in lines:
            values = shape.split(line)
            if len(values) != shape.width:
                reason = say_plural(
                    "has {n} value instead of {m}",
                    "has {n} values instead of {m}",
                    n=len(values),
                    m=shape.width,
                )
                self.unreadable.append(Unreadable.of(place, line, reason))
                self.skipped.append(number)
                return
            words.append(values)
        self.rows.append(words)
        self.documents.append(document)


def read(text: str, path: Path) -> FileRows:
    """The sentences of `text`: `tokens`, and a column for each further one of the file.

    The tags are `ner_tags`. Unreadable is a sentence with a line of another number of values.
    Raises DataError where no line has two, or most sentences can't be read.
    """
    lines = text.splitlines()
    filled = [line for line in lines[:20_000] if line.strip() and not _is_comment(line)]
    shape = _shape(filled)
    if shape is None:
        raise DataError(
            "{path}: no word with a tag stands on its lines: a word, a tab or space, and its tag "
            "are needed",
            path=path,
        )
    found = _Sentences()
    document = 0
    names: list[str] | None = None
    for number, sentence in enumerate(_sentences(lines, shape)):
        if number == 0 and _is_header(shape.split(sentence[0][1])):
            names = shape.split(sentence[0][1])
            sentence = sentence[1:]
        if sentence and sentence[0][1].startswith(DOCUMENT):
            document += 1
            sentence = sentence[1:]
        if sentence:
            found.add(sentence, shape, document)
    if not found.rows:
        raise DataError("{path} has no sentence that can be read", path=path)
    columns = _columns(found.rows, names, shape.width)
    if document:
        columns["document"] = pa.array(found.documents)
    return FileRows(number_rows(pa.table(columns), found.skipped), tuple(found.unreadable))


def _sentences(lines: Sequence[str], shape: _Shape) -> Iterator[list[tuple[int, str]]]:
    """The lines of each sentence, with their numbers; comments are left out."""
    sentence: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if _is_comment(line):
            values = shape.split(line)
            if len(values) != shape.width or not _TAG.fullmatch(values[-1]):
                continue
        if line.startswith(DOCUMENT) and sentence:
            yield sentence
            sentence = []
        is_blank = not line.strip() or (shape.delimiter == "," and not line.strip(", "))
        if not is_blank:
            sentence.append((number, line))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _columns(
    rows: Sequence[Sequence[Sequence[str]]], names: Sequence[str] | None, width: int
) -> dict[str, pa.Array]:
    """Column → the values of each sentence, a list."""
    parts = [
        [[values[place] for values in sentence] for sentence in rows] for place in range(width)
    ]
    first = 1 if width > 2 and all(map(_counts, parts[0])) else 0
    tagged = [
        place for place in range(first + 1, width) if all(_are_tags(tags) for tags in parts[place])
    ]
    # The outer entities come first where lines are numbered (GermEval), else the last are entities.
    ner = (tagged[0] if first else tagged[-1]) if tagged else width - 1
    called = {first: "tokens", ner: "ner_tags"}
    usual = {1: "pos_tags", 2: "chunk_tags"}
    for place in range(width):
        other = f"column_{place + 1}"
        if names is not None:
            other = names[place] or other
        elif first == 0 and width <= 4:
            other = usual.get(place, other)
        called.setdefault(place, other)
    if len(set(called.values())) < width:
        called |= {p: f"column_{p + 1}" for p in range(width) if p not in (first, ner)}
    return {called[place]: pa.array(parts[place], pa.list_(pa.string())) for place in range(width)}


def _counts(values: Sequence[str]) -> bool:
    """Whether the values of a sentence are its words' numbers."""
    return all(value.isdecimal() for value in values) and values[0] in ("0", "1")


def _are_tags(tags: Sequence[str]) -> bool:
    return all(_TAG.fullmatch(tag) for tag in tags)


def _is_comment(line: str) -> bool:
    return line.startswith("#") and line[1:2] in (" ", "\t")


def _is_header(values: Sequence[str]) -> bool:
    return values[-1].casefold() in _HEADER


def _shape(lines: Sequence[str]) -> _Shape | None:
    """How most lines are made; None where they are not of two values or more."""
    if not lines:
        return None
    for delimiter in ("\t", None, ","):
        counts = Counter(
            len(line.split(delimiter)) for line in lines if not line.startswith(DOCUMENT)
        )
        width, times = counts.most_common(1)[0] if counts else (0, 0)
        if 2 <= width <= MOST_COLUMNS and times > _CLEAR * len(lines) - 1:
            return _Shape(delimiter, width)
    return None
