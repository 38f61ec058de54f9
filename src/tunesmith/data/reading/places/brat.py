"""brat's standoff format: a folder of texts (.txt), each with its annotations (.ann) beside it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.data.reading.compressed import read_bytes
from tunesmith.data.reading.rows import FileRows, Unreadable, number_rows
from tunesmith.errors import DataError
from tunesmith.messages import Message, say, say_plural

TEXT, MARKS = ".txt", ".ann"
MOST_FILES = 200_000
_ENTITY = re.compile(r"T\S*\t(\S+) ([\d ;]+)(?:\t(.*))?")
_OTHERS = {
    "R": say("relations"), "E": say("events"), "A": say("attributes"), "M": say("attributes"),
    "N": say("normalizations"), "#": say("notes"), "*": say("equivalences"),
}  # fmt: skip
_SPANS = pa.list_(
    pa.struct([
        ("start", pa.int64()), ("end", pa.int64()), ("label", pa.string()), ("text", pa.string()),
    ])
)  # fmt: skip


@dataclass
class _Found:
    """What was read of the documents so far."""

    documents: dict[str, list[Any]] = field(
        default_factory=lambda: {"document": [], "text": [], "entities": []}
    )
    skipped: list[int] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    apart: int = 0
    """Entities of several pieces."""


def is_brat(folder: Path) -> bool:
    """Whether a folder holds annotations of brat."""
    return any(entry.suffix == MARKS and entry.is_file() for entry in folder.iterdir())


def read(folder: Path) -> FileRows:
    """The documents of a folder, by name: `document`, `text` and `entities`.

    An entity of several pieces is read from its first to its last. A text without annotations
    beside it is none that was annotated, and annotations without a text can't be read.
    Raises DataError where nothing can be read.
    """
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file())[:MOST_FILES]
    texts = {entry.stem: entry for entry in entries if entry.suffix == TEXT}
    marks = {entry.stem: entry for entry in entries if entry.suffix == MARKS}
    found = _Found()
    for number, (name, beside) in enumerate(marks.items(), 1):
        if name not in texts:
            _skip(found, number, beside.name, say("has no text: {name}", name=name + TEXT))
            continue
        try:
            text, lines = (_text(path) for path in (texts[name], beside))
        except UnicodeDecodeError:
            _skip(found, number, beside.name, say("isn't UTF-8"))
            continue
        row = (
            name,
            text,
            [entity for line in lines.splitlines() for entity in _entity(line, found)],
        )
        for column, value in zip(found.documents.values(), row, strict=True):
            column.append(value)
    if not found.documents["text"]:
        raise DataError("{path} holds annotations of brat, and none of their texts", path=folder)
    table = pa.table({
        "document": pa.array(found.documents["document"], pa.string()),
        "text": pa.array(found.documents["text"], pa.large_string()),
        "entities": pa.array(found.documents["entities"], _SPANS),
    })  # fmt: skip
    left = sorted(texts.keys() - marks.keys())
    return FileRows(
        number_rows(table, found.skipped),
        tuple(found.unreadable),
        notes=tuple(_notes(found, left)),
        format="brat",
    )


def _notes(found: _Found, left: list[str]) -> list[Message]:
    """What of the folder was not read as it stands."""
    notes = []
    if found.apart:
        notes.append(
            say_plural(
                "{n:,} entity of several pieces: read from the first to the last",
                "{n:,} entities of several pieces: read from the first to the last",
                n=found.apart,
            )
        )
    if found.others:
        shown = ", ".join(f"{name} ({times:,})" for name, times in found.others.most_common())
        notes.append(say("not used of the annotations: {names}", names=shown))
    if left:
        notes.append(
            say_plural(
                "{n:,} text without annotations left out: {name}",
                "{n:,} texts without annotations left out, such as {name}",
                n=len(left),
                name=left[0] + TEXT,
            )
        )
    return notes


def _text(path: Path) -> str:
    """A file as text, its line ends as they are: places count them."""
    return read_bytes(path, "").decode()


def _skip(found: _Found, number: int, name: str, reason: str) -> None:
    found.skipped.append(number)
    found.unreadable.append(Unreadable.of(number, name, reason))


def _entity(line: str, found: _Found) -> list[dict[str, Any]]:
    """The entity on a line of annotations; none where it says something else."""
    if not line.strip():
        return []
    match = _ENTITY.fullmatch(line)
    if match is None:
        found.others[str(_OTHERS.get(line[0], say("lines that can't be read")))] += 1
        return []
    places = [int(place) for place in re.findall(r"\d+", match[2])]
    if len(places) > 2:
        found.apart += 1
    words = match[3] if len(places) == 2 else None
    return [{"start": places[0], "end": places[-1], "label": match[1], "text": words}]
