"""Experiments beside each other: reads the answers that each left, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tunesmith.data.versions.diff import CHANGES
from tunesmith.errors import (
    ConfigError,
    DataError,
    NotFoundError,
    Problem,
    StorageError,
    UserError,
)
from tunesmith.experiments.datasets.versions import compare_versions
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import PREDICTIONS
from tunesmith.messages import say
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.statistics.answers import JudgedRows
from tunesmith.statistics.comparison import Comparison, compare
from tunesmith.statistics.differences import ChangedRow, RowDifferences
from tunesmith.statistics.intervals import group_numbers
from tunesmith.store.entities.experiments import Experiment
from tunesmith.tasks import TASKS

MOST_ROWS = 500_000
"""Rows of all versions that are read for one comparison: it is to answer in seconds."""

EXAMPLES = 3
"""Rows that are shown of each kind of change."""

FEWEST, MOST = 2, 20
"""How many experiments can stand beside each other."""


def compare_experiments(
    experiments: Sequence[Experiment], settings: Settings, looks: int
) -> Comparison:
    """Hold each experiment against the first.

    `looks` is how many were judged by the rows that judge the first (`Store.looks`): the verdicts
    allow for all of them, from which these may have been picked. What keeps a pair from being
    compared is said in the comparison. Raises ConfigError for too few experiments, too many, or one
    that is named twice; StorageError when the object store doesn't answer.
    """
    ids = [experiment.id for experiment in experiments]
    if problem := _wrong_ids(ids):
        raise ConfigError([problem])
    answers: dict[str, JudgedRows] = {}
    missing: dict[str, str] = {}
    for experiment in experiments:
        if experiment.status is not ExperimentStatus.SUCCEEDED:
            continue
        try:
            answers[experiment.id] = read_answers(experiment, settings)
        except (NotFoundError, DataError) as error:
            missing[experiment.id] = str(error)
    found = compare(experiments, answers, missing, looks=looks)
    return replace(found, rows=tuple(_row_differences(experiments, settings)))


def _row_differences(
    experiments: Sequence[Experiment], settings: Settings
) -> Iterator[RowDifferences]:
    """What differs between the data of the first and of each that has another version.

    Each version is compared once, as long as the rows of all are not too many.
    """
    first, left = experiments[0], MOST_ROWS
    known: dict[str, RowDifferences] = {}
    for other in experiments[1:]:
        if None in (first.dataset_hash, other.dataset_hash) or _data(first) == _data(other):
            continue
        old, new = first.data_reference, other.data_reference
        if new not in known:
            rows = sum(_rows_of(experiment) for experiment in (first, other))
            if rows > left:
                note = say(
                    "{rows:,} rows are too many to compare here; this does it: tunesmith "
                    "data diff {old} {new}",
                    rows=rows,
                    old=old,
                    new=new,
                )
                known[new] = RowDifferences(other.id, old, new, note=note)
            else:
                left -= rows
                known[new] = _compared_rows(other.id, old, new, settings)
        yield replace(known[new], experiment_id=other.id)


def _data(experiment: Experiment) -> tuple[object, ...]:
    return (experiment.dataset_hash, experiment.data.get("dataset"), experiment.dataset_version)


def _rows_of(experiment: Experiment) -> int:
    rows = experiment.data.get("rows")
    return rows if isinstance(rows, int) else 0


def _compared_rows(experiment_id: str, old: str, new: str, settings: Settings) -> RowDifferences:
    try:
        _, _, found = compare_versions(old, new, settings, EXAMPLES)
    except (UserError, StorageError) as error:
        note = say("Their rows are not here any more: {why}", why=error)
        return RowDifferences(experiment_id, old, new, note=note)
    examples = tuple(
        ChangedRow(kind, row.new_split or row.old_split or "", row.old, row.new)
        for kind, rows in found.examples.items()
        for row in rows
    )
    counts = {kind: getattr(found, kind) for kind in CHANGES}
    return RowDifferences(experiment_id, old, new, counts, examples)


def _wrong_ids(ids: Sequence[str]) -> Problem | None:
    accepted = say("{n} to {most} different experiments", n=FEWEST, most=MOST)
    if not FEWEST <= len(ids) <= MOST:
        return Problem("id", say("that many can't be compared"), len(ids), accepted)
    twice = next((id_ for id_ in ids if ids.count(id_) > 1), None)
    if twice is not None:
        return Problem("id", say("the same experiment is named twice"), twice, accepted)
    return None


def read_answers(experiment: Experiment, settings: Settings) -> JudgedRows:
    """The answers of `experiment` to its evaluation rows, from its folder or the object store.

    Raises NotFoundError when there are none, DataError when they can't be read, StorageError when
    the object store doesn't answer.
    """
    rows, expected, correct, parts, groups, weighed = [], [], [], [], [], False
    task = TASKS.get(experiment.task)
    lines = ExperimentFolder.of(experiment, settings).read_predictions()
    for number, line in enumerate(lines, 1):
        try:
            answer = json.loads(line)
            rows.append(int(answer["row"]))
            expected.append(_digest(answer["expected"]))
            if not isinstance(answer["correct"], bool):
                raise TypeError("correct must be true or false")
            correct.append(answer["correct"])
            groups.append(str(answer.get("group", "")))
            points, weight = answer.get("points"), answer.get("weight", 1.0)
            weighed = weighed or points is not None or weight != 1.0
            parts.append((float(answer["correct"] if points is None else points), float(weight)))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                "line {line} of {name} of experiment {id} can't be read",
                line=number,
                name=PREDICTIONS,
                id=experiment.id,
            ) from error
    return JudgedRows(
        np.array(rows, dtype=np.int64),
        np.array(expected, dtype=np.uint64),
        np.array(correct, dtype=np.bool_),
        np.array(parts, dtype=np.float64) if weighed else None,
        bounded=task is None or task.main_is_bounded(),
        groups=group_numbers(groups) if any(groups) else None,
    )


def _digest(expected: object) -> int:
    """64 bits of an expected answer: enough to see that it is another, and small for long ones."""
    text = json.dumps(expected, sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
