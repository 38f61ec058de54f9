"""Evidence: predictions in their order, the interval, the worst mistakes, the comparison."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tunesmith.errors import Interrupted, VerificationError
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Row
from tunesmith.tasks.results import Prediction
from tunesmith.tasks.text_classification import TextClassification, TextClassificationOptions
from tunesmith.training.evidence.evaluation import (
    autocast,
    compare_predictions,
    interval,
    surest_answers,
    worst_mistakes,
)
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Placed

COLUMNS = {"text": "text", "label": "label"}
WORDS = ["good", "great", "fine", "bad", "poor", "dull", "film", "movie", "plot", "story"]
ROWS: list[Row] = [
    {"_row": 100 - n, "text": " ".join(WORDS[: 1 + (n * 7) % 10]), "label": "ab"[n % 2]}
    for n in range(20)
]


def plan_of(precision: str) -> Plan:
    return Plan("cpu", precision, "float32", "eager", ())


class Listener(Reporter):
    """Keeps what it hears, and asks to stop after `patience` questions."""

    def __init__(self, patience: int = 1000) -> None:
        self.heard: list[tuple[int, int]] = []
        self.patience = patience

    def progress(self, done: int, total: int) -> None:
        self.heard.append((done, total))

    def should_stop(self) -> bool:
        self.patience -= 1
        return self.patience < 0


@pytest.fixture(scope="module")
def classifier(tiny_distilbert: Path) -> Any:
    """Task, model and tokenizer that answer as the tests' rows need."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = TextClassification(TextClassificationOptions())
    task.bind(COLUMNS)
    task.fit(ROWS, [])
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_distilbert, **task.model_arguments()
    )
    return task, model, AutoTokenizer.from_pretrained(tiny_distilbert)


def judge(classifier: Any, size: int, precision: str = "float32", **options: Any) -> Any:
    task, model, tokenizer = classifier
    nothing: Any = None
    work = Placed(
        nothing, task, TrainingData([], ROWS, {}), nothing, plan_of(precision), Path(), Reporter(),
        tokenizer=tokenizer, train_rows=[], train_examples=[],
        eval_examples=task.encode(ROWS, tokenizer, 32), rows_judged=size,
    )  # fmt: skip
    return Judge(work).predictions(model, **options)


@pytest.mark.parametrize("size", [1, 3, 20, 64])
def test_predictions_come_in_the_order_of_the_rows(classifier: Any, size: int) -> None:
    found = judge(classifier, size)
    assert [p.row for p in found] == [row["_row"] for row in ROWS]
    assert [p.expected for p in found] == [row["label"] for row in ROWS]
    for one, other in zip(found, judge(classifier, 1), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_the_model_is_judged_without_dropout_and_left_as_it_was(classifier: Any) -> None:
    model = classifier[1]
    model.config.seq_classif_dropout = model.dropout.p = 0.5
    for training in (True, False):
        model.train(training)
        assert [p.scores for p in judge(classifier, 4)] == [p.scores for p in judge(classifier, 4)]
        assert model.training is training
    assert not any(p.grad is not None for p in model.parameters())


def test_progress_is_told_and_ends_with_all_rows(classifier: Any) -> None:
    listener = Listener()
    judge(classifier, 8, reporter=listener)
    assert listener.heard == [(0, 20), (8, 20), (16, 20), (20, 20)]


def test_who_asks_to_stop_is_obeyed_between_batches(classifier: Any) -> None:
    model = classifier[1].train()
    listener = Listener(patience=2)
    with pytest.raises(Interrupted):
        judge(classifier, 4, reporter=listener)
    assert listener.heard == [(0, 20), (4, 20)]
    assert model.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_have_the_precision_of_the_plan(precision: str) -> None:
    with autocast(plan_of(precision)):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, precision)


# -- figures ------------------------------------------------------------------------------------


def said(
    *, correct: bool = True, loss: float | None = 0.0, row: int = 1, scores: tuple[float, ...] = ()
) -> Prediction:
    predicted = "a" if correct else "b"
    return Prediction(row, "text", "a", predicted, correct=correct, loss=loss, scores=scores)


