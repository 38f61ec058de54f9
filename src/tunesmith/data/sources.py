"""A dataset's name → its tables: a file, a folder, a package's file, the hub, a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.config.schema import DataConfig
from tunesmith.data.content import dataset_hash, joined_tables
from tunesmith.data.reading import files, folders, hub
from tunesmith.data.reading.formats import FORMATS
from tunesmith.data.reading.options import FOUND_OUT, ReadingOptions
from tunesmith.data.reading.packages import find_in_package
from tunesmith.data.reading.places import archives, brat, labelled, queries
from tunesmith.data.reading.rows import ROW, FileRows, Unreadable, number_rows
from tunesmith.data.versions.held_out import whole_tables
from tunesmith.data.versions.log import Odd
from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, TunesmithError
from tunesmith.messages import Message, joined, say
from tunesmith.names import Hub, Package, Query, Reference, Version, exists, parse
from tunesmith.progress import doing
from tunesmith.store.entities.experiments import DatasetVersion

Kind = Literal["file", "package", "hub", "folder", "version", "query"]


@dataclass(frozen=True)
class ReadAs:
    """How a file was read, without its rows."""

    format: str
    """The name of its format."""
    details: Mapping[str, str]
    """Option of the configuration → what was found out, where that isn't plain."""
    notes: tuple[str, ...]
    """What its owner should know of the reading."""

    @classmethod
    def of(cls, rows: FileRows) -> ReadAs:
        """What is known of a file that was read."""
        return cls(rows.format, rows.details, rows.notes)

    @property
    def line(self) -> Message:
        """It in a few words: `read as CSV (delimiter ;, encoding cp950)`."""
        label = FORMATS[self.format].label if self.format in FORMATS else self.format
        if not self.details:
            return say("read as {format}", format=label)
        shown = (
            say("{option} {value}", option=_DETAILS[name], value=_SHOWN.get(value, value))
            for name, value in self.details.items()
        )
        return say("read as {format} ({details})", format=label, details=joined(shown, ", "))

    def to_json(self) -> dict[str, Any]:
        """It in types that JSON knows."""
        return {"format": self.format, **self.details, "notes": list(map(str, self.notes))}


KINDS: Mapping[str, str] = {
    str(kind): kind
    for kind in (
        say("true/false"), say("a number"), say("text"), say("a list"), say("an object"),
    )
}  # fmt: skip
"""The types of values, as versions keep them → as messages."""

_DETAILS = {
    "delimiter": say("delimiter"),
    "encoding": say("encoding"),
    "sheet": say("sheet"),
}
"""What may have been found out of a file → its name for people."""

_SHOWN = {"\t": "tab", " ": "space"}


@dataclass(frozen=True)
class Source:
    """A dataset as it was read: nothing dropped, nothing converted."""

    name: str
    """The dataset's name as it was given."""
    kind: Kind
    tables: dict[str, pa.Table]
    """Split name → rows, each with the int64 column `_row`; a lone file is `{"train": …}`."""
    location: str
    """Absolute path of the file or folder, the hub's name with `@commit` where it is known, or the
    root of the dataset versions with `/name@number`."""
    unreadable: Mapping[str, tuple[Unreadable, ...]] = field(default_factory=dict)
    """Split → its rows that could not be read; a split without such rows may be missing."""
    odd: Odd = field(default_factory=dict)
    """Split → column → number of a row with a value of another type than most → that type."""
    version: DatasetVersion | None = None
    """The dataset version that was read, where it was one."""
    commit: str | None = None
    """The hub's commit, where it is known."""
    read_as: Mapping[str, ReadAs] = field(default_factory=dict)
    """Split → how its file was read; empty for the hub and versions."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Split → the name of its file, where each of several has one."""

    def reading(self) -> list[Message]:
        """How its files were read, and what their owner should know of that, a line each."""
        said: dict[Message, list[str]] = {}
        for split, read in self.read_as.items():
            for line in (read.line, *(say("{note}", note=note) for note in read.notes)):
                said.setdefault(line, []).append(split)
        return [
            line
            if len(splits) == len(self.read_as)
            else say("{splits}: {line}", splits=splits, line=line)
            for line, splits in said.items()
        ]

    def place(self, split: str) -> str:
        """A split as errors name it: with its file, where it is one of several."""
        return f"{split} ({self.files[split]})" if split in self.files else split

    @cached_property
    def hash(self) -> str:
        """Content hash of all rows of all splits: the version's, else `dataset_hash`."""
        return self.version.hash if self.version is not None else dataset_hash(self.tables)


