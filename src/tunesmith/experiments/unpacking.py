"""An experiment out of the archive of another machine: nothing in it is trusted.

What it says of itself may have been written by anybody. So names, sizes and kinds of its entries
are bounded, its rows and files must be those that it names by hash, an experiment that is known
here is never replaced by other content, nobody's dataset gets a new current version, and no code
that comes with a base model is run because an archive says so.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter
from pydantic_core import from_json

from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.data.content import dataset_hash
from tunesmith.data.reading import parquet
from tunesmith.errors import ConfigError, DataError, NotFoundError, StorageError
from tunesmith.experiments.archive import FORMAT, MANIFEST
from tunesmith.experiments.datasets import record_beside
from tunesmith.experiments.importing import import_folder
from tunesmith.experiments.versions import whole_tables
from tunesmith.settings import Settings
from tunesmith.tracking.entities import ID_LENGTH, DatasetVersion, Experiment
from tunesmith.tracking.environment import this_person
from tunesmith.tracking.files import ExperimentFiles, write_text
from tunesmith.tracking.permissions import settle
from tunesmith.tracking.store import Store
from tunesmith.training.placing import sha256

MOST_FILES = 10_000
MOST_MANIFEST = 4 << 20
MOST_RECORD = 64 << 20
"""Bytes of a file of JSON in it that is read whole."""

FREE_BYTES = 1 << 30
RATIO = 200
"""Beyond `FREE_BYTES`, no more than so many times the archive's own size may come out of it."""

SOURCE = ".archive"
"""File in the experiment's folder: the hash of the archive's list of files that it came from."""

_PIECE = 2**20
_NAME = re.compile(r"[^\\\0-\x1f\x7f]{1,1000}")
_FOLDER = re.compile(r"\w[\w.-]{0,220}")
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises that is damaged, encrypted, or packed in a way nobody uses."""


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    experiment: str
    folder: str
    files: dict[str, str]
    """Name of each file → its SHA-256."""

    @property
    def digest(self) -> str:
        """Hash of the names and hashes of all files."""
        lines = "\n".join(f"{digest} {name}" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def import_archive(path: Path, store: Store, settings: Settings) -> Experiment:
    """Take the experiment in the archive `path` into results folder, versions and store.

    It belongs to whoever is at this machine. Twice is harmless. Raises DataError when it is no such
    archive, damaged, too large, or other than the experiment of its id that is known here; and
    StorageError when it can't be unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path)
            manifest = _manifest(archive, entries, path)
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
        raise DataError(f"{path} is no archive of an experiment, or damaged: {error}") from error
    except OSError as error:
        raise StorageError(f"{path} can't be unpacked: {error.strerror or error}") from error
    if version is not None:
        store.record_dataset(version)
    return import_folder(folder, store)


