"""A folder of texts for each label: `pos/1.txt`, `neg/2.txt` …, as the IMDB reviews come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from tunesmith.data.reading.compressed import read_bytes
from tunesmith.data.reading.encodings import USUAL, Decoded, decode
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.data.reading.rows import FileRows, Unreadable, number_rows
from tunesmith.errors import DataError
from tunesmith.messages import say

TEXT = ".txt"
MOST_FILES = 200_000
UNLABELLED = frozenset(("unsup", "unlabeled", "unlabelled"))
"""Folders whose texts have no label."""


def is_labelled(folder: Path) -> bool:
    """Whether a folder holds two folders of texts or more, and nothing else is in those."""
    labels = _labels(folder)
    return len(labels) > 1 and all(map(_holds_texts, labels))


def read(folder: Path, options: ReadingOptions) -> FileRows:
    """The texts of a folder by their label: `file`, `text` and `label`.

    Raises DataError where there are too many, ConfigError for an option that can't be followed.
    """
    for option in options.given().keys() - {"encoding"}:
        raise options.wrong(option, say("has no meaning for {format}", format=_CALLED))
    files = [file for label in _labels(folder) for file in sorted(label.iterdir())]
    if len(files) > MOST_FILES:
        raise DataError(
            "{folder} holds {n:,} files, more than the {most:,} that are read: write them as one "
            "table",
            folder=folder,
            n=len(files),
            most=MOST_FILES,
        )
    packed = {file: read_bytes(file, "") for file in files}
    unreadable: dict[int, Unreadable] = {}
    foreign: dict[Path, bytearray] = {}
    for number, (file, data) in enumerate(packed.items(), 1):
        try:
            text = decode(data, file, options)
        except DataError as error:
            unreadable[number] = Unreadable.of(number, _name(file), str(error))
        else:
            if text.encoding != USUAL:
                foreign[file] = data
    # All of them together tell the encoding better than each.
    joined = bytearray(b"\n").join(foreign.values())
    as_one = decode(joined, folder, options) if joined else Decoded(joined)
    known = {file: replace(options, encoding=as_one.encoding) for file in foreign}
    rows = [
        (_name(file), decode(data, file, known.get(file, options)).data.decode(), file.parent.name)
        for number, (file, data) in enumerate(packed.items(), 1)
        if number not in unreadable
    ]
    if not rows:
        raise DataError("{folder} holds no text that can be read", folder=folder)
    names, texts, labels = zip(*rows, strict=True)
    table = pa.table({
        "file": pa.array(names, pa.string()),
        "text": pa.array(texts, pa.large_string()),
        "label": pa.array(labels, pa.string()),
    })  # fmt: skip
    left = sorted({*folder.iterdir()} - {*_labels(folder)})
    notes = list(as_one.notes)
    if left:
        notes.append(say("not read: {names}", names=[entry.name for entry in left]))
    return FileRows(
        number_rows(table, list(unreadable)),
        tuple(unreadable.values()),
        notes=tuple(notes),
        format=str(_CALLED),
    )


_CALLED = say("a folder of texts for each label")


def _labels(folder: Path) -> list[Path]:
    """The folders whose names are labels, in order."""
    entries = (entry for entry in folder.iterdir() if entry.is_dir())
    shown = (entry for entry in entries if not entry.name.startswith("."))
    return sorted(entry for entry in shown if entry.name.casefold() not in UNLABELLED)


def _holds_texts(folder: Path) -> bool:
    entries = list(folder.iterdir())
    return bool(entries) and all(e.suffix.lower() == TEXT and e.is_file() for e in entries)


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
