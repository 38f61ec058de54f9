"""A folder of data: which file holds which split, and that nothing in it leads out of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tunesmith.data.reading import files
from tunesmith.data.reading.compressed import COMPRESSIONS, check_size
from tunesmith.data.reading.places import brat, labelled
from tunesmith.errors import DataError

CARD = "README.md"

PLAIN = ".txt"
"""The ending of texts that may be data, or about them."""

LONGEST_CARD = 1 << 20
"""Characters of a file that describes a dataset, at most."""

SETTINGS = (CARD, ".huggingface.yaml")
"""The files of a hub dataset that may say which other files hold its data."""

SAVED_TO_DISK = ("dataset_dict.json", "state.json")
"""One of these is in a folder that `datasets` wrote with `save_to_disk`."""

_SHARD = re.compile(r"([a-z]+)-(\d{5})-of-(\d{5})")
"""How a file is called that holds one of so many parts of a split."""

SPLIT_OF_STEM = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""File name without endings → the split it holds."""


def check_links(folder: Path, entries: Iterable[Path]) -> None:
    """Raises DataError when one of the `entries` of `folder` is a link that points out of it."""
    root = folder.resolve()
    allowed = [root]
    if root.parent.name == "snapshots":
        # The hub's cache: the files of a snapshot are links to the blobs beside it.
        allowed.append(root.parent.parent / "blobs")
    for entry in entries:
        if not entry.is_symlink():
            continue
        target = entry.resolve()
        if not any(target.is_relative_to(place) for place in allowed):
            raise DataError(
                "{path} is a symbolic link that leads out of the folder (to {target}); "
                "only what lies in the folder is read: copy the file into it, or give "
                "its own path",
                path=entry,
                target=target,
            )


def check_contents(folder: Path) -> None:
    """Raises DataError when a folder that is in nobody's order can't be read as a hub dataset.

    That is when it holds no file; nothing but archives, which nothing opens here; a link that
    points out of it, however deep; or a card that names files outside of it.
    """
    check_inside(folder)
    everything = sorted(folder.rglob("*"))
    entries = [entry for entry in everything if entry.is_file()]
    if not entries:
        raise DataError("{folder} is a folder without any file in it", folder=folder)
    for entry in entries:
        if entry.suffix.lower() in COMPRESSIONS:
            check_size(entry)
    archives = [entry for entry in entries if entry.suffix.lower() in files.ARCHIVES]
    if archives and not any(files.ending(entry.name) != ("", "") for entry in entries):
        raise DataError(
            "{folder} holds an archive ({name}) and no data file; unpack it first",
            folder=folder,
            name=archives[0].name,
        )
    for settings in SETTINGS:
        for name in _named_files(folder / settings):
            if PurePosixPath(name).suffix.lower() in files.ARCHIVES:
                raise DataError(
                    "{path} names an archive ({name}); unpack it first",
                    path=folder / settings,
                    name=name,
                )


def check_inside(folder: Path) -> None:
    """Raises DataError when a link or the settings of a folder lead out of it."""
    check_links(folder, sorted(folder.rglob("*")))
    for settings in SETTINGS:
        check_settings(folder / settings, str(folder / settings))


def check_settings(file: Path, called: str) -> None:
    """Raises DataError when one of the `SETTINGS` names data elsewhere than beside itself.

    `datasets` would read them: any file of this machine, any address that it can reach. `called` is
    what messages call the file.
    """
    for name in _named_files(file):
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "://" in name:
            raise DataError(
                "{path} names data outside of the folder ({name}); only what lies in the "
                "folder is read",
                path=called,
                name=name,
            )


