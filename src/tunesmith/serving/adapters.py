"""Where the adapter of an experiment lies, fetched where another machine trained it; no torch."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError, NotFoundError, StateError, StorageError
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Columns, Task
from tunesmith.tracking.artifacts import Artifacts
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.files import WEIGHTS, ExperimentFiles, find_folder
from tunesmith.tracking.permissions import settle
from tunesmith.training.writing import mark_as_used

NEEDED = ("adapter_config.json", WEIGHTS, "tunesmith.json")
"""The files without which an adapter can't answer."""

_ADVICE = {
    ExperimentStatus.QUEUED: "it waits in the queue",
    ExperimentStatus.RUNNING: "it is being trained; ask again when it has ended",
    ExperimentStatus.FAILED: "it failed; resume or retry it first",
    ExperimentStatus.CANCELLED: "it was cancelled; resume or retry it first",
}


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter in a folder of this machine, and what is recorded of its training."""

    experiment_id: str
    folder: Path
    config: Mapping[str, Any]
    """The experiment's complete configuration."""
    identity: str | None
    """The base model that it was trained on, as `ModelSource.identity`; None: not recorded."""
    may_fetch: bool = True
    """Whether its base model may be fetched from the hub: for viewers it may not."""

    def to_json(self) -> dict[str, Any]:
        """The same for another process."""
        return {
            "experiment_id": self.experiment_id,
            "folder": str(self.folder),
            "config": dict(self.config),
            "identity": self.identity,
            "may_fetch": self.may_fetch,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(
            values["experiment_id"],
            Path(values["folder"]),
            values["config"],
            values["identity"],
            values["may_fetch"],
        )

    def weights_hash(self) -> str:
        """SHA-256 of the weights. Raises StorageError when they can't be read."""
        path = self.folder / WEIGHTS
        try:
            state = path.stat()
            return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino)
        except OSError as error:
            raise StorageError(f"{path} can't be read: {error.strerror or error}") from error

    def read_config(self) -> ExperimentConfig:
        """The configuration. Raises ModelError when this version can't read it."""
        try:
            return ExperimentConfig.model_validate(self.config)
        except ValidationError as error:
            raise ModelError(
                f"the configuration of experiment {self.experiment_id} can't be read by this "
                f"version of Tunesmith ({error.error_count()} problems)."
            ) from error

    def read_task(self) -> tuple[Task, Columns]:
        """The task as it was after training, and the columns of its data.

        Raises ModelError when the folder doesn't say it.
        """
        try:
            told = json.loads((self.folder / "tunesmith.json").read_text(encoding="utf-8"))
            kind = TASKS[told["task"]["name"]]
            task = kind(kind.Options.model_validate(told["task"]))
            task.restore(told["facts"])
            return task, dict(told["columns"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"the adapter of experiment {self.experiment_id} can't be read: its tunesmith.json "
                "is missing or damaged."
            ) from error


def locate_adapter(
    experiment: Experiment, settings: Settings, weights_hash: str | None = None
) -> SavedAdapter:
    """The adapter of `experiment`, brought from the object store where this machine lacks it.

    With a `weights_hash` it must be the very one that was registered. Raises StateError when it
    hasn't succeeded, NotFoundError when its files are nowhere, ModelError when its weights are
    others, StorageError when they can't be fetched or read.
    """
    if experiment.status is not ExperimentStatus.SUCCEEDED:
        raise StateError(f"experiment {experiment.id} can't answer: {_ADVICE[experiment.status]}.")
    folder = _folder(experiment, settings)
    if folder is None:
        raise NotFoundError(
            f"the adapter of experiment {experiment.id} is not on this machine ("
            f"{experiment.directory} does not hold it)"
            + ("" if settings.artifacts else ", and TUNESMITH_ARTIFACTS names no store to fetch it")
            + ". Where its folder was moved: tunesmith experiments import FOLDER. Else ask on the "
            "machine that trained it, or train again."
        )
    trained_on = experiment.environment.get("base_model") or {}
    found = SavedAdapter(experiment.id, folder, experiment.config, trained_on.get("identity"))
    if weights_hash is not None and (now := found.weights_hash()) != weights_hash:
        raise ModelError(
            f"the adapter of experiment {experiment.id} is not the one that was registered: its "
            f"{WEIGHTS} had the SHA-256 {weights_hash[:12]}… then, and has {now[:12]}… now."
        )
    return found


def fault_of(experiment: Experiment, settings: Settings, weights_hash: str) -> str | None:
    """Why the adapter can't be used as it was registered, in words; None where it can.

    Raises StorageError when that can't be told now.
    """
    try:
        locate_adapter(experiment, settings, weights_hash)
    except (NotFoundError, ModelError, StateError) as error:
        return str(error)
    return None


def _folder(experiment: Experiment, settings: Settings) -> Path | None:
    if not experiment.directory:
        return None
    directory = find_folder(experiment, settings.results_dir)
    here = ExperimentFiles(directory).final_model
    if _is_whole(here):
        return here
    kept = settings.cache_dir / "adapters" / experiment.id
    if _is_whole(kept):
        mark_as_used(kept)
        return kept
    return _fetch(directory, here, kept, settings) if settings.artifacts else None


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int, inode: int) -> str:
    """Read once for each state of the file, so that asking a registered adapter stays quick."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in NEEDED)


def _fetch(directory: Path, here: Path, kept: Path, settings: Settings) -> Path | None:
    """Bring the adapter's files into `kept`, visible whole; None where the store has none."""
    copies = Artifacts(str(settings.artifacts))
    prefix = f"{here.relative_to(directory).as_posix()}/"
    # Files only, directly inside: that is all that a training leaves there.
    names = [
        path.removeprefix(prefix)
        for path in copies.files(directory.name)
        if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
    ]
    if not set(NEEDED) <= set(names):
        return None
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{kept.name}.", dir=kept.parent))
        try:
            for name in names:
                with (staging / name).open("wb") as stream:
                    for piece in copies.read(directory.name, prefix + name):
                        stream.write(piece)
            settle(staging)
            if not _is_whole(kept):  # else another process was faster
                staging.rename(kept)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"the adapter can't be fetched into the cache folder {settings.cache_dir}: "
            f"{error.strerror or error}"
        ) from error
    return kept
