"""An experiment that was made again: whether it is the same, or where it first differs, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.config.yaml import read_draft
from tunesmith.errors import ConfigError, DataError, NotFoundError, StorageError
from tunesmith.experiments.datasets.importing import open_versions
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.experiments.lifecycle.resuming import sides_before
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import WEIGHTS
from tunesmith.files.writing import sha256
from tunesmith.schemas.metrics import RESOURCES
from tunesmith.settings import Settings
from tunesmith.statistics.differences import (
    Difference,
    config_differences,
    data_differences,
    environment_differences,
)
from tunesmith.store.entities.experiments import DatasetVersion, Experiment, Metric
from tunesmith.store.store import Store


@dataclass(frozen=True, slots=True)
class Step:
    """The first point at which two histories are not the same; None where one has no such point."""

    metric: str
    step: int
    before: float | None
    again: float | None


@dataclass(frozen=True, slots=True)
class Repetition:
    """How an experiment that was made again compares with the one before."""

    before: str
    again: str
    """Ids."""
    same_adapter: bool | None
    """Whether its weights are the same bytes; None where those of before are not at hand."""
    same_score: bool
    first_difference: Step | None
    """None where every metric of what was learned has the same history."""
    steps: int
    """Points that were compared."""
    config: tuple[Difference, ...]
    data: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    """What is not the same about the two: the reasons to look at, in the order before, again."""

    @property
    def matched(self) -> bool:
        """Whether nothing that was learned differs."""
        return self.same_adapter is not False and self.same_score and not self.first_difference


def prepare_again(before: Experiment, settings: Settings) -> Prepared:
    """What `before` was trained with, to be trained once more.

    Where its data aren't to be had any more where they came from, as on another machine, the
    version that was recorded of them is taken, known by its content. Raises ConfigError as
    `prepare` does.
    """
    try:
        return prepare(read_draft(before.config, fields=sides_before(before)), settings)
    except ConfigError:
        version = _version_of(before, settings)
        if version is None or version.reference == before.dataset_name:
            raise
    data = {
        **before.config["data"],
        **{field.removeprefix("data."): value for field, value in sides_before(before).items()},
        "dataset_name": version.reference,
        "dataset_config": None,
        "revision": None,
    }
    return prepare(read_draft({**before.config, "data": data}), settings)


def _version_of(before: Experiment, settings: Settings) -> DatasetVersion | None:
    """The version here that has the content which `before` was trained on."""
    try:
        known = open_versions(settings).list(str(before.data.get("dataset")))
    except (NotFoundError, DataError, StorageError):
        return None
    return next((each for each in known if each.hash == before.dataset_hash), None)


def compare_repetition(
    before: Experiment, again: Experiment, store: Store, settings: Settings
) -> Repetition:
    """Hold `again` against `before`: records, histories, adapters. Raises StorageError."""
    pair = (before, again)
    first, points = _first_difference(_learned(store, before), _learned(store, again))
    return Repetition(
        before=before.id,
        again=again.id,
        same_adapter=_same_weights(*(ExperimentFolder.of(each, settings) for each in pair)),
        same_score=before.score == again.score,
        first_difference=first,
        steps=points,
        config=config_differences(pair),
        data=data_differences(pair),
        environment=environment_differences(pair),
    )


def _learned(store: Store, experiment: Experiment) -> list[Metric]:
    return [point for point in store.metrics(experiment.id) if point.name not in RESOURCES]


def _first_difference(before: Sequence[Metric], again: Sequence[Metric]) -> tuple[Step | None, int]:
    """The first step at which they differ, and how many points there are."""
    histories = [{(p.step, p.name): p.value for p in points} for points in (before, again)]
    places = sorted({*histories[0], *histories[1]})
    for step, name in places:
        values = [history.get((step, name)) for history in histories]
        if values[0] != values[1]:
            return Step(name, step, values[0], values[1]), len(places)
    return None, len(places)


def _same_weights(before: ExperimentFolder, again: ExperimentFolder) -> bool | None:
    weights = [folder.adapter / WEIGHTS for folder in (before, again)]
    if not weights[0].is_file():
        return None
    return weights[1].is_file() and sha256(weights[0]) == sha256(weights[1])
