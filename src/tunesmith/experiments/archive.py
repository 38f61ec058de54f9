"""An experiment as one file: everything that another machine needs to look at it and repeat it.

A zip: below `experiment/` the experiment's folder; below `data/` its data version, a Parquet file a
split, where it is in it; `archive.json` with what it is, and the hash of every other file. Nothing
in it is ever run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.data.content import dataset_hash
from tunesmith.data.writing import write_table
from tunesmith.errors import DataError, NotFoundError, StateError, StorageError
from tunesmith.experiments.datasets import open_versions
from tunesmith.experiments.importing import import_folder
from tunesmith.experiments.states import local_folder
from tunesmith.experiments.versions import whole_tables
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import DatasetVersion, Experiment
from tunesmith.tracking.files import ExperimentFiles, write_json
from tunesmith.tracking.permissions import settle
from tunesmith.tracking.store import Store
from tunesmith.training.placing import placed, sha256

FORMAT = 1
"""Of the archive; a higher one is refused by this version."""

MANIFEST = "archive.json"

SMALL_DATA = 100 * 2**20
"""Bytes of rows up to which they are packed without being asked for."""

_LEFT_OUT = ("checkpoints", "process.txt")
"""What of an experiment's folder belongs to the process that trained it."""

_PIECE = 2**20


@dataclass(frozen=True)
class Archive:
    """What was packed."""

    path: Path
    files: int
    with_data: bool
    """Whether the rows of the data version are in it."""
    why_no_data: str = ""


