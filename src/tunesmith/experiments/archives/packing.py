"""An experiment as one file: everything that another machine needs to look at it and repeat it.

A zip: below `experiment/` the experiment's folder; below `data/` its data version, a Parquet file a
split, where it is in it; `archive.json` with what it is, and the hash of every other file. Nothing
in it is ever run.
"""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from tunesmith.data.writing import write_table
from tunesmith.errors import DataError, NotFoundError, StateError
from tunesmith.experiments.archives.manifest import FORMAT, MANIFEST
from tunesmith.experiments.datasets.importing import open_versions
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.writing import placed, sha256, write_json
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment

SMALL_DATA = 100 * 2**20
"""Bytes of rows up to which they are packed without being asked for."""

_LEFT_OUT = ("checkpoints", "process.txt")
"""What of an experiment's folder belongs to the process that trained it."""


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
            "experiment {id} is {status}: wait until it has ended, or cancel it "
            "(tunesmith experiments cancel {id}).",
            id=experiment.id,
            status=experiment.status,
        )
    with placed(place, force=force) as staging:
        content = staging.with_name("content")
        _copy_folder(experiment, content / "experiment", settings)
        why = "" if data is False else _copy_data(experiment, content / "data", settings, data)
        if data is False:
            why = say("not asked for")
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


def _copy_folder(experiment: Experiment, target: Path, settings: Settings) -> None:
    folder = ExperimentFolder.of(experiment, settings)
    if folder.record.is_file():
        for path, _ in folder.walk():
            if Path(path).parts[0] not in _LEFT_OUT:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder.path / path, target / path)
    elif folder.copies is not None:
        target.mkdir(parents=True)
        folder.copies.fetch(folder.path.name, target)
        for name in _LEFT_OUT:
            shutil.rmtree(target / name, ignore_errors=True)
    if not ExperimentFolder(target).record.is_file():
        raise NotFoundError(
            "the files of experiment {id} are not on this machine: {folder} holds no "
            "experiment.json. Where its folder was moved: tunesmith experiments "
            "import FOLDER. Else export it on the machine that trained it.",
            id=experiment.id,
            folder=folder.path,
        )


def _copy_data(
    experiment: Experiment, target: Path, settings: Settings, wanted: bool | None
) -> str:
    """Write the version's rows; why they were left out, or nothing."""
    reference = experiment.data_reference
    versions = open_versions(settings)
    try:
        version = versions.get(reference)
        if version.hash != experiment.dataset_hash:
            raise NotFoundError(
                "{reference} is not the data that it was trained on any more.", reference=reference
            )
        tables = versions.read(version)
    except (NotFoundError, DataError) as error:
        if wanted:
            raise
        return str(error)
    size = sum(table.nbytes for table in tables.values())
    if wanted is None and size > SMALL_DATA:
        return say(
            "{reference} has {size:,.0f} MB; --data takes them in all the same",
            reference=reference,
            size=size / 1e6,
        )
    for number, table in enumerate(tables.values()):  # a split's name need not be a file's
        write_table(table, target / f"{number}.parquet", keep_own=True)
    described = asdict(version) | {"splits": dict(version.splits), "created_at": ""}
    write_json(target / "version.json", described)
    return ""
