"""Where the adapter of an experiment lies, fetched where another machine trained it; no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError, NotFoundError, StateError, StorageError
from tunesmith.files.adapters import saved_adapter
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import WEIGHTS
from tunesmith.files.writing import sha256
from tunesmith.messages import say
from tunesmith.models.locate import ModelSource, locate_model
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task

_ADVICE = {
    ExperimentStatus.QUEUED: say("it waits in the queue"),
    ExperimentStatus.RUNNING: say("it is being trained; ask again when it has ended"),
    ExperimentStatus.FAILED: say("it failed; resume or retry it first"),
    ExperimentStatus.CANCELLED: say("it was cancelled; resume or retry it first"),
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

    def weights_hash(self) -> str:
        """SHA-256 of the weights. Raises StorageError when they can't be read."""
        path = self.folder / WEIGHTS
        try:
            state = path.stat()
            return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino)
        except OSError as error:
            raise StorageError(
                "{what} can't be read: {reason}", what=path, reason=error.strerror or error
            ) from error

    def read_config(self) -> ExperimentConfig:
        """The configuration. Raises ModelError when this version can't read it."""
        given = self.config.get("task")
        task = given.get("name") if isinstance(given, Mapping) else given
        if isinstance(task, str) and task not in TASKS:
            raise ModelError(
                "experiment {id} learned the task {task}, which no package here has: install "
                "the one that it was trained with.",
                id=self.experiment_id,
                task=task,
            )
        try:
            return ExperimentConfig.model_validate(self.config)
        except ValidationError as error:
            raise ModelError(
                "the configuration of experiment {id} can't be read by this version of "
                "Tunesmith ({n} problems).",
                id=self.experiment_id,
                n=error.error_count(),
            ) from error

    def read_task(self) -> Task:
        """The task as it was after training. Raises ModelError when the folder doesn't say it."""
        try:
            saved = json.loads((self.folder / "tunesmith.json").read_text(encoding="utf-8"))
            kind = TASKS[saved["task"]["name"]]
            task = kind(kind.Options.model_validate(saved["task"]))
            task.bind(saved["columns"])
            task.restore(saved["facts"])
            return task
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                "the adapter of experiment {id} can't be read: its tunesmith.json is "
                "missing or damaged.",
                id=self.experiment_id,
            ) from error

    def read_mended(self) -> tuple[str, ...]:
        """The rules by which its texts were mended; none where the folder doesn't say it."""
        with suppress(OSError, ValueError):
            saved = json.loads((self.folder / "tunesmith.json").read_text(encoding="utf-8"))
            return tuple(saved.get("mended", ()))
        return ()

    def find_base(self, config: ExperimentConfig, settings: Settings) -> ModelSource:
        """The model that `config` names.

        Raises ModelError when it can't be used here, AccessError when it lies on the hub only and
        nothing may be fetched for who asks.
        """
        model = config.model
        try:
            return locate_model(
                model.name,
                cache=settings.cache_dir,
                revision=model.revision,
                token=settings.token,
                trust_remote_code=model.trust_remote_code,
                fetch=self.may_fetch,
            )
        except ModelError as error:
            raise ModelError(
                "experiment {experiment_id} was trained on the base model {name}, which "
                "can't be used here: {error}",
                experiment_id=self.experiment_id,
                name=model.name,
                error=error,
            ) from error

    def check_base(self, source: ModelSource) -> None:
        """Raises ModelError when `source` is not the model that the adapter was trained on."""
        if self.identity in (None, source.identity):
            return
        raise ModelError(
            "the base model {name} is not the one that experiment {experiment_id} "
            "was trained on: it was {short} then, and is {short2} now. An adapter "
            "means nothing on other weights: put the old model back, or train again.",
            name=source.name,
            experiment_id=self.experiment_id,
            short=_short(str(self.identity)),
            short2=_short(source.identity),
        )


def _short(identity: str) -> str:
    """The beginning of a model's identity, which tells it from another's."""
    return identity[:19] + "…" if len(identity) > 20 else identity


def locate_adapter(
    experiment: Experiment, settings: Settings, weights_hash: str | None = None
) -> SavedAdapter:
    """The adapter of `experiment`, brought from the object store where this machine lacks it.

    With a `weights_hash` it must be the very one that was registered. Raises StateError when it
    hasn't succeeded, NotFoundError when its files are nowhere, ModelError when its weights are
    others, StorageError when they can't be fetched or read.
    """
    if experiment.status is not ExperimentStatus.SUCCEEDED:
        raise StateError(
            "experiment {id} can't answer: {hint}.",
            id=experiment.id,
            hint=_ADVICE[experiment.status],
        )
    kept = settings.cache_dir / "adapters" / experiment.id
    folder = saved_adapter(ExperimentFolder.of(experiment, settings), kept)
    if folder is None:
        said = say(
            "the adapter of experiment {id} is not on this machine ({directory} does not hold it)",
            id=experiment.id,
            directory=experiment.directory,
        )
        if not settings.artifacts:
            said += say(", and TUNESMITH_ARTIFACTS names no store to fetch it")
        said += say(
            ". Where its folder was moved: tunesmith experiments import FOLDER. Else "
            "ask on the machine that trained it, or train again."
        )
        raise NotFoundError(said)
    trained_on = experiment.environment.get("base_model") or {}
    found = SavedAdapter(experiment.id, folder, experiment.config, trained_on.get("identity"))
    if weights_hash is not None and (now := found.weights_hash()) != weights_hash:
        raise ModelError(
            "the adapter of experiment {id} is not the one that was registered: its "
            "{file} had the SHA-256 {before}… then, and has {now}… now.",
            id=experiment.id,
            file=WEIGHTS,
            before=weights_hash[:12],
            now=now[:12],
        )
    return found


def fault_of(experiment: Experiment, settings: Settings, weights_hash: str) -> str | None:
    """Why the adapter can't be used as it was registered, in words; None where it can.

    Raises StorageError when that can't be found out now.
    """
    try:
        locate_adapter(experiment, settings, weights_hash)
    except (NotFoundError, ModelError, StateError) as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int, inode: int) -> str:
    """Read once for each state of the file, so that asking a registered adapter stays quick."""
    return sha256(path)