def export_experiment(
    experiment: Experiment,
    place: Path,
    settings: Settings,
    *,
    data: bool | None = None,
    force: bool = False,
) -> Archive:
    """Pack `experiment` into the file `place`, visible when it is whole.

    `data`: whether the rows of its data version come along; None: where they are at hand and have
    at most SMALL_DATA bytes.
    Raises StateError while it waits or runs, NotFoundError when its files, or rows that were asked
    for, are nowhere, UserError when `place` is there already, StorageError.
    """
    if experiment.status.is_live:
        raise StateError(
            f"experiment {experiment.id} is {experiment.status}: wait until it has ended, or "
            f"cancel it (tunesmith experiments cancel {experiment.id})."
        )
    with placed(place, force=force) as staging:
        content = staging.with_name("content")
        _copy_folder(experiment, content / "experiment", settings)
        why = "" if data is False else _copy_data(experiment, content / "data", settings, data)
        if data is False:
            why = "not asked for"
        files = sorted(path for path in content.rglob("*") if path.is_file())
        write_json(
            content / MANIFEST,
            {
                "format": FORMAT,
                "tunesmith": metadata.version("tunesmith"),
                "experiment": experiment.id,
                "folder": Path(str(experiment.directory)).name,
                "files": {path.relative_to(content).as_posix(): sha256(path) for path in files},
            },
        )
        with zipfile.ZipFile(staging, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in (content / MANIFEST, *files):
                archive.write(path, path.relative_to(content).as_posix())
    return Archive(place, len(files), not why, why)


def import_archive(path: Path, store: Store, settings: Settings) -> Experiment:
    """Take the experiment in the archive `path` into results folder, versions and store.

    Twice is harmless. Raises DataError when it is no such archive, or damaged, and StorageError
    when it can't be unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive, path)
            folder = settings.results_dir / manifest["folder"]
            known = ExperimentFiles(folder).read_record().id if folder.exists() else None
            if known not in (None, manifest["experiment"]):
                raise DataError(f"{folder} is there already, and is another experiment: move it.")
            settings.results_dir.mkdir(parents=True, exist_ok=True)
            room = Path(tempfile.mkdtemp(prefix=".import.", dir=settings.results_dir))
            try:
                _unpack(archive, manifest["files"], room, path)
                version = _take_data(room / "data", settings, path)
                if not folder.exists():
                    settle(room / "experiment")
                    (room / "experiment").rename(folder)
            finally:
                shutil.rmtree(room, ignore_errors=True)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no archive of an experiment, or damaged: {error}") from error
    except OSError as error:
        raise StorageError(f"{path} can't be unpacked: {error.strerror or error}") from error
    if version is not None:
        store.record_dataset(version)
    return import_folder(folder, store)


def _copy_folder(experiment: Experiment, target: Path, settings: Settings) -> None:
    folder = local_folder(experiment, settings)
    if ExperimentFiles(folder).record.is_file():
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in inner.parts)
            if not path.is_file() or path.is_symlink() or hidden or inner.parts[0] in _LEFT_OUT:
                continue
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / inner)
    elif settings.artifacts:
        target.mkdir(parents=True)
        Artifacts(settings.artifacts).fetch(folder.name, target)
        for name in _LEFT_OUT:
            shutil.rmtree(target / name, ignore_errors=True)
    if not ExperimentFiles(target).record.is_file():
        raise NotFoundError(
            f"the files of experiment {experiment.id} are not on this machine: {folder} holds no "
            "experiment.json. Where its folder was moved: tunesmith experiments import FOLDER. "
            "Else export it on the machine that trained it."
        )


def _copy_data(
    experiment: Experiment, target: Path, settings: Settings, wanted: bool | None
) -> str:
    """Write the version's rows; why they were left out, or nothing."""
    reference = f"{experiment.data.get('dataset')}@{experiment.dataset_version}"
    versions = open_versions(settings)
    try:
        version = versions.get(reference)
        if version.hash != experiment.dataset_hash:
            raise NotFoundError(f"{reference} is not the data that it was trained on any more.")
        tables = versions.read(version)
    except (NotFoundError, DataError) as error:
        if wanted:
            raise
        return str(error)
    size = sum(table.nbytes for table in tables.values())
    if wanted is None and size > SMALL_DATA:
        return f"{reference} has {size / 1e6:,.0f} MB; --data takes them in all the same"
    for number, table in enumerate(tables.values()):  # a split's name need not be a file's
        write_table(table, target / f"{number}.parquet", keep_own=True)
    described = asdict(version) | {"splits": dict(version.splits), "created_at": ""}
    write_json(target / "version.json", described)
    return ""


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(archive.read(MANIFEST))
        number, folder, files = manifest["format"], manifest["folder"], manifest["files"]
        named = {name: str(digest) for name, digest in files.items()}
        sound = isinstance(manifest["experiment"], str) and isinstance(number, int)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no archive of an experiment ({MANIFEST}).") from error
    if not sound or number > FORMAT:
        raise DataError(
            f"{path} is of another format ({number!r}; this version reads up to {FORMAT}): upgrade "
            "Tunesmith."
        )
    for name in (folder, *named):
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name or "\0" in name:
            raise DataError(f"{path} is not to be trusted: it names a file {name!r}.")
    if len(PurePosixPath(folder).parts) != 1 or folder.startswith("."):
        raise DataError(f"{path} is not to be trusted: it names a folder {folder!r}.")
    return {"experiment": manifest["experiment"], "folder": folder, "files": named}


def _unpack(archive: zipfile.ZipFile, files: dict[str, str], room: Path, path: Path) -> None:
    """The files that the manifest names, each of which must have its hash, and no others."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if missing := [name for name in files if name not in sizes]:
        raise DataError(f"{path} is damaged: {missing[0]} is missing.")
    total, free = sum(sizes[name] for name in files), shutil.disk_usage(room).free
    if total > free:
        raise StorageError(
            f"{path} needs {total / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in "
            f"{room.parent}."
        )
    for name, digest in files.items():
        target = room / name
        target.parent.mkdir(parents=True, exist_ok=True)
        found, left = hashlib.sha256(), sizes[name]
        with archive.open(name) as packed, target.open("wb") as stream:
            # Not further than it says: what it says was held against the free space.
            while left > 0 and (piece := packed.read(min(_PIECE, left))):
                left -= len(piece)
                found.update(piece)
                stream.write(piece)
        if found.hexdigest() != digest:
            raise DataError(f"{path} is damaged: {name} is not what was packed.")


def _take_data(folder: Path, settings: Settings, path: Path) -> DatasetVersion | None:
    """Record the data version in the archive, which this installation may have already."""
    if not folder.exists():
        return None
    try:
        told = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        tables: dict[str, pa.Table] = {
            split: pq.read_table(folder / f"{number}.parquet")
            for number, split in enumerate(told["splits"])
        }
        whole = whole_tables(tables, told["split_by"])
        if dataset_hash(whole) != told["hash"]:
            raise DataError(f"{path} is damaged: its rows are not those of {told['hash']}.")
        version, _ = open_versions(settings).record(
            told["name"],
            tables,
            hash=told["hash"],
            source=told["source"],
            split_by=told["split_by"],
            rules=told["rules"],
            report=told["report"],
            label_counts=told["label_counts"],
            description=told["description"],
            created_by=told["created_by"],
        )
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged: its data can't be read ({error}).") from error
    return version
