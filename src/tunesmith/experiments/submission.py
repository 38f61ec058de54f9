"""How an experiment begins: checked, recorded, with a folder of its own; trained here or queued."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import Draft, to_yaml
from tunesmith.data.reading.files import exists
from tunesmith.data.reading.packages import PREFIX
from tunesmith.data.versions.store import is_reference
from tunesmith.errors import DataError, NotFoundError, Problem, StorageError
from tunesmith.experiments.confinement import confinement_problems
from tunesmith.experiments.datasets import open_versions, record_version
from tunesmith.experiments.prepare import Prepared, contradictions
from tunesmith.experiments.states import this_process, write_record
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, new_experiment_id
from tunesmith.tracking.environment import describe_environment
from tunesmith.tracking.files import ExperimentFiles, write_json, write_text
from tunesmith.tracking.store import Store


def submit(prepared: Prepared, store: Store, settings: Settings) -> Experiment:
    """Record an experiment that this process will train: status QUEUED, in no queue.

    Its data's version is recorded, its folder made. Raises StorageError when the results folder,
    the versions or the store can't be written.
    """
    config = prepared.config
    with _new_folder(config, settings) as files:
        experiment = Experiment(
            name=config.experiment_name,
            task=config.task_name,
            model_name=config.model.name,
            dataset_name=prepared.dataset.name,
            directory=str(files.folder.resolve()),
            **describe(prepared, files, store, settings),
            **this_process(),
        )
        store.create(experiment)
    write_record(experiment)
    return experiment


def enqueue(
    draft: Draft,
    store: Store,
    settings: Settings,
    *,
    owner: str = "",
    runs_after: str | None = None,
    confined: bool = False,
    experiment_id: str | None = None,
    tags: Collection[str] = (),
) -> Experiment:
    """Queue an experiment for the workers: milliseconds, because its data are read by the worker.

    `runs_after` is the id of an experiment that must have ended first. `confined`: only data and
    models under `settings.data_dir` may be named, and versions that are there, as for all that
    comes over the network. `experiment_id` is one that was chosen before: it is queued once.

    Raises ConfigError with every problem that the configuration shows by itself, StateError when
    there is an experiment with this id, and StorageError.
    """
    if draft.partial is None:
        raise draft.error()
    config = draft.partial
    problems = contradictions(config) + _slot_problems(config)
    if confined:
        problems += confinement_problems(config, settings) + _version_problems(config, settings)
    problems += _runs_after_problems(runs_after, store)
    if draft.problems or problems:
        raise draft.error(problems)
    with _new_folder(config, settings) as files:
        write_text(files.config, to_yaml(config))
        experiment = store.jobs.enqueue(
            Experiment(
                id=experiment_id or new_experiment_id(),
                name=config.experiment_name,
                task=config.task_name,
                model_name=config.model.name,
                dataset_name=config.data.dataset_name,
                config=config.model_dump(mode="json"),
                directory=str(files.folder.resolve()),
                owner=owner,
                queue=queue_of(config),
                priority=config.job.priority,
                runs_after=runs_after,
                tags=tuple(tags),
            )
        )
    write_record(experiment)
    return experiment


def with_absolute_paths(draft: Draft) -> Draft:
    """`draft` with the whole paths of data and of a base model that lie in this machine's files.

    They were found from the folder of who submits; the worker stands in another. Names of packages,
    of hubs and of versions stay as they are.
    """
    config = draft.partial
    if config is None:
        return draft
    data = config.data.model_copy(update={"dataset_name": _absolute(config.data.dataset_name)})
    model = config.model.model_copy(update={"name": _absolute(config.model.name)})
    return replace(draft, partial=config.model_copy(update={"data": data, "model": model}))


def describe(
    prepared: Prepared,
    files: ExperimentFiles,
    store: Store,
    settings: Settings,
    owner: str = "",
) -> dict[str, Any]:
    """What a prepared experiment's record says of configuration, data and environment.

    Writes `config.yaml` and `data_report.json`, and records the data's version for `owner`. Raises
    StorageError.
    """
    config, dataset = prepared.config, prepared.dataset
    version, _ = record_version(
        dataset.source,
        config.data,
        dataset.report,
        dataset.columns,
        dataset.held_out,
        settings,
        store,
        owner=owner,
    )
    write_text(files.config, to_yaml(config))
    write_json(files.data_report, dataset.report.to_json())
    return {
        "dataset_hash": dataset.hash,
        "dataset_version": version.number,
        "config": config.model_dump(mode="json"),
        "data": {**dataset.identity, "dataset": version.name, "version": version.number},
        "environment": {
            **describe_environment(Path.cwd()),
            "base_model": {"name": prepared.source.name, "identity": prepared.source.identity},
        },
    }


def queue_of(config: ExperimentConfig) -> str:
    """The queue that the configuration asks for: gpu where it names a GPU, else cpu, any worker."""
    if config.job.queue is not None:
        return config.job.queue
    return "cpu" if config.training.device in (None, "cpu") else "gpu"


@contextmanager
def _new_folder(config: ExperimentConfig, settings: Settings) -> Iterator[ExperimentFiles]:
    """A new folder, which stays if the experiment is recorded inside."""
    files = ExperimentFiles.create(
        settings.results_dir, config.experiment_name, datetime.now(settings.timezone)
    )
    try:
        yield files
    except BaseException:
        shutil.rmtree(files.folder, ignore_errors=True)
        raise


def _absolute(name: str) -> str:
    """The whole path that `name` stands for; `name` itself where it is no file or folder here."""
    if name.startswith(PREFIX) or "://" in name:
        return name
    try:
        path = Path(name).expanduser()
        return str(path.absolute()) if path.exists() else name
    except (OSError, RuntimeError, ValueError):  # nothing that could be a path
        return name


def _version_problems(config: ExperimentConfig, settings: Settings) -> list[Problem]:
    """Where the configuration names a dataset's version that isn't there.

    Versions that can't be asked for now are no reason to refuse: the worker will ask again.
    """
    name = config.data.dataset_name
    if not is_reference(name) or exists(Path(name)):
        return []
    try:
        open_versions(settings).get(name)
    except (NotFoundError, DataError) as error:
        return [Problem("data.dataset_name", str(error), name)]
    except StorageError:
        pass
    return []


def _slot_problems(config: ExperimentConfig) -> list[Problem]:
    """What no worker can give: each of its slots sees one GPU, and calls it cuda:0."""
    if config.training.device in (None, "cpu", "mps", "cuda", "cuda:0"):
        return []
    return [
        Problem(
            "training.device",
            "a worker shows each experiment one GPU, of its own choice",
            config.training.device,
            "cuda, cpu, mps, null",
        )
    ]


def _runs_after_problems(runs_after: str | None, store: Store) -> list[Problem]:
    if runs_after is None:
        return []
    try:
        store.get(runs_after)
    except NotFoundError as error:
        return [Problem("runs_after", str(error), runs_after)]
    return []
