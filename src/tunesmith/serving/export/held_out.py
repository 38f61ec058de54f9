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
from tunesmith.settings import Settings
from tunesmith.tasks.base import Columns, Row, Task
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.predictions import PREDICTIONS, prediction_lines

_ALONE = ({"text", "label"}, {"text", "target"}, {"prompt", "completion"}, {"completion"})
"""Roles of columns of which the record of a prediction has all: the text and what was expected."""


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
    columns: Columns,
    settings: Settings,
    most: int | None,
) -> HeldOut:
    """The held-out rows, or the first `most` of them.

    A prediction's record holds a lone text as it was judged, so the data are only read where a row
    is more than that. Raises NotFoundError when there are no predictions, DataError when they, or
    the rows, can't be read any more.
    """
    recorded = _recorded(experiment, settings)[:most]
    texts = task.text_columns(columns)
    if len(texts) == 1 and set(columns) in _ALONE:
        answer = [*columns.values()][-1]  # what is learned comes last
        rows: list[Row] = [
            {texts[0]: one["text"], answer: one["expected"], "_row": one["row"]} for one in recorded
        ]
        return HeldOut(rows, recorded)
    by_number = {row["_row"]: row for row in _read_again(experiment, config, task, settings)}
    missing = [one["row"] for one in recorded if one["row"] not in by_number]
    if missing:
        raise DataError(
            f"row {missing[0]} that the adapter of experiment {experiment.id} was judged by is not "
            f"among the held-out rows of {experiment.dataset_name} any more; without it the export "
            "can't be verified. Import the data as they were then."
        )
    return HeldOut([by_number[one["row"]] for one in recorded], recorded)


def _recorded(experiment: Experiment, settings: Settings) -> list[dict[str, Any]]:
    try:
        lines = prediction_lines(experiment, settings.artifacts, settings.results_dir)
        found = [json.loads(line) for line in lines]
        _ = [(one["row"], one["text"], one["expected"], one["predicted"]) for one in found]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{PREDICTIONS} of experiment {experiment.id} can't be read.") from error
    return found


def _read_again(
    experiment: Experiment, config: ExperimentConfig, task: Task, settings: Settings
) -> Sequence[Row]:
    """The held-out rows from the version that was trained on, else from where it came from."""
    versions = Versions(settings.datasets_root)
    version = f"{experiment.data.get('dataset')}@{experiment.dataset_version}"
    facts = task.facts()  # which reading data again would find anew
    fault: Exception | None = None
    for name in (version, config.data.dataset_name):
        asked = config.data.model_copy(update={"dataset_name": name})
        try:
            return load_dataset(asked, task, settings.token, versions=versions).evaluation
        except (ConfigError, DataError, NotFoundError, StorageError) as error:
            fault = fault or error
        finally:
            task.restore(facts)
    raise DataError(
        f"the held-out rows of experiment {experiment.id}, which the export is verified by, can't "
        f"be read: {fault}"
    )