def read_source(
    dataset_name: str,
    dataset_config: str | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    versions: Versions | None = None,
    reading: ReadingOptions = FOUND_OUT,
) -> Source:
    """Read every split of a dataset.

    `dataset_name` is what `parse_dataset` takes. To a dataset of the hub `dataset_config`,
    `revision` and `token` belong; `reading` is how files are read. A folder holds files named by
    split (train.csv, validation.csv, test.csv), or one file, or is in the hub's dataset format.

    Raises DataError, in one paragraph, when the data can't be found or read, NotFoundError when
    there is no such version, ConfigError for what `reading` asks in vain.
    """
    match parse_dataset(dataset_name):
        case Package() as package:
            path = find_in_package(package)
            return _read_path(path, dataset_name, "package", dataset_config, reading)
        case Version():
            _no_file(reading)
            return _read_version(dataset_name, versions)
        case Hub() as wanted:
            _no_file(reading)
            return _read_hub(wanted, dataset_config, revision, token, versions)
        case Query() as query:
            _no_file(reading)
            return _read_query(query)
        case path:
            if not dataset_name.strip() or "\0" in dataset_name:
                raise DataError("{name} names no dataset", name=repr(dataset_name))
            if path.is_address:
                raise DataError(
                    "{name}: addresses are not read; download the file and give its path",
                    name=dataset_name,
                )
            return _read_path(path.place, dataset_name, "file", dataset_config, reading)


def read_data(
    request: DataConfig, *, token: str | None = None, versions: Versions | None = None
) -> Source:
    """Read what a configuration names as its data. Raises as `read_source`."""
    return read_source(
        request.dataset_name,
        request.dataset_config,
        revision=request.revision,
        token=token,
        versions=versions,
        reading=ReadingOptions.of(request),
    )


def parse_dataset(name: str) -> Reference:
    """What `name` refers to as a dataset: `package:NAME/inner/path`; a path; a version
    (`reviews@3`); a query to a database (`sqlite:///x.db#select …`); else a dataset of the Hugging
    Face hub."""
    return parse(name, endings=files.endings(), versions=True)


def _read_version(reference: str, versions: Versions | None) -> Source:
    """Raises DataError when no versions are at hand, NotFoundError when this one isn't there."""
    if versions is None:
        raise DataError(
            "{reference} names a version of a dataset, and dataset versions are not "
            "available here; give a file, a folder, package:NAME/inner/path, or a "
            "dataset of the hub",
            reference=reference,
        )
    version = versions.get(reference)
    location = f"{versions.root}/{version.reference}"
    tables, odd = versions.read(version), _said(versions.odd(version))
    return Source(reference, "version", tables, location, odd=odd, version=version)


def as_before_the_draw(source: Source) -> Source:
    """`source` with the rows that its version holds out back where they were."""
    if source.version is None or not source.version.split_by:
        return source
    return replace(source, tables=whole_tables(source.tables, source.version.split_by))


def _said(odd: Odd) -> Odd:
    """What a version keeps of types, which is plain text, as messages."""
    return {
        split: {
            column: {row: KINDS.get(kind, kind) for row, kind in kinds.items()}
            for column, kinds in columns.items()
        }
        for split, columns in odd.items()
    }


def _read_query(query: Query) -> Source:
    rows = queries.read(query)
    location = f"{query.file.resolve()}#{query.statement}" if query.file else str(query)
    return Source(str(query), "query", {"train": rows.table}, location)


def _read_hub(
    wanted: Hub,
    config: str | None,
    revision: str | None,
    token: str | None,
    versions: Versions | None,
) -> Source:
    """Raises DataError when it can't be read, which names an imported dataset of this name."""
    try:
        found = hub.read_hub(wanted.id, config, revision=revision, token=token)
    except DataError as error:
        imported = None
        if versions is not None and wanted.owner is None:
            with suppress(TunesmithError):  # not there, or not to be reached: the hub's word counts
                imported = versions.get(wanted.id).reference
        if imported is None:
            raise
        raise DataError(
            "{error}. A dataset of this name was imported: did you mean {name}?",
            error=error,
            name=imported,
        ) from error
    commit = found.commit or revision
    location = f"{wanted}@{commit}" if commit else wanted.id
    return _source(wanted.id, "hub", found, location, commit)


