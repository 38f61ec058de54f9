"""An adapter that promises to be right says that it is unsure instead of answering, everywhere."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.serving.test_calibration import ASKED, with_facts
from tests.tasks.test_text_classification import fitted

from tunesmith.experiments import TrainedExperiment
from tunesmith.schemas.metrics import selective_said
from tunesmith.schemas.predict import PredictedAnswer
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.predictor import Predictor
from tunesmith.serving.streams import Asked, ObjectLines, Table
from tunesmith.settings import Settings
from tunesmith.statistics.selective import Threshold
from tunesmith.tasks.parts.calibrated import NEVER
from tunesmith.tasks.results import UNSURE, Answer, Prediction
from tunesmith.training.evidence.selection import choose, selective_of


@pytest.fixture
def unsure(
    classifier: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> SavedAdapter:
    """The classifier with a promise that none of its answers keeps."""
    saved = locate_adapter(classifier.record, trained_settings)
    return with_facts(saved, tmp_path / "unsure", sure_from=NEVER)


def test_no_answer_is_given_that_is_not_sure_enough_unless_it_is_asked_for(
    unsure: SavedAdapter, trained_settings: Settings
) -> None:
    predictor = Predictor(trained_settings, device="cpu")
    silent = predictor.answer(unsure, ASKED).answers
    assert {(one.answer, one.reason) for one in silent} == {(None, UNSURE)}
    assert all(one.probabilities for one in silent)
    spoken = predictor.answer(unsure, ASKED, unsure=True).answers
    assert {one.reason for one in spoken} == {UNSURE}
    for one in spoken:
        chances = dict(one.probabilities or {})
        assert chances[one.answer] == max(chances.values())


def test_it_is_written_with_its_reason() -> None:
    silent, lines, table = (
        Answer(None, {"a": 0.6, "b": 0.4}, reason=UNSURE),
        io.StringIO(),
        io.StringIO(),
    )
    ObjectLines(lines).write(Asked(1, "x"), silent, None, "")
    ObjectLines(lines).write(Asked(2, "y"), Answer("a"), None, "")
    one, other = map(json.loads, lines.getvalue().splitlines())
    assert (one["answer"], one["reason"]) == (None, "unsure")
    assert "reason" not in other
    Table(table, base=False).write(Asked(1, "x"), silent, None, "")
    assert table.getvalue().splitlines()[1].endswith(",false,unsure,")
    assert PredictedAnswer.model_validate(vars(silent)).reason == "unsure"


def work_with(task: Any, evaluations: int = 1, metric: str | None = None) -> Any:
    """As much of a training as the choice looks at."""
    return SimpleNamespace(
        task=task,
        data=SimpleNamespace(validation_groups=None),
        ending=SimpleNamespace(evaluations=evaluations, metric=metric),
    )


def predictions(rows: int, wrong_below: float = 0.0) -> list[Prediction]:
    """Rows of every confidence, of which the unsure ones are wrong half of the time."""
    found = []
    for row, confidence in enumerate(np.linspace(0.5, 1.0, rows)):
        correct = bool(confidence >= wrong_below or row % 2)
        found.append(Prediction(row, "t", "a", "a" if correct else "b", correct, float(confidence)))
    return found


def test_training_chooses_from_where_on_it_answers_and_the_test_side_judges_it() -> None:
    task = fitted(["a", "b"], selective_accuracy=0.95)
    found = choose(work_with(task), predictions(600, wrong_below=0.75))
    assert isinstance(found, Threshold)
    assert task.sure_from == found.value
    assert 0.7 <= task.sure_from <= 0.8
    assert task.facts()["sure_from"] == found.value
    metrics = selective_of(task, found, predictions(300, wrong_below=0.75))
    selective = metrics["selective"]
    assert selective["coverage"]["low"] < selective["coverage"]["value"] < 0.65
    assert selective["selective_accuracy"]["value"] >= 0.95
    assert f"from a confidence of {found.value:.1%}" in str(selective_said(metrics))


def test_where_nothing_can_be_promised_nothing_is_answered_and_it_is_said_why() -> None:
    task = fitted(["a", "b"], selective_accuracy=0.95)
    for validation in ([], predictions(30)):
        found = choose(work_with(task), validation)
        assert task.sure_from == NEVER
        metrics = selective_of(task, found, predictions(100))
        assert metrics["selective"]["coverage"]["value"] == 0.0
        assert "gives no answers by itself" in str(selective_said(metrics))


def test_without_a_promise_everything_is_answered() -> None:
    task = fitted(["a", "b"])
    assert choose(work_with(task), predictions(600)) is None
    assert (task.sure_from, selective_of(task, None, predictions(10))) == (0.0, {})
    assert selective_said({}) is None


def test_checkpoints_that_were_picked_from_make_the_promise_dearer() -> None:
    task = fitted(["a", "b"], selective_accuracy=0.95)
    rows = [replace(one, correct=True, confidence=0.9) for one in predictions(130)]
    assert choose(work_with(task), rows).value == 0.0  # type: ignore[union-attr]
    assert choose(work_with(task, 20, "validation_loss"), rows).value is None  # type: ignore[union-attr]
