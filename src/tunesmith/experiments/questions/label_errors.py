"""Which labels of a whole data set are probably wrong: each row is judged by a training without it.

Cross-validation by the code that splits the sides: equal texts and groups stay together, and every
label keeps its share in each fold. The folds are ordinary trainings, of which only the predictions
are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa

from tunesmith.config.schema import ExperimentConfig
from tunesmith.data.dataset import Dataset
from tunesmith.data.drawing import Drawn
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sides import groups_of
from tunesmith.data.splits import make_folds
from tunesmith.data.texts import joined_texts
from tunesmith.errors import DataError, invalid
from tunesmith.experiments.lifecycle.prepare import Prepared
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.progress import doing
from tunesmith.settings import Settings
from tunesmith.statistics.label_errors import LabelErrors, find_label_errors
from tunesmith.tasks.base import Row, Task
from tunesmith.tasks.results import Prediction
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Phase, Reporter, TrainingData

FEWEST_FOLDS, MOST_FOLDS = 2, 20


def judge_labels(prepared: Prepared, folds: int, settings: Settings) -> LabelErrors:
    """The likely label errors among all rows of the split that `prepared` trains on.

    `folds` trainings, each judging the rows that it was not trained on; none stops early or picks a
    checkpoint, for which it would need those rows. Raises ConfigError for a task without one label
    a row, DataError where there are fewer texts than folds.
    """
    task, dataset = prepared.task, prepared.dataset
    labels = task.facts().get("labels") or []
    rows = _rows(dataset)
    column = task.label_column() or ""
    if len(labels) < 2 or not isinstance(rows[0].get(column), str | int | bool):
        raise invalid(
            "task.name",
            say("labels are judged where each row has one of several"),
            task.name,
            "text-classification",
        )
    config = _without_choosing(prepared.config)
    split = dataset.identity["splits"]["train"]["from"]
    numbers = pa.table({ROW: [row[ROW] for row in rows]})
    groups = groups_of(dataset.source.tables[split], numbers, config.data.group_column)
    drawn = Drawn(_texts(rows, task), pl.Series([str(row[column]) for row in rows]), groups)
    fold_of = make_folds(drawn, folds, config.data.split_seed)
    found: list[Prediction] = []
    for number in range(folds):
        train = [row for row, fold in zip(rows, fold_of, strict=True) if fold != number]
        judged = [row for row, fold in zip(rows, fold_of, strict=True) if fold == number]
        own = [group for group, fold in zip(groups or (), fold_of, strict=False) if fold == number]
        named = {"name": dataset.name, "version": None, "hash": dataset.hash, "overlap": 0}
        data = TrainingData(train, judged, {**named, "near_overlap": 0}, groups=own or None)
        listener = _Listener(number + 1, folds)
        found += _predictions(replace(prepared, config=config), data, settings, listener)
    errors = find_label_errors(sorted(found, key=lambda each: each.row), labels)
    if errors is None:
        raise DataError("the rows have no labels that can be judged")
    return errors


def _rows(dataset: Dataset) -> list[Row]:
    """All rows of the split that is trained on, whichever side they are on, by number."""
    sides = dataset.identity["splits"]
    of = {
        "train": dataset.train,
        "validation": dataset.validation,
        "evaluation": dataset.evaluation,
    }
    own = [of[name] for name, side in sides.items() if side["from"] == sides["train"]["from"]]
    return sorted((row for rows in own for row in rows), key=lambda row: int(row[ROW]))


def _texts(rows: Sequence[Row], task: Task) -> pl.Series:
    return joined_texts(
        [pl.Series([str(row[name] or "") for row in rows]) for name in task.text_columns()]
    )


def _without_choosing(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration for a fold: nothing chooses, and nobody else hears of it."""
    asked = {
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "early_stopping_patience": None,
        "forgetting": False,
        "report_to": [],
    }
    return config.model_copy(update={"training": config.training.model_copy(update=asked)})


def _predictions(
    prepared: Prepared, data: TrainingData, settings: Settings, listener: Reporter
) -> list[Prediction]:
    """What a training on the rows of `data` says of those that it judges."""
    engine = load("tunesmith.training.engine")  # only now: it brings torch with it
    with TemporaryDirectory(prefix="tunesmith-fold-") as folder:
        result = engine.train(
            prepared.config,
            prepared.task,
            data,
            prepared.source,
            make_plan(prepared.config),
            Path(folder),
            listener,
            cache=settings.cache_dir,
        )
    predictions: list[Prediction] = result.predictions
    return predictions


class _Listener(Reporter):
    """Says how far the fold is."""

    def __init__(self, fold: int, folds: int) -> None:
        self._fold, self._folds, self._phase = fold, folds, say("preparing data")

    def phase(self, phase: Phase, note: str = "") -> None:
        self._phase = say(str(phase))
        self.progress(0, 0)

    def progress(self, done: int, total: int) -> None:
        of = {"fold": self._fold, "folds": self._folds, "phase": self._phase}
        if total:
            doing(
                say(
                    "fold {fold} of {folds}, {phase}: {done:,} of {total:,}",
                    **of,
                    done=done,
                    total=total,
                )
            )
        else:
            doing(say("fold {fold} of {folds}, {phase}", **of))
