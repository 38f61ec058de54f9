"""The Hugging Face hub: its datasets, its cache and its folder format, as Arrow tables.

`datasets` takes a second to import, so it is imported only when a dataset is read this way.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies

import pyarrow as pa

from tunesmith.data.reading import folders
from tunesmith.data.reading.compressed import most_bytes
from tunesmith.errors import DataError, nearest

CONNECT_SECONDS = 5.0

OFFLINE_HELP = (
    "Without the hub these work: a file (CSV, TSV, JSON, JSON Lines, Parquet), a file of an "
    "installed package (package:NAME/inner/path), and a dataset already in the hub's cache (the "
    "folder that HF_HOME names, by default ~/.cache/huggingface)"
)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SETTINGS = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class HubData:
    """What the hub, its cache or a folder in its format gave."""

    tables: dict[str, pa.Table]
    """Split name → rows, without `_row`."""
    label_names: dict[str, list[str]]
    """Column of class numbers (or of lists of them) → the names of the classes."""
    commit: str | None
    """The hub's commit, where known."""


def read_hub(
    name: str,
    config: str | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
) -> HubData:
    """The splits of the hub dataset `name` (`owner/name`, or `glue`), downloaded once and cached.

    Where the hub can't be reached, what its cache holds of the dataset is used.

    Raises DataError when the hub can't be reached and nothing is cached; when the dataset, the
    revision or the config isn't there, or must be chosen; when access must be asked for first; and
    when the dataset is a script, which nothing runs, `trust_remote_code` or not.
    """
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    if name in _PACKAGED_DATASETS_MODULES:
        raise DataError(
            f"{name} is a file format, not a dataset; give the file itself, as in ./reviews.{name}"
        )
    if hub_is_reachable():
        try:
            _check_settings(name, revision, token)
            return _load(name, config, revision=revision, token=token)
        except ConnectionError:
            pass  # it went away meanwhile: see what the cache holds
        except _expected_errors() as error:
            _explain(error, name, config, revision, token, trust_remote_code)
    try:
        return _read_cache(name, config, revision)
    except _expected_errors() as error:
        _explain(error, name, config, revision, token, trust_remote_code)


def read_folder(folder: Path, config: str | None = None, *, name: str | None = None) -> HubData:
    """The splits of a folder in the hub's dataset format, or written by `save_to_disk`.

    `name` is what messages call it, by default the folder's path. Raises DataError as `read_hub`.
    """
    try:
        return _load(str(folder), config)
    except _expected_errors() as error:
        _explain(error, name or str(folder), config, None, None, False)


def _load(
    name: str, config: str | None, *, revision: str | None = None, token: str | None = None
) -> HubData:
    import datasets

    with _quiet():
        if any((Path(name) / marker).is_file() for marker in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, config, revision=revision, token=token)
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({str(loaded.split or "train"): loaded})
    tables: dict[str, pa.Table] = {}
    label_names: dict[str, list[str]] = {}
    commit: str | None = None
    size = sum(int(rows.data.nbytes) for rows in loaded.values())
    if size > (most := most_bytes()):
        raise DataError(
            f"{name} has {size >> 20:,} MiB of rows, more than {most >> 20:,} MiB, a third of the "
            "memory that is left on this machine: reading stopped"
        )
    for split, rows in loaded.items():
        tables[str(split)] = rows.with_format("arrow")[:].replace_schema_metadata(None)
        for column, feature in rows.features.items():
            # The classes of one label, or of a list of labels.
            for part in (feature, getattr(feature, "feature", None)):
                if isinstance(part, datasets.ClassLabel):
                    label_names[column] = list(part.names)
        commit = commit or _commit(rows)
    return HubData(tables, label_names, commit)


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
            folders.check_settings(Path(file), f"{settings} of {name}")


def _commit(rows: Any) -> str | None:
    """The hub's commit: `datasets` names the cache folder of a hub dataset's files after it."""
    folders = (Path(file["filename"]).parent.name for file in rows.cache_files)
    return next((folder for folder in folders if _COMMIT.fullmatch(folder)), None)


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
            version = f" at revision {revision}" if revision else ""
            raise ConnectionError(f"{name}{version} is not in the cache") from error
        folders.check_inside(Path(folder))
        found = read_folder(Path(folder), config, name=name)
    return HubData(found.tables, found.label_names, commit=Path(folder).name)


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
    import datasets
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    data_bars, hub_bars = datasets.is_progress_bar_enabled(), not are_progress_bars_disabled()
    levels = datasets.logging.get_verbosity(), logging.get_verbosity()
    datasets.disable_progress_bar()
    disable_progress_bars()
    datasets.logging.set_verbosity_error()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        datasets.logging.set_verbosity(levels[0])
        logging.set_verbosity(levels[1])
        if data_bars:
            datasets.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()


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


def _explain(
    error: Exception,
    name: str,
    config: str | None,
    revision: str | None,
    token: str | None,
    trust_remote_code: bool,
) -> NoReturn:
    """Raises the DataError that says in one paragraph what `error` of `datasets` means."""
    import httpx2
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError
    from huggingface_hub.errors import LocalEntryNotFoundError

    text = " ".join(str(error).split())
    if "scripts are no longer supported" in text:
        tried = " trust_remote_code doesn't change that." if trust_remote_code else ""
        message = (
            f"{name} is a script that makes its data, and nothing runs a stranger's script here."
            f"{tried} The hub often keeps a Parquet copy: try revision refs/convert/parquet"
        )
    elif "gated dataset" in text:
        need = "the account of HF_TOKEN must be given access" if token else "HF_TOKEN must be set"
        message = (
            f"{name} is a gated dataset: accept its terms at "
            f"https://huggingface.co/datasets/{name}, and {need}"
        )
    elif "Revision" in text and "doesn't exist" in text:
        message = f"{name} has no revision {revision!r} on the hub"
    elif "doesn't exist on the Hub" in text:
        message = (
            f"{name} is neither a file here nor a dataset on the Hugging Face hub (a private one "
            "needs an HF_TOKEN that may read it)"
        )
    elif isinstance(error, ValueError) and "onfig" in text and (names := _SETTINGS.search(text)):
        message = _config_message(name, config, names.group(1))
    elif isinstance(error, EmptyDatasetError | DataFilesNotFoundError):
        message = f"{name} holds no data files that can be read"
    elif isinstance(error, httpx2.TransportError | ConnectionError | LocalEntryNotFoundError):
        message = (
            f"{name} is not a file here, and the Hugging Face hub can't be reached to look for it "
            f"there ({_first_line(error)}). {OFFLINE_HELP}"
        )
    else:
        cause = error.__cause__ or error
        message = f"{name} can't be read as a dataset: {type(cause).__name__}: {_first_line(cause)}"
    raise DataError(message) from error


def _config_message(name: str, config: str | None, listed: str) -> str:
    known = [part.strip().strip("'\"") for part in listed.split(",")]
    choices = ", ".join(known)
    if config is None:
        return f"{name} has several configs; set data.dataset_config to one of: {choices}"
    likely = nearest(config, known)
    hint = f"; did you mean {likely}?" if likely else ""
    return f"{name} has no config {config!r}; it has: {choices}{hint}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
