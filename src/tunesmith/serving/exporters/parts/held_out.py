"""The held-out rows of an experiment, and what its adapter said of each when it was judged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.config.schema import ExperimentConfig
from tunesmith.data.dataset import load_dataset
from tunesmith.data.versions.store import Versions
from tunesmith.errors import ConfigError, DataError, NotFoundError, StorageError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import PREDICTIONS
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.tasks.base import Row, Task


@dataclass(frozen=True)
class HeldOut:
    """Rows that the adapter was judged by, in the order of its predictions."""

    rows: Sequence[Row]
    recorded: Sequence[Mapping[str, Any]]
    """The prediction for each row, as in `predictions.jsonl`."""


def held_out(
    experiment: Experiment,
    config: ExperimentConfig,
    task: Task,
    settings: Settings,
    most: int | None,
) -> HeldOut:
    """The held-out rows, or the first `most` of them.

    A prediction's record holds a lone text as it was judged, so the data are only read where a row
    is more than that. Raises NotFoundError when there are no predictions, DataError when they, or
    the rows, can't be read any more.
    """
    recorded = _recorded(experiment, settings)[:most]
    if task.is_recorded_whole():
        (text,), answer = (
            task.text_columns(),
            [*task.columns.values()][-1],
        )  # what is learned is last
        rows: list[Row] = [
            {text: one["text"], answer: one["expected"], "_row": one["row"]} for one in recorded
        ]
        return HeldOut(rows, recorded)
    by_number = {row["_row"]: row for row in _read_again(experiment, config, task, settings)}
    missing = [one["row"] for one in recorded if one["row"] not in by_number]
    if missing:
        raise DataError(
            "row {missing} that the adapter of experiment {id} was judged by is not "
            "among the held-out rows of {dataset_name} any more; without it the "
            "export can't be verified. Import the data as they were then.",
            missing=missing[0],
            id=experiment.id,
            dataset_name=experiment.dataset_name,
        )
    return HeldOut([by_number[one["row"]] for one in recorded], recorded)


def _recorded(experiment: Experiment, settings: Settings) -> list[dict[str, Any]]:
    try:
        lines = ExperimentFolder.of(experiment, settings).read_predictions()
        found = [json.loads(line) for line in lines]
        _ = [(one["row"], one["text"], one["expected"], one["predicted"]) for one in found]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            "{predictions} of experiment {id} can't be read.",
            predictions=PREDICTIONS,
            id=experiment.id,
        ) from error
    return found


def _read_again(
    experiment: Experiment, config: ExperimentConfig, task: Task, settings: Settings
) -> Sequence[Row]:
    """The held-out rows from the version that was trained on, else from where it came from."""
    versions = Versions(settings.datasets_root)
    facts = task.facts()  # which reading data again would find anew
    fault: Exception | None = None
    for name in dict.fromkeys((experiment.data_reference, config.data.dataset_name)):
        asked = config.data.model_copy(update={"dataset_name": name})
        try:
            return load_dataset(asked, task, settings.token, versions=versions).evaluation
        except (ConfigError, DataError, NotFoundError, StorageError) as error:
            fault = fault or error
        finally:
            task.restore(facts)
    raise DataError(
        "the held-out rows of experiment {id}, which the export is verified by, "
        "can't be read: {fault}",
        id=experiment.id,
        fault=fault,
    )
