"""How an experiment begins: checked, recorded, with a folder of its own; trained here or queued."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tunesmith import names
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import Draft, to_yaml
from tunesmith.data.sources import parse_dataset
from tunesmith.errors import DataError, NotFoundError, Problem, StorageError
from tunesmith.experiments.datasets.importing import open_versions, record_version
from tunesmith.experiments.lifecycle.confinement import confinement_problems
from tunesmith.experiments.lifecycle.prepare import Prepared, contradictions
from tunesmith.experiments.lifecycle.states import this_process, write_record
from tunesmith.files.environment import describe_environment
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.writing import write_json, write_text
from tunesmith.messages import say
from tunesmith.models.locate import parse_model
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, new_experiment_id
from tunesmith.store.store import Store


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
            directory=str(files.path.resolve()),
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
    problems = [*contradictions(config), *_slot_problems(config)]
    if confined:
        problems += confinement_problems(config, settings)
        problems += _version_problems(config, settings)
    problems += _runs_after_problems(runs_after, store)
    if draft.problems or problems:
        raise draft.error(problems)
    with _new_folder(config, settings) as files:
        write_text(files.config, to_yaml(config))
        experiment = store.queue.enqueue(
            Experiment(
                id=experiment_id or new_experiment_id(),
                name=config.experiment_name,
                task=config.task_name,
                model_name=config.model.name,
                dataset_name=config.data.dataset_name,
                config=config.model_dump(mode="json"),
                directory=str(files.path.resolve()),
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
    dataset, base = parse_dataset(config.data.dataset_name), parse_model(config.model.name)
    data = config.data.model_copy(update={"dataset_name": _absolute(dataset)})
    model = config.model.model_copy(update={"name": _absolute(base)})
    return replace(draft, partial=config.model_copy(update={"data": data, "model": model}))


def describe(
    prepared: Prepared,
    files: ExperimentFolder,
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
def _new_folder(config: ExperimentConfig, settings: Settings) -> Iterator[ExperimentFolder]:
    """A new folder, which stays if the experiment is recorded inside."""
    files = ExperimentFolder.create(
        settings.results_dir, config.experiment_name, datetime.now(settings.timezone)
    )
    try:
        yield files
    except BaseException:
        shutil.rmtree(files.path, ignore_errors=True)
        raise


def _absolute(reference: names.Reference) -> str:
    """The whole path where `reference` is a file or folder that is here, else as it is written."""
    if isinstance(reference, names.Path) and reference.is_there:
        return str(reference.place.absolute())
    if isinstance(reference, names.Query) and reference.file is not None:
        return f"sqlite:///{reference.file.absolute()}#{reference.statement}"
    return str(reference)


def _version_problems(config: ExperimentConfig, settings: Settings) -> Iterator[Problem]:
    """Where the configuration names a dataset's version that isn't there.

    Versions that can't be asked for now are no reason to refuse: the worker will ask again.
    """
    name = config.data.dataset_name
    if isinstance(parse_dataset(name), names.Version):
        try:
            open_versions(settings).get(name)
        except (NotFoundError, DataError) as error:
            yield Problem("data.dataset_name", str(error), name)
        except StorageError:
            return


def _slot_problems(config: ExperimentConfig) -> Iterator[Problem]:
    """What no worker can give: each of its slots sees one GPU, and calls it cuda:0."""
    device = config.training.device
    if device not in (None, "cpu", "mps", "cuda", "cuda:0"):
        why = say("a worker shows each experiment one GPU, of its own choice")
        yield Problem("training.device", why, device, "cuda, cpu, mps, null")


def _runs_after_problems(runs_after: str | None, store: Store) -> Iterator[Problem]:
    if runs_after is not None:
        try:
            store.get(runs_after)
        except NotFoundError as error:
            yield Problem("runs_after", str(error), runs_after)
