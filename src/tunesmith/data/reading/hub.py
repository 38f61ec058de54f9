"""The Hugging Face hub: its datasets, its cache and its folder format, as Arrow tables.

`datasets` takes a second to import, so it is imported only when a dataset is read this way.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import pyarrow as pa

from tunesmith.data.reading import folders
from tunesmith.data.reading.compressed import most_bytes
from tunesmith.data.reading.label_names import with_label_names
from tunesmith.errors import DataError, did_you_mean, first_line
from tunesmith.messages import say

CONNECT_SECONDS = 5.0

OFFLINE_HELP = say(
    "Without the hub these work: a file (CSV, TSV, JSON, JSON Lines, "
    "Parquet), a file of an installed package (package:NAME/inner/path), and "
    "a dataset already in the hub's cache (the folder that HF_HOME names, by "
    "default ~/.cache/huggingface)"
)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SETTINGS = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class HubData:
    """What the hub, its cache or a folder in its format gave."""

    tables: dict[str, pa.Table]
    """Split name → rows, without `_row`; classes by their names."""
    commit: str | None
    """The hub's commit, where known."""


def read_hub(name: str, config: str | None, *, revision: str | None, token: str | None) -> HubData:
    """The splits of the hub dataset `name` (`owner/name`, or `glue`), downloaded once and cached.

    Where the hub can't be reached, what its cache holds of the dataset is used.

    Raises DataError when the hub can't be reached and nothing is cached; when the dataset, the
    revision or the config isn't there, or must be chosen; when access must be asked for first; and
    when the dataset is a script, which nothing runs.
    """
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    if name in _PACKAGED_DATASETS_MODULES:
        raise DataError(
            "{name} is a file format, not a dataset; give the file itself, as in ./reviews.{name}",
            name=name,
        )
    if hub_is_reachable():
        try:
            _check_settings(name, revision, token)
            return _load(name, config, revision=revision, token=token)
        except ConnectionError:
            pass  # it went away meanwhile: see what the cache holds
        except _expected_errors() as error:
            raise _explained(error, name, config, revision, token) from error
    try:
        return _read_cache(name, config, revision)
    except _expected_errors() as error:
        raise _explained(error, name, config, revision, token) from error


def read_folder(folder: Path, config: str | None = None, *, name: str | None = None) -> HubData:
    """The splits of a folder in the hub's dataset format, or written by `save_to_disk`.

    `name` is what messages call it, by default the folder's path. Raises DataError as `read_hub`.
    """
    try:
        return _load(str(folder), config)
    except _expected_errors() as error:
        raise _explained(error, name or str(folder), config, None, None) from error


def _load(
    name: str, config: str | None, *, revision: str | None = None, token: str | None = None
) -> HubData:
    import datasets

    with _quiet():
        if any((Path(name) / marker).is_file() for marker in folders.SAVED_TO_DISK):
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, config, revision=revision, token=token)
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({str(loaded.split or "train"): loaded})
    size = sum(int(rows.data.nbytes) for rows in loaded.values())
    if size > (most := most_bytes()):
        raise DataError(
            "{name} has {size:,} MiB of rows, more than {most:,} MiB, a third of the "
            "memory that is left on this machine: reading stopped",
            name=name,
            size=size >> 20,
            most=most >> 20,
        )
    found = HubData({}, None)
    for split, rows in loaded.items():
        table = rows.with_format("arrow")[:].replace_schema_metadata(None)
        found.tables[str(split)] = with_label_names(table, rows.features.to_dict())
    # `datasets` names the cache folder of a hub dataset's files after the hub's commit.
    cached = [file["filename"] for rows in loaded.values() for file in rows.cache_files]
    names = [Path(file).parent.name for file in cached]
    return replace(found, commit=next(filter(_COMMIT.fullmatch, names), None))


def _check_settings(name: str, revision: str | None, token: str | None) -> None:
    """Raises DataError when the hub dataset's settings name data outside of it.

    `datasets` (5.2, DatasetBuilder) refuses such data too, but only after it has looked for them:
    it would ask every address that they name. What can't be had is left to it and its errors.
    """
    import httpx2
    from huggingface_hub import hf_hub_download

    for settings in folders.SETTINGS:
        with suppress(OSError, ValueError, httpx2.HTTPError), _quiet():
            file = hf_hub_download(
                name, settings, repo_type="dataset", revision=revision, token=token
            )
            folders.check_settings(Path(file), say("{n} of {rows}", n=settings, rows=name))