def _entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Name → entry; plain files only, each once, of a size that may be."""
    listed = archive.infolist()
    entries = {entry.filename: entry for entry in listed}
    if len(listed) > MOST_FILES:
        raise DataError(f"{path} holds {len(listed):,} files; at most {MOST_FILES:,} are unpacked.")
    if len(entries) < len(listed):
        raise DataError(f"{path} is not to be trusted: it names a file twice.")
    for entry in listed:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.is_dir() or entry.flag_bits & 1:
            raise DataError(
                f"{path} is not to be trusted: {entry.filename!r} is no plain file (a link, a "
                "folder, a device, or encrypted)."
            )
    total, size = sum(entry.file_size for entry in listed), path.stat().st_size
    if total > max(FREE_BYTES, RATIO * size):
        raise DataError(
            f"{path} unpacks from {size / 1e6:,.1f} MB to {total / 1e6:,.0f} MB, over {RATIO} "
            "times its size: such files are made to fill a disk, and it is not unpacked."
        )
    return entries


def _manifest(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], path: Path
) -> Manifest:
    try:
        if entries[MANIFEST].file_size > MOST_MANIFEST:
            raise DataError(f"{path}: its {MANIFEST} is larger than {MOST_MANIFEST >> 20} MiB.")
        with archive.open(MANIFEST) as stream:
            stated = from_json(stream.read(MOST_MANIFEST))
        number, files = stated["format"], {str(k): str(v) for k, v in stated["files"].items()}
        found = Manifest(str(stated["experiment"]), str(stated["folder"]), files)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no archive of an experiment ({MANIFEST}).") from error
    if not isinstance(number, int) or number > FORMAT:
        raise DataError(
            f"{path} is of another format ({number!r}; this version reads up to {FORMAT}): upgrade "
            "Tunesmith."
        )
    for name in found.files:
        parts = PurePosixPath(name).parts
        inside = parts[:1] in (("experiment",), ("data",)) and ".." not in parts
        hidden = any(part.startswith(".") for part in parts)
        if not inside or len(parts) < 2 or hidden or _NAME.fullmatch(name) is None:
            raise DataError(f"{path} is not to be trusted: it names a file {name[:200]!r}.")
    if _FOLDER.fullmatch(found.folder) is None:
        raise DataError(f"{path} is not to be trusted: it names a folder {found.folder[:200]!r}.")
    if re.fullmatch(f"[0-9a-f]{{{ID_LENGTH}}}", found.experiment) is None:
        raise DataError(
            f"{path} is not to be trusted: {found.experiment[:60]!r} is no experiment's id."
        )
    if missing := [name for name in found.files if name not in entries]:
        raise DataError(f"{path} is damaged: {missing[0]} is missing.")
    return found


def _require_same(folder: Path, manifest: Manifest, path: Path) -> None:
    """Raises DataError unless `folder` holds what the archive holds."""
    files = ExperimentFiles(folder)
    if files.read_record().id != manifest.experiment:
        raise DataError(f"{folder} is there already, and is another experiment: move it.")
    source = folder / SOURCE
    if source.is_file():
        same = source.read_text(encoding="utf-8") == manifest.digest
    else:  # it was trained here, and packed here
        same = manifest.files.get("experiment/experiment.json") == sha256(files.record)
    if not same:
        raise _other_content(manifest, path)


def _other_content(manifest: Manifest, path: Path) -> DataError:
    return DataError(
        f"{path} says that it is experiment {manifest.experiment}, which is known here with other "
        "content and is not replaced. To take this one, delete the other first."
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
            f"{path} needs {total / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in "
            f"{room.parent}, half of which it may take."
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
            raise DataError(f"{path} is damaged: {name} is not what was packed.")


def _disarm(folder: Path, manifest: Manifest, store: Store, path: Path) -> None:
    """Make what the folder says of the experiment something that may be believed here."""
    files = ExperimentFiles(folder)
    for file in (files.record, files.about):
        if file.exists() and file.stat().st_size > MOST_RECORD:
            raise DataError(f"{path} is not to be trusted: its {file.name} is too large.")
    try:
        stated = TypeAdapter(Experiment).validate_python(asdict(files.read_record()))
    except ValueError as error:
        raise DataError(f"{path} is damaged: its experiment.json can't be read.") from error
    if stated.id != manifest.experiment:
        raise DataError(f"{path} is not to be trusted: its {MANIFEST} names another experiment.")
    if stated.status.is_live:
        raise DataError(f"{path} is not to be trusted: its experiment has not ended.")
    known = _known(stated.id, store)
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


def _write_config(files: ExperimentFiles, config: Mapping[str, Any]) -> None:
    """Write `config.yaml` from the record, whatever was sent as such: people train with it again.

    Where this version can't read the record's configuration, there is none.
    """
    try:
        text = to_yaml(read_draft(config).config())
    except ConfigError:
        files.config.unlink(missing_ok=True)
    else:
        write_text(files.config, text)


def _known(experiment_id: str, store: Store) -> Experiment | None:
    try:
        return store.get(experiment_id)
    except NotFoundError:
        return None


def _take_data(folder: Path, settings: Settings, path: Path) -> DatasetVersion | None:
    """Record the data version in the archive, which this installation may have already."""
    if not folder.exists():
        return None
    try:
        description = folder / "version.json"
        if description.stat().st_size > MOST_RECORD:
            raise DataError(f"{path} is not to be trusted: its {description.name} is too large.")
        stated = from_json(description.read_bytes())
        tables: dict[str, pa.Table] = {
            str(split): parquet.read(place, place)
            for number, split in enumerate(stated["splits"])
            for place in [folder / f"{number}.parquet"]
        }
        whole = whole_tables(tables, stated["split_by"])
        if dataset_hash(whole) != stated["hash"]:
            raise DataError(f"{path} is damaged: its rows are not those of {stated['hash']}.")
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
        raise DataError(f"{path} is damaged: its data can't be read ({error}).") from error
    return version