def _read_path(
    path: Path, name: str, kind: Kind, config: str | None, reading: ReadingOptions
) -> Source:
    location = str(path.resolve())
    if exists(path) and archives.is_archive(path):
        return _read_archive(path, name, kind, reading)
    if not (exists(path) and path.is_dir()):
        return _of_files({"train": path}, name, kind, location, reading)
    kind = "package" if kind == "package" else "folder"
    if annotated := folders.annotated_folders(path):
        _no_file(reading)
        read = {split: brat.read(folder) for split, folder in annotated.items()}
        return _of_rows(read, name, kind, location)
    by_split = folders.split_files(path)
    if not by_split and (by_label := folders.labelled_folders(path)):
        read = {split: labelled.read(folder, reading) for split, folder in by_label.items()}
        return _of_rows(read, name, kind, location)
    if by_split:
        folders.check_links(path, by_split.values())
        return _of_files(by_split, name, kind, location, reading)
    if config is None and (parts := folders.shards(path)):
        folders.check_links(path, [file for each in parts.values() for file in each])
        read = {split: _joined(each, reading) for split, each in parts.items()}
        return _of_rows(read, name, kind, location)
    _no_file(reading)
    folders.check_contents(path)
    return _source(name, kind, hub.read_folder(path, config), location)


def _read_archive(path: Path, name: str, kind: Kind, reading: ReadingOptions) -> Source:
    """Raises DataError when it holds neither one table nor a file for each split."""
    with archives.unpacked(path) as folder:
        kinds = (folders.annotated_folders, folders.split_files, folders.labelled_folders)
        place = folder if any(kind(folder) for kind in kinds) else folders.only_file(folder)
        read = _read_path(place, name, kind, None, reading)
    return replace(read, kind=kind, location=str(path.resolve()))


def _no_file(reading: ReadingOptions) -> None:
    """Raises ConfigError for options that only files have."""
    for name in reading.given():
        raise reading.wrong(name, say("is for files, and these data are none"))


def _of_files(
    by_split: Mapping[str, Path], name: str, kind: Kind, location: str, reading: ReadingOptions
) -> Source:
    """The source whose splits are a file each."""
    read = {}
    for split, path in by_split.items():
        doing(say("reading {path}", path=path))
        read[split] = files.read_file(path, reading)
    source = _of_rows(read, name, kind, location)
    several = {split: path.name for split, path in by_split.items()} if len(by_split) > 1 else {}
    return replace(source, files=several)


def _joined(parts: Sequence[Path], reading: ReadingOptions) -> FileRows:
    """The rows of several files as those of one; a column whose types differ is text.

    Lines of rows that can't be read are those of their file, which is named.
    """
    read = [files.read_file(path, reading) for path in parts]
    tables: list[pa.Table] = []
    unreadable: list[Unreadable] = []
    odd: dict[str, dict[int, str]] = {}
    before = 0
    for path, rows in zip(parts, read, strict=True):
        numbers = pc.add(rows.table.column(ROW), before)
        place = rows.table.column_names.index(ROW)
        tables.append(rows.table.set_column(place, ROW, numbers))
        unreadable += [
            replace(row, reason=say("{reason} ({path})", reason=row.reason, path=path.name))
            for row in rows.unreadable
        ]
        for column, kinds in rows.odd.items():
            odd.setdefault(column, {}).update({row + before: kind for row, kind in kinds.items()})
        before += rows.table.num_rows + len(rows.unreadable)
    table, differing = joined_tables(tables)
    notes = [*dict.fromkeys(note for rows in read for note in rows.notes)]
    if differing:
        notes.append(
            say("columns of other types in other files are read as text: {names}", names=differing)
        )
    return replace(read[0], table=table, unreadable=tuple(unreadable), odd=odd, notes=tuple(notes))


def _of_rows(found: Mapping[str, FileRows], name: str, kind: Kind, location: str) -> Source:
    """The source whose splits were read."""
    return Source(
        name,
        kind,
        {split: rows.table for split, rows in found.items()},
        location,
        unreadable={split: rows.unreadable for split, rows in found.items() if rows.unreadable},
        odd={split: rows.odd for split, rows in found.items() if rows.odd},
        read_as={split: ReadAs.of(rows) for split, rows in found.items()},
    )


def _source(
    name: str, kind: Kind, found: hub.HubData, location: str, commit: str | None = None
) -> Source:
    """Raises DataError when no split has a row."""
    if not any(table.num_rows for table in found.tables.values()):
        raise DataError("{path} has no data rows", path=name)
    tables = {split: number_rows(table) for split, table in found.tables.items()}
    return Source(name, kind, tables, location, commit=commit)