def hub_is_reachable() -> bool:
    """Whether the hub answers at all: its own client would retry for half a minute to find out."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True  # the way there leads through the proxy; only a request can tell
    address = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((address.hostname, address.port or 443), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _read_cache(name: str, config: str | None, revision: str | None) -> HubData:
    """What earlier downloads left: the tables `datasets` made of them, or the hub's own files.

    Raises ConnectionError when there is nothing, and DataError or an error of `datasets` when
    there is something else than was asked for.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _offline():
        try:
            found = _load(name, config)
            # `datasets` takes whichever version it has; a named one must be that one.
            if revision in {None, "main", found.commit}:
                return found
        except ConnectionError:
            pass
        try:
            folder = snapshot_download(name, repo_type="dataset", revision=revision)
        except LocalEntryNotFoundError as error:
            version = say(" at revision {revision}", revision=revision) if revision else ""
            raise ConnectionError(f"{name}{version} is not in the cache") from error
        folders.check_inside(Path(folder))
        found = read_folder(Path(folder), config, name=name)
    return replace(found, commit=Path(folder).name)


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing inside asks the network."""
    import datasets.config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and warnings of other libraries among our own lines."""
    from datasets import utils as of_datasets
    from huggingface_hub import utils as of_hub

    libraries: tuple[Any, ...] = (of_datasets, of_hub)
    before = [(lib.are_progress_bars_disabled(), lib.logging.get_verbosity()) for lib in libraries]
    for library in libraries:
        library.disable_progress_bars()
        library.logging.set_verbosity_error()
    try:
        yield
    finally:
        for library, (without_bars, level) in zip(libraries, before, strict=True):
            library.logging.set_verbosity(level)
            if not without_bars:
                library.enable_progress_bars()


def _expected_errors() -> tuple[type[Exception], ...]:
    """What `datasets` and the hub raise when a dataset can't be had."""
    import httpx2
    from datasets.exceptions import DatasetsError

    return (
        DatasetsError,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        httpx2.HTTPError,
        pa.ArrowException,
    )


def _explained(
    error: Exception, name: str, config: str | None, revision: str | None, token: str | None
) -> DataError:
    """The DataError that says in one paragraph what `error` of `datasets` means."""
    import httpx2
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError
    from huggingface_hub.errors import LocalEntryNotFoundError

    text = " ".join(str(error).split())
    if "scripts are no longer supported" in text:
        return DataError(
            "{name} is a script that makes its data, and nothing runs a stranger's script here. "
            "The hub often keeps a Parquet copy: try revision refs/convert/parquet",
            name=name,
        )
    if "gated dataset" in text:
        given = say("the account of HF_TOKEN must be given access")
        return DataError(
            "{name} is a gated dataset: accept its terms at "
            "https://huggingface.co/datasets/{name}, and {need}",
            name=name,
            need=given if token else say("HF_TOKEN must be set"),
        )
    if "Revision" in text and "doesn't exist" in text:
        return DataError(
            "{name} has no revision {revision} on the hub", name=name, revision=repr(revision)
        )
    if "doesn't exist on the Hub" in text:
        return DataError(
            "{name} is neither a file here nor a dataset on the Hugging Face hub (a "
            "private one needs an HF_TOKEN that may read it)",
            name=name,
        )
    if isinstance(error, ValueError) and "onfig" in text and (names := _SETTINGS.search(text)):
        return _config_error(name, config, names[1])
    if isinstance(error, EmptyDatasetError | DataFilesNotFoundError):
        return DataError("{name} holds no data files that can be read", name=name)
    if isinstance(error, httpx2.TransportError | ConnectionError | LocalEntryNotFoundError):
        return DataError(
            "{name} is not a file here, and the Hugging Face hub can't be reached to "
            "look for it there ({error}). {rest}",
            name=name,
            error=first_line(error),
            rest=OFFLINE_HELP,
        )
    return DataError(
        "{name} can't be read as a dataset: {kind}: {error}",
        name=name,
        kind=type(error.__cause__ or error).__name__,
        error=first_line(error.__cause__ or error),
    )


def _config_error(name: str, config: str | None, listed: str) -> DataError:
    known = [part.strip().strip("'\"") for part in listed.split(",")]
    choices = ", ".join(known)
    if config is None:
        return DataError(
            "{name} has several configs; set data.dataset_config to one of: {names}",
            name=name,
            names=choices,
        )
    return DataError(
        "{name} has no config {config}; it has: {choices}{hint}",
        name=name,
        config=repr(config),
        choices=choices,
        hint=did_you_mean(config, known),
    )