def _named_files(file: Path) -> Iterator[str]:
    """The files and folders that a dataset's settings name. Raises DataError."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    if not file.is_file():
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read(LONGEST_CARD + 1)
        if len(text) > LONGEST_CARD:
            raise ValueError(f"more than {LONGEST_CARD:,} characters")
        if file.name == CARD:
            # Cut where `datasets` cuts it, so that it finds no settings that were not seen here.
            head = REGEX_YAML_BLOCK.search(text)
            text = head.group(2) if head else ""
        settings = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(
            "{path} begins with settings that can't be read: {error}", path=file, error=error
        ) from error
    configs = settings.get("configs") if isinstance(settings, dict) else None
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict):
            yield from _texts([config.get("data_files"), config.get("data_dir")], set())


def _texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Every text in `value`; a part that YAML's aliases repeat is looked at once."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, seen)


def split_files(folder: Path) -> dict[str, Path]:
    """Split → file for a folder whose files are named by split, or that holds one data file.

    Empty for every other folder, and where a README.md in the hub's format says what is what.

    Raises DataError when two files hold the same split, or the folder can't be listed.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise DataError(
            "{what} can't be read: {reason}", what=folder, reason=error.strerror
        ) from error
    if any(entry.name == CARD and is_dataset_card(entry) for entry in entries):
        return {}
    data = _data_files(entries)
    by_split: dict[str, Path] = {}
    for file in data:
        split = SPLIT_OF_STEM.get(files.stem(file.name).lower())
        if split is None:
            continue
        if split in by_split:
            raise DataError(
                "{folder}: {first} and {second} both hold the {split} split; leave one "
                "of them there",
                folder=folder,
                first=by_split[split].name,
                second=file.name,
                split=split,
            )
        by_split[split] = file
    if not by_split and len(data) == 1 and not any(entry.is_dir() for entry in folder.iterdir()):
        # The hub's loaders would guess types ("007" → 7); a lone file is read as it is written.
        is_saved_to_disk = any(entry.name in SAVED_TO_DISK for entry in entries)
        by_split = {} if is_saved_to_disk else {"train": data[0]}
    return by_split


def shards(folder: Path) -> dict[str, list[Path]]:
    """Split → its files in order, for a folder whose tables are cut into numbered files.

    So the hub writes them, in the folder or its `data`: `train-00000-of-00002.parquet`. Empty for
    every other folder, where files are missing, and where a README.md says what is what.
    """
    if (folder / CARD).is_file() and is_dataset_card(folder / CARD):
        return {}
    inner = folder / "data"
    place = inner if inner.is_dir() and not _data_files(folder.iterdir()) else folder
    found: dict[str, list[tuple[int, int, Path]]] = {}
    for file in sorted(_data_files(entry for entry in place.iterdir() if entry.is_file())):
        match = _SHARD.fullmatch(files.stem(file.name).lower())
        if match is None or match[1] not in SPLIT_OF_STEM:
            return {}
        shard = (int(match[2]), int(match[3]), file)
        found.setdefault(SPLIT_OF_STEM[match[1]], []).append(shard)
    for parts in found.values():
        if [(number, of) for number, of, _ in parts] != [
            (n, len(parts)) for n in range(len(parts))
        ]:
            return {}
    return {split: [file for _, _, file in parts] for split, parts in found.items()}


def _data_files(entries: Iterable[Path]) -> list[Path]:
    """Those with the ending of a format; plain texts, such as a licence, where nothing else is."""
    data = [entry for entry in entries if files.ending(entry.name) != ("", "")]
    return [entry for entry in data if files.ending(entry.name)[0] != PLAIN] or data


def only_file(folder: Path) -> Path:
    """The one data file in a folder and those in it. Raises DataError when there are others."""
    every = sorted(entry for entry in folder.rglob("*") if entry.is_file())
    data = _data_files(every) or every
    if len(data) != 1:
        raise DataError(
            "{folder} holds {n:,} data files ({names}): give one, or call them by split "
            "(train, validation, test)",
            folder=folder,
            n=len(data),
            names=[entry.relative_to(folder).as_posix() for entry in data],
        )
    return data[0]


def annotated_folders(folder: Path) -> dict[str, Path]:
    """Split → folder of brat's annotations. Raises DataError where a link leads out of `folder`."""
    return _text_folders(folder, brat.is_brat)


def labelled_folders(folder: Path) -> dict[str, Path]:
    """Split → folder of texts by label. Raises DataError where a link leads out of `folder`."""
    return _text_folders(folder, _is_labelled)


def _is_labelled(folder: Path) -> bool:
    splits = [entry.name for entry in folder.iterdir() if entry.name.lower() in SPLIT_OF_STEM]
    return not splits and labelled.is_labelled(folder)


def _text_folders(folder: Path, is_one: Callable[[Path], bool]) -> dict[str, Path]:
    """Those that are one: the folder itself, or those in it named by split; often none."""
    try:
        if is_one(folder):
            found = {"train": folder}
        else:
            inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
            found = {
                SPLIT_OF_STEM[entry.name.lower()]: entry
                for entry in inner
                if entry.name.lower() in SPLIT_OF_STEM and is_one(entry)
            }
    except OSError:
        return {}  # it can't be listed, as is said elsewhere
    if found:
        check_links(folder, sorted(folder.rglob("*")))
    return found


def is_dataset_card(readme: Path) -> bool:
    """Whether a README.md begins with settings, as the hub's dataset cards do."""
    with readme.open(encoding="utf-8", errors="replace") as text:
        return text.readline().strip() == "---"
