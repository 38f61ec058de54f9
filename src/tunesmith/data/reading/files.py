"""One file → its rows: found by its content, by its ending, or as its owner says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from tunesmith.data.reading.compressed import COMPRESSIONS, compression_of
from tunesmith.data.reading.formats import FORMATS
from tunesmith.data.reading.formats.base import Content, Format, TextFormat
from tunesmith.data.reading.formats.csv import Csv
from tunesmith.data.reading.gathered import gather_words
from tunesmith.data.reading.options import FOUND_OUT, ReadingOptions
from tunesmith.data.reading.places import archives
from tunesmith.data.reading.rows import FileRows, tidy_name
from tunesmith.errors import DataError, nearest
from tunesmith.messages import say
from tunesmith.names import exists

ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_SHEETS = (".numbers",)
_SPACY = ".spacy"
UNREAD = (_SPACY, *ARCHIVES, *_SHEETS)
"""Endings that say "this is meant as a file", whether a format has them or not."""

_FOREIGN = {
    b"PK\x03\x04": say("a ZIP archive or an Excel sheet: unpack it, or save the sheet as CSV"),
    b"%PDF": say("a PDF"),
    b"<!DOCTYPE": say("a web page: save the table that it shows, or download the file itself"),
    b"<!doctype": say("a web page: save the table that it shows, or download the file itself"),
    b"<html": say("a web page: save the table that it shows, or download the file itself"),
    b"version https://git-lfs": say("a pointer of Git LFS: fetch the file with git lfs pull"),
    b"\x89PNG": say("an image"),
    b"\xff\xd8\xff": say("an image"),
    b"\x7fELF": say("a program"),
    b"7z\xbc\xaf\x27\x1c": say("an archive: unpack it"),
    b"Rar!": say("an archive: unpack it"),
}
"""First bytes of files that hold no table that is read → what they are."""


_FROM_SPACY = (
    "python -c \"import json, spacy; from spacy.tokens import DocBin; [print(json.dumps({{'text': "
    "d.text, 'entities': [[e.start_char, e.end_char, e.label_] for e in d.ents]}})) for d in "
    "DocBin().from_disk('{0}').get_docs(spacy.blank('xx').vocab)]\" > entities.jsonl"
)
"""What writes a spaCy DocBin as JSON Lines."""


@cache
def format_endings() -> dict[str, type[Format]]:
    """Ending, such as `.csv` → the format whose files have it."""
    return {ending: kind for kind in FORMATS.values() for ending in kind.endings}


def endings() -> tuple[str, ...]:
    """Endings by which a name is taken for a file's."""
    return (*format_endings(), *UNREAD, *COMPRESSIONS)


def ending(name: str) -> tuple[str, str]:
    """The format and compression endings of a file name, lower case: `("", "")` where unknown."""
    path = Path(name.lower())
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    kind = Path(path.stem).suffix if compression else path.suffix
    return (kind, compression) if kind in format_endings() else ("", "")


def stem(name: str) -> str:
    """A file name without its format and compression endings, or an archive's."""
    kind, compression = ending(name)
    if not kind:
        packed = [each for each in archives.ENDINGS if name.lower().endswith(each)]
        return name[: len(name) - max(map(len, packed), default=0)]
    return name[: len(name) - len(kind) - len(compression)]


def read_file(path: Path, options: ReadingOptions = FOUND_OUT) -> FileRows:
    """The rows of one file, in order, with the column `_row`, and those that can't be read.

    CSV and TSV columns are strings, exactly as written. JSON values keep their types (text that
    looks like a date stays text). Parquet columns are as the file's schema says. A column `_row` of
    the file itself, as in an earlier report, is replaced.

    Raises DataError, in one paragraph that names the file and where possible the line, when the
    file is missing, empty, cut short, of no format that is read, not text in a known encoding, not
    well formed as a whole, or without data rows; or when it expands to more than 256 MiB and more
    than 100 times its size. Raises ConfigError for an option that can't be followed.
    """
    if not exists(path):
        raise _missing(path)
    content = open_content(path, options)
    kind = recognize(content)
    if kind is None:
        raise _unread(path)
    for name in options.given().keys() - kind.takes - {"format"}:
        raise options.wrong(name, say("has no meaning for {format}", format=kind.label))
    rows = gather_words(kind().read(content))
    if rows.table.num_rows == 0:
        raise DataError("{path} has no data rows", path=path)
    return replace(_with_tidy_names(rows), format=kind.name)


