"""Experiments beside each other: reads the answers that each left, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from tunesmith.errors import ConfigError, DataError, NotFoundError, Problem
from tunesmith.settings import Settings
from tunesmith.tracking.compare import Answers, Comparison, compare
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.predictions import PREDICTIONS, prediction_lines

FEWEST, MOST = 2, 20
"""How many experiments can stand beside each other."""


def compare_experiments(experiments: Sequence[Experiment], settings: Settings) -> Comparison:
    """Hold each experiment against the first.

    What keeps a pair from being compared is said in the comparison. Raises ConfigError for too few
    experiments, too many, or one that is named twice; StorageError when the object store doesn't
    answer.
    """
    ids = [experiment.id for experiment in experiments]
    if problem := _wrong_ids(ids):
        raise ConfigError([problem])
    answers: dict[str, Answers] = {}
    missing: dict[str, str] = {}
    for experiment in experiments:
        if experiment.status is not ExperimentStatus.SUCCEEDED:
            continue
        try:
            answers[experiment.id] = read_answers(experiment, settings)
        except (NotFoundError, DataError) as error:
            missing[experiment.id] = str(error)
    return compare(experiments, answers, missing)


def _wrong_ids(ids: Sequence[str]) -> Problem | None:
    accepted = f"{FEWEST} to {MOST} different experiments"
    if not FEWEST <= len(ids) <= MOST:
        return Problem("id", "that many can't be compared", len(ids), accepted)
    twice = next((id_ for id_ in ids if ids.count(id_) > 1), None)
    if twice is not None:
        return Problem("id", "the same experiment is named twice", twice, accepted)
    return None


def read_answers(experiment: Experiment, settings: Settings) -> Answers:
    """The answers of `experiment` to its evaluation rows, from its folder or the object store.

    Raises NotFoundError when there are none, DataError when they can't be read, StorageError when
    the object store doesn't answer.
    """
    rows, expected, correct, parts, weighed = [], [], [], [], False
    for number, line in enumerate(prediction_lines(experiment, settings.artifacts), 1):
        try:
            answer = json.loads(line)
            rows.append(int(answer["row"]))
            expected.append(_digest(answer["expected"]))
            if not isinstance(answer["correct"], bool):
                raise TypeError("correct must be true or false")
            correct.append(answer["correct"])
            points, weight = answer.get("points"), answer.get("weight", 1.0)
            weighed = weighed or points is not None or weight != 1.0
            parts.append((float(answer["correct"] if points is None else points), float(weight)))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"line {number} of {PREDICTIONS} of experiment {experiment.id} can't be read"
            ) from error
    return Answers(
        np.array(rows, dtype=np.int64),
        np.array(expected, dtype=np.uint64),
        np.array(correct, dtype=np.bool_),
        np.array(parts, dtype=np.float64) if weighed else None,
    )


def _digest(expected: object) -> int:
    """64 bits of an expected answer: enough to see that it is another, and small for long ones."""
    text = json.dumps(expected, sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
