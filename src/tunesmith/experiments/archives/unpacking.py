"""An experiment out of the archive of another machine: nothing in it is trusted.

What it says of itself may have been written by anybody. So names, sizes and kinds of its entries
are bounded, its rows and files must be those that it names by hash, an experiment that is known
here is never replaced by other content, nobody's dataset gets a new current version, and no code
that comes with a base model is run because an archive says so.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter
from pydantic_core import from_json

from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.data.content import dataset_hash
from tunesmith.data.reading.formats import parquet
from tunesmith.data.versions.held_out import whole_tables
from tunesmith.errors import ConfigError, DataError, StorageError
from tunesmith.experiments.archives.importing import import_folder
from tunesmith.experiments.archives.manifest import (
    MANIFEST,
    Manifest,
    damaged,
    read_entries,
    read_manifest,
    untrusted,
)
from tunesmith.experiments.datasets.importing import record_beside
from tunesmith.files.environment import this_person
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.permissions import settle
from tunesmith.files.writing import sha256, write_text
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion, Experiment
from tunesmith.store.store import Store

MOST_RECORD = 64 << 20
"""Bytes of a file of JSON in it that is read whole."""

SOURCE = ".archive"
"""File in the experiment's folder: the hash of the archive's list of files that it came from."""

_PIECE = 2**20
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises that is damaged, encrypted, or packed in a way nobody uses."""