def _with_tidy_names(rows: FileRows) -> FileRows:
    """`rows` whose columns' names have no spaces around them, and what was changed as a note."""
    before = rows.table.column_names
    after = list(map(tidy_name, before))
    changed = [name for name, old in zip(after, before, strict=True) if name != old]
    if not changed or len(set(after)) < len(after) or not all(after):
        return rows
    note = say(
        "spaces and invisible characters around columns' names are left out: {names}", names=changed
    )
    return replace(rows, table=rows.table.rename_columns(after), notes=(*rows.notes, note))


def open_content(path: Path, options: ReadingOptions = FOUND_OUT) -> Content:
    """What is in the file at `path`, its compression known by its first bytes or its name.

    Raises DataError when it is no regular file, can't be read or is empty.
    """
    compression = compression_of(path) or next(
        (e for e in COMPRESSIONS if path.suffix.lower() == e), ""
    )
    content = Content(path, compression, options)
    if not content.head:
        raise DataError("{path} is empty (0 bytes)", path=path)
    return content


def is_plain(path: Path) -> bool:
    """Whether a file begins as a CSV or TSV of its ending does: UTF-8, the usual delimiter."""
    content = open_content(path)
    kind = format_endings().get(ending(path.name)[0])
    if content.compression or kind is None or not issubclass(kind, Csv):
        return False
    return recognize(content) in (kind, Csv) and kind.is_plain(content)


def recognize(content: Content) -> type[Format] | None:
    """The format of a file: the one asked for, else by its content, else by its ending.

    Raises ConfigError for a format that isn't there, DataError for a file of something else.
    """
    options = content.options
    if options.format is not None:
        if options.format not in FORMATS:
            near = nearest(options.format, FORMATS)
            raise options.wrong("format", say("no such format"), ", ".join(FORMATS), near)
        return FORMATS[options.format]
    kinds = sorted(FORMATS.values(), key=lambda kind: kind.rank)
    named = format_endings().get(ending(content.path.name)[0])
    if named:
        kinds.insert(sum(kind.rank < 0 for kind in kinds), named)
    for is_text in (False, True):
        for kind in kinds:
            if issubclass(kind, TextFormat) == is_text and kind().recognizes(content):
                return kind
        for magic, what in _FOREIGN.items():
            if content.head.startswith(magic):
                raise DataError("{path} is not text but {what}", path=content.path, what=what)
    return named


def _unread(path: Path) -> DataError:
    """The error for a file of an ending that isn't read, with what to do."""
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    message = say("{path}: files of this ending are not read", path=path)
    if _SPACY in suffixes:
        return DataError(
            "{message}; write spaCy's documents as JSON Lines, where spaCy is installed, and give "
            "that file: {command}",
            message=message,
            command=_FROM_SPACY.format(path.name),
        )
    if suffixes & set(ARCHIVES):
        return DataError(
            "{message}; unpack the archive, and give the file or folder in it", message=message
        )
    if suffixes & set(_SHEETS):
        return DataError(
            "{message}; save the sheet as CSV (UTF-8), and give that file", message=message
        )
    return DataError(
        "{message}; accepted: {names}, each also with {names2}",
        message=message,
        names=list(format_endings()),
        names2=list(COMPRESSIONS),
    )


def _missing(path: Path) -> DataError:
    """The error for a path that isn't there, with the nearest name in its folder."""
    folder = path.parent
    if not (exists(folder) and folder.is_dir()):
        return DataError(
            "{path}: there is no such file, and no folder {folder}", path=path, folder=folder
        )
    likely = nearest(path.name, (entry.name for entry in folder.iterdir()))
    hint = (
        say("; did you mean {name}?", name=folder / likely)
        if likely
        else say(" in {resolve}", resolve=folder.resolve())
    )
    return DataError("{path}: there is no such file{hint}", path=path, hint=hint)