@pytest.mark.parametrize(
    ("correct", "rows", "low", "high"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3: Wilson's score.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0018, 0.1718),  # Brown, Cai and DasGupta 2001: one hit of 29 may be chance
    ],
)
def test_the_interval_is_the_published_one(
    correct: int, rows: int, low: float, high: float
) -> None:
    task = TASKS["text-classification"](TASKS["text-classification"].Options())
    found = interval([said(correct=n < correct) for n in range(rows)], task)["interval"]
    assert (round(found["low"], 4), round(found["high"], 4)) == (low, high)
    assert (found["method"], found["level"], found["rows"]) == ("Wilson", 0.95, rows)


def test_three_rows_that_are_all_right_prove_little_by_f1_and_nothing_by_r2() -> None:
    entities = TASKS["token-classification"](TASKS["token-classification"].Options())
    found = interval([replace(said(), points=4.0, weight=4.0) for _ in range(3)], entities)
    assert found["interval"]["low"] < 0.5
    assert found["interval"]["high"] == 1.0
    numbers = TASKS["regression"](TASKS["regression"].Options())
    found = interval([replace(said(), points=0.9, weight=1.0) for _ in range(3)], numbers)
    assert found == {"interval": None, "interval_note": "fewer than 5 held-out rows"}


def test_the_worst_mistakes_come_first_and_right_answers_never() -> None:
    predictions = [
        said(correct=False, loss=loss, row=row)
        for row, loss in enumerate([0.5, 3.0, 1.0, 3.0, 0.1, 2.0, None], 1)
    ] + [said(loss=9.0, row=50)]
    found = worst_mistakes(predictions)
    assert [mistake["row"] for mistake in found] == [2, 4, 6, 3, 1]
    assert set(found[0]) == {"row", "text", "expected", "predicted", "confidence", "loss"}
    assert worst_mistakes(predictions, 1) == found[:1]


def test_the_surest_right_answers_come_first_and_mistakes_never() -> None:
    predictions = [
        said(loss=loss, row=row) for row, loss in enumerate([0.5, 0.01, None, 0.2, 0.01, 0.9], 1)
    ] + [said(correct=False, loss=0.0, row=50)]
    assert [answer["row"] for answer in surest_answers(predictions)] == [2, 5, 4, 1, 6]


# -- the comparison -----------------------------------------------------------------------------

BEFORE = [said(row=row, scores=(0.5, -1.0, 2.0)) for row in range(1, 9)]


def with_scores(row: int, *scores: float) -> list[Prediction]:
    return [said(row=p.row, scores=scores if p.row == row else p.scores) for p in BEFORE]


def test_the_largest_difference_is_told() -> None:
    assert compare_predictions(BEFORE, BEFORE, 0.0) == 0.0
    found = compare_predictions(BEFORE, with_scores(3, 0.5, -1.0004, 2.0), 1e-3)
    assert found == pytest.approx(4e-4)


def test_one_score_beyond_the_tolerance_is_a_failure() -> None:
    with pytest.raises(VerificationError) as caught:
        compare_predictions(BEFORE, with_scores(3, 0.5, -1.002, 2.0), 1e-3)
    assert "answers 1 of 8 held-out rows differently (rows 3; largest difference" in str(
        caught.value
    )
    assert "0.002, allowed 0.001" in str(caught.value)


def test_one_other_answer_is_a_failure_whatever_the_scores() -> None:
    after = [said(row=p.row, scores=p.scores, correct=p.row != 8) for p in BEFORE]
    with pytest.raises(VerificationError, match=r"1 of 8 .*\(rows 8;"):
        compare_predictions(BEFORE, after, 1e-3)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_nan_is_a_failure_wherever_it_stands(place: int) -> None:
    scores = [0.5, -1.0, 2.0]
    scores[place] = math.nan
    for one, other in ((BEFORE, with_scores(5, *scores)), (with_scores(5, *scores), BEFORE)):
        with pytest.raises(VerificationError, match=r"\(rows 5;"):
            compare_predictions(one, other, 1e-3)
    with pytest.raises(VerificationError):
        compare_predictions(with_scores(5, *scores), with_scores(5, *scores), 1e-3)


def test_many_differences_are_counted_and_the_first_shown() -> None:
    after = [said(row=p.row, scores=(9.0, 9.0, 9.0)) for p in BEFORE]
    with pytest.raises(VerificationError, match=r"8 of 8 .*rows 1, 2, 3, 4, 5 …;"):
        compare_predictions(BEFORE, after, 1e-3)


def test_predictions_for_other_rows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare_predictions(BEFORE, BEFORE[:-1], 1e-3)
    with pytest.raises(ValueError, match="shorter"):
        compare_predictions(BEFORE, with_scores(2, 0.5), 1e-3)
