"""A dataset's name → its tables: a file, a folder, a file of an installed package, the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from tunesmith.data import files, hub
from tunesmith.data.packages import PREFIX, find_in_package
from tunesmith.errors import DataError

Kind = Literal["file", "package", "hub", "folder"]

SPLIT_OF_STEM = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}
"""File name without endings → the split it holds."""

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
    """Absolute path of the file or folder, or the hub's name with `@commit` where it is known."""
    label_names: dict[str, list[str]] = field(default_factory=dict)
    """Column of class numbers → the names of the classes (from the hub's ClassLabel)."""


def read_source(
    dataset_name: str,
    dataset_config: str | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
) -> Source:
    """Read every split of a dataset.

    `dataset_name` is `package:NAME/inner/path`; a path, when it exists or looks like one (it begins
    with `.`, `/` or `~`, or has a data file's ending); else a dataset of the Hugging Face hub, to
    which `dataset_config`, `revision` and `token` belong. A folder holds files named by split
    (train.csv, validation.csv, test.csv), or one file, or is in the hub's dataset format.

    Raises DataError, in one paragraph, when the data can't be found or read.
    """
    if dataset_name.startswith(PREFIX):
        return _read_path(find_in_package(dataset_name), dataset_name, "package", dataset_config)
    if "://" in dataset_name:
        raise DataError(
            f"{dataset_name}: addresses are not read; download the file and give its path"
        )
    path = _as_path(dataset_name)
    if path is not None:
        return _read_path(path, dataset_name, "file", dataset_config)
    found = hub.read_hub(
        dataset_name,
        dataset_config,
        revision=revision,
        token=token,
        trust_remote_code=trust_remote_code,
    )
    location = f"{dataset_name}@{found.commit or revision}"
    return _source(
        dataset_name, "hub", found, location if found.commit or revision else dataset_name
    )


def is_hub_dataset(name: str) -> bool:
    """Whether `name` is looked for on the hub, because it is neither a path nor a package's file.

    Raises DataError when it can be neither.
    """
    return not name.startswith(PREFIX) and "://" not in name and _as_path(name) is None


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
    return path if looks_like_path or path.exists() else None


def _read_path(path: Path, name: str, kind: Kind, config: str | None) -> Source:
    location = str(path.resolve())
    if not path.is_dir():
        return Source(name, kind, {"train": files.read_file(path)}, location)
    kind = "package" if kind == "package" else "folder"
    by_split = _split_files(path)
    if by_split:
        tables = {split: files.read_file(file) for split, file in by_split.items()}
        return Source(name, kind, tables, location)
    if not any(entry.is_file() for entry in path.rglob("*")):
        raise DataError(f"{path} is a folder without any file in it")
    return _source(name, kind, hub.read_folder(path, config), location)


def _split_files(folder: Path) -> dict[str, Path]:
    """Split → file for a folder whose files are named by split, or that holds one data file.

    Empty for every other folder, and where a README.md in the hub's format says what is what.

    Raises DataError when two files hold the same split, or the folder can't be listed.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise DataError(f"{folder} can't be read: {error.strerror}") from error
    if any(entry.name == "README.md" and _is_dataset_card(entry) for entry in entries):
        return {}
    data = [entry for entry in entries if files.ending(entry.name) != ("", "")]
    by_split: dict[str, Path] = {}
    for file in data:
        split = SPLIT_OF_STEM.get(files.stem(file.name).lower())
        if split is None:
            continue
        if split in by_split:
            raise DataError(
                f"{folder}: {by_split[split].name} and {file.name} both hold the {split} split; "
                "leave one of them there"
            )
        by_split[split] = file
    if not by_split and len(data) == 1 and not any(entry.is_dir() for entry in folder.iterdir()):
        # The hub's loaders would guess types ("007" → 7); a lone file is read as it is written.
        by_split = {} if _is_saved_to_disk(entries) else {"train": data[0]}
    return by_split


def _is_saved_to_disk(entries: list[Path]) -> bool:
    return any(entry.name in {"dataset_dict.json", "state.json"} for entry in entries)


def _is_dataset_card(readme: Path) -> bool:
    with readme.open(encoding="utf-8", errors="replace") as text:
        return text.readline().strip() == "---"


def _source(name: str, kind: Kind, found: hub.HubData, location: str) -> Source:
    """Raises DataError when no split has a row."""
    if not any(table.num_rows for table in found.tables.values()):
        raise DataError(f"{name} has no data rows")
    tables = {split: files.with_row_numbers(table) for split, table in found.tables.items()}
    return Source(name, kind, tables, location, found.label_names)
