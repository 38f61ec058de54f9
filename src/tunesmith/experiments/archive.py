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
from tunesmith.experiments.datasets import open_versions
from tunesmith.experiments.states import local_folder
from tunesmith.settings import Settings
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import ExperimentFiles, write_json
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
