"""A dataset's name → its tables: a file, a folder, a package's file, the hub, a version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tunesmith.data.content import dataset_hash
from tunesmith.data.reading import files, folders, hub
from tunesmith.data.reading.packages import PREFIX, find_in_package
from tunesmith.data.reading.rows import Unreadable, number_rows
from tunesmith.data.versions.store import Versions, is_reference
from tunesmith.errors import DataError, TunesmithError
from tunesmith.tracking.entities import DatasetVersion

Kind = Literal["file", "package", "hub", "folder", "version"]

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


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
    version: DatasetVersion | None = None
    """The dataset version that was read, where it was one."""

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
    trust_remote_code: bool = False,
    versions: Versions | None = None,
) -> Source:
    """Read every split of a dataset.

    `dataset_name` is `package:NAME/inner/path`; a path, when it exists or looks like one (it begins
    with `.`, `/` or `~`, or has a data file's ending); the reference of one of the dataset
    `versions` (`reviews@3`); else a dataset of the Hugging Face hub, to which `dataset_config`,
    `revision` and `token` belong. A folder holds files named by split (train.csv, validation.csv,
    test.csv), or one file, or is in the hub's dataset format.

    Raises DataError, in one paragraph, when the data can't be found or read, NotFoundError when
    there is no such version.
    """
    if dataset_name.startswith(PREFIX):
        return _read_path(find_in_package(dataset_name), dataset_name, "package", dataset_config)
    if "://" in dataset_name:
        raise DataError(
            f"{dataset_name}: addresses are not read; download the file and give its path"
        )
    if _is_version(dataset_name):
        return _read_version(dataset_name, versions)
    path = _as_path(dataset_name)
    if path is not None:
        return _read_path(path, dataset_name, "file", dataset_config)
    try:
        found = hub.read_hub(
            dataset_name,
            dataset_config,
            revision=revision,
            token=token,
            trust_remote_code=trust_remote_code,
        )
    except DataError as error:
        imported = _imported(dataset_name, versions)
        if imported is None:
            raise
        raise DataError(
            f"{error}. A dataset of this name was imported: did you mean {imported}?"
        ) from error
    location = f"{dataset_name}@{found.commit or revision}"
    return _source(
        dataset_name, "hub", found, location if found.commit or revision else dataset_name
    )


def is_hub_dataset(name: str) -> bool:
    """Whether `name` is looked for on the hub: it is no path, package's file or version.

    Raises DataError when it can be neither.
    """
    return (
        not name.startswith(PREFIX)
        and "://" not in name
        and not _is_version(name)
        and _as_path(name) is None
    )


def _is_version(name: str) -> bool:
    return is_reference(name) and not files.exists(Path(name))


def _read_version(reference: str, versions: Versions | None) -> Source:
    """Raises DataError when no versions are at hand, NotFoundError when this one isn't there."""
    if versions is None:
        raise DataError(
            f"{reference} names a version of a dataset, and dataset versions are not available "
            "here; give a file, a folder, package:NAME/inner/path, or a dataset of the hub"
        )
    version = versions.get(reference)
    location = f"{versions.root}/{version.reference}"
    return Source(reference, "version", versions.read(version), location, version=version)


def _imported(name: str, versions: Versions | None) -> str | None:
    """The reference of the current version of the dataset `name`, if one was imported."""
    if versions is None or "/" in name:
        return None
    try:
        return versions.get(name).reference
    except TunesmithError:  # not there, or not to be reached: what the hub said counts
        return None


def _as_path(name: str) -> Path | None:
    """The path that `name` stands for, or None when it is a name on the hub.

    Raises DataError when it can be neither.
    """
    if not name.strip() or "\0" in name:
        raise DataError(f"{name!r} names no dataset")
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # ~someone who isn't there
        raise DataError(f"{name}: {error}") from error
    looks_like_path = (
        name.startswith((".", "/", "~", "\\"))
        or files.ending(name) != ("", "")
        or path.suffix.lower() in (*files.UNREAD, *files.COMPRESSIONS)
        or _HUB_NAME.fullmatch(name) is None
    )
    return path if looks_like_path or files.exists(path) else None


def _read_path(path: Path, name: str, kind: Kind, config: str | None) -> Source:
    location = str(path.resolve())
    if not (files.exists(path) and path.is_dir()):
        return _of_files({"train": path}, name, kind, location)
    kind = "package" if kind == "package" else "folder"
    by_split = folders.split_files(path)
    if by_split:
        folders.check_links(path, by_split.values())
        return _of_files(by_split, name, kind, location)
    folders.check_contents(path)
    return _source(name, kind, hub.read_folder(path, config), location)


def _of_files(by_split: Mapping[str, Path], name: str, kind: Kind, location: str) -> Source:
    """The source whose splits are a file each."""
    found = {split: files.read_file(path) for split, path in by_split.items()}
    return Source(
        name,
        kind,
        {split: rows.table for split, rows in found.items()},
        location,
        unreadable={split: rows.unreadable for split, rows in found.items() if rows.unreadable},
    )


def _source(name: str, kind: Kind, found: hub.HubData, location: str) -> Source:
    """Raises DataError when no split has a row."""
    if not any(table.num_rows for table in found.tables.values()):
        raise DataError(f"{name} has no data rows")
    tables = {
        split: number_rows(_with_label_names(table, found.label_names))
        for split, table in found.tables.items()
    }
    return Source(name, kind, tables, location)


def _with_label_names(table: pa.Table, label_names: Mapping[str, Sequence[str]]) -> pa.Table:
    """Class numbers as class names (the hub's ClassLabel); its -1 (hidden label) as missing."""
    for column, names in label_names.items():
        if column in table.column_names:
            numbers = table.column(column).to_pylist()
            labels = pa.array([_named(number, names) for number in numbers])
            table = table.set_column(table.column_names.index(column), column, labels)
    return table


def _named(value: Any, names: Sequence[str]) -> Any:
    """The class name of a number, or of each number of a list; None for a hidden label."""
    if isinstance(value, list):
        return [_named(number, names) for number in value]
    return names[value] if value is not None and 0 <= value < len(names) else None