def import_archive(path: Path, store: Store, settings: Settings) -> Experiment:
    """Take the experiment in the archive `path` into results folder, versions and store.

    It belongs to whoever is at this machine. Twice is harmless. Raises DataError when it is no such
    archive, damaged, too large, or other than the experiment of its id that is known here; and
    StorageError when it can't be unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = read_entries(archive, path)
            manifest = read_manifest(archive, entries, path)
            folder = settings.results_dir / manifest.folder
            if folder.exists():
                _require_same(folder, manifest, path)
                return import_folder(folder, store)
            settings.results_dir.mkdir(parents=True, exist_ok=True)
            room = Path(tempfile.mkdtemp(prefix=".import.", dir=settings.results_dir))
            try:
                _unpack(archive, entries, manifest, room, path)
                _disarm(room / "experiment", manifest, store, path)
                version = _take_data(room / "data", settings, path)
                settle(room / "experiment")
                (room / "experiment").rename(folder)
            finally:
                shutil.rmtree(room, ignore_errors=True)
    except _BROKEN as error:
        raise DataError(
            "{path} is no archive of an experiment, or damaged: {error}", path=path, error=error
        ) from error
    except OSError as error:
        raise StorageError(
            "{path} can't be unpacked: {error}", path=path, error=error.strerror or error
        ) from error
    if version is not None:
        store.record_dataset(version)
    return import_folder(folder, store)


def _require_same(folder: Path, manifest: Manifest, path: Path) -> None:
    """Raises DataError unless `folder` holds what the archive holds."""
    files = ExperimentFolder(folder)
    if files.read_record().id != manifest.experiment:
        raise DataError(
            "{folder} is there already, and is another experiment: move it.", folder=folder
        )
    source = folder / SOURCE
    if source.is_file():
        same = source.read_text(encoding="utf-8") == manifest.digest
    else:  # it was trained here, and packed here
        same = manifest.files.get("experiment/experiment.json") == sha256(files.record)
    if not same:
        raise _other_content(manifest, path)


def _other_content(manifest: Manifest, path: Path) -> DataError:
    return DataError(
        "{path} says that it is experiment {id}, which is known here with other "
        "content and is not replaced. To take this one, delete the other first.",
        path=path,
        id=manifest.experiment,
    )


def _unpack(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    manifest: Manifest,
    room: Path,
    path: Path,
) -> None:
    """The files that the manifest names, each of which must have its hash, and no others."""
    total = sum(entries[name].file_size for name in manifest.files)
    free = shutil.disk_usage(room).free
    if total > free // 2:  # what else is written here needs room too
        raise StorageError(
            "{path} needs {total:,.0f} MB, and {free:,.0f} MB are free in {folder}, "
            "half of which it may take.",
            path=path,
            total=total / 1e6,
            free=free / 1e6,
            folder=room.parent,
        )
    for name, digest in manifest.files.items():
        target = room / name
        target.parent.mkdir(parents=True, exist_ok=True)
        found, left = hashlib.sha256(), entries[name].file_size
        with archive.open(name) as packed, target.open("xb") as stream:
            # Not further than it says: what it says was held against the free space.
            while left > 0 and (piece := packed.read(min(_PIECE, left))):
                left -= len(piece)
                found.update(piece)
                stream.write(piece)
        if found.hexdigest() != digest:
            raise damaged(path, say("{name} is not what was packed.", name=name))


def _disarm(folder: Path, manifest: Manifest, store: Store, path: Path) -> None:
    """Make what the folder says of the experiment something that may be believed here."""
    files = ExperimentFolder(folder)
    for file in (files.record, files.about):
        if file.exists() and file.stat().st_size > MOST_RECORD:
            raise untrusted(path, say("its {name} is too large.", name=file.name))
    try:
        stated = TypeAdapter(Experiment).validate_python(asdict(files.read_record()))
    except ValueError as error:
        raise damaged(path, say("its experiment.json can't be read.")) from error
    if stated.id != manifest.experiment:
        raise untrusted(path, say("its {manifest} names another experiment.", manifest=MANIFEST))
    if stated.status.is_live:
        raise untrusted(path, say("its experiment has not ended."))
    known = store.known(stated.id)
    if known is not None and (known.created_at, known.config, known.metrics) != (
        stated.created_at, stated.config, stated.metrics,
    ):  # fmt: skip
        raise _other_content(manifest, path)
    # Whose it is, and what waits for whom, are matters of the machine that it comes from.
    taken = replace(
        stated, owner="" if known is None else known.owner, config=_without_code(stated.config),
        queue=None, priority=0, rank=0.0, runs_after=None, lease=None,
        pid=None, host=None, machine=None, process_started=None,
    )  # fmt: skip
    files.write_record(taken)
    _write_config(files, taken.config)
    write_text(folder / SOURCE, manifest.digest)


def _without_code(config: Any) -> dict[str, Any]:
    """`config` without leave to run the code that comes with its base model."""
    model = dict(config.get("model") or {})
    if not model.get("trust_remote_code"):
        return dict(config)
    return {**config, "model": {**model, "trust_remote_code": False}}


def _write_config(files: ExperimentFolder, config: Mapping[str, Any]) -> None:
    """Write `config.yaml` from the record, whatever was sent as such: people train with it again.

    Where this version can't read the record's configuration, there is none.
    """
    try:
        text = to_yaml(read_draft(config).config())
    except ConfigError:
        files.config.unlink(missing_ok=True)
    else:
        write_text(files.config, text)


def _take_data(folder: Path, settings: Settings, path: Path) -> DatasetVersion | None:
    """Record the data version in the archive, which this installation may have already."""
    if not folder.exists():
        return None
    try:
        description = folder / "version.json"
        if description.stat().st_size > MOST_RECORD:
            raise untrusted(path, say("its {name} is too large.", name=description.name))
        stated = from_json(description.read_bytes())
        tables: dict[str, pa.Table] = {
            str(split): parquet.read(place, place)
            for number, split in enumerate(stated["splits"])
            for place in [folder / f"{number}.parquet"]
        }
        whole = whole_tables(tables, stated["split_by"])
        if dataset_hash(whole) != stated["hash"]:
            raise damaged(path, say("its rows are not those of {hash}.", hash=stated["hash"]))
        version, _ = record_beside(
            settings,
            str(stated["name"]),
            this_person(),
            tables=tables,
            hash=stated["hash"],
            source=str(stated["source"]),
            split_by=dict(stated["split_by"]),
            rules=dict(stated["rules"]),
            report=dict(stated["report"]),
            label_counts=dict(stated["label_counts"]),
            description=str(stated["description"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise damaged(path, say("its data can't be read ({error}).", error=error)) from error
    return version
