"""How good predicted labels are: metrics, what stays small, the baseline."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from tests.tasks.chats.chat_formats import byte_tokenizer
from tests.tasks.test_text_classification import (
    batch_of,
    fitted,
    rows_of,
    tiny_bert,
)
from torch.nn import functional

from tunesmith.schemas.metrics import confusions_of
from tunesmith.tasks.parts.figures import confusion
from tunesmith.tasks.results import Prediction


def said(expected: Any, predicted: Any, loss: float = 1.0) -> Prediction:
    return Prediction(1, "t", expected, predicted, correct=expected == predicted, loss=loss)


def test_metrics_are_those_computed_by_hand() -> None:
    # expected \ predicted   a  b  c
    #                     a  3  1  0
    #                     b  1  1  0
    #                     c  1  0  0
    cells = {("a", "a"): 3, ("a", "b"): 1, ("b", "a"): 1, ("b", "b"): 1, ("c", "a"): 1}
    predictions = [said(*cell, loss=n) for cell, n in cells.items() for _ in range(n)]
    task = fitted(["a", "b", "c"])
    score = task.score(predictions)
    assert (score.main, score.metrics["accuracy"]) == ("accuracy", 4 / 7)
    assert score.metrics["loss"] == pytest.approx((3 * 3 + 1 + 1 + 1 + 1) / 7)
    per_class = score.details["per_class"]
    assert per_class["a"] == {
        "precision": 3 / 5,
        "recall": 3 / 4,
        "f1": pytest.approx(2 / 3),
        "support": 4,
    }
    assert per_class["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert per_class["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert score.metrics["f1_macro"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert score.details["confusion_matrix"] == {
        "labels": ["a", "b", "c"],
        "rows_expected_columns_predicted": [[3, 1, 0], [1, 1, 0], [1, 0, 0]],
    }


def test_labels_that_no_row_has_are_named_and_do_not_count_as_told_wrongly() -> None:
    task = fitted(["a", "b", "c"])
    score = task.score([said("a", "a"), said("a", "a"), said("b", "b")])
    assert score.metrics["f1_macro"] == 1.0  # as sklearn.metrics.f1_score(average="macro")
    assert set(score.details["per_class"]) == {"a", "b"}
    assert task.cautions(score) == [
        "no held-out row has the label 'c': the score says nothing about it"
    ]
    guessed = task.score([said("a", "a"), said("a", "c"), said("b", "b")])
    assert guessed.details["per_class"]["c"]["f1"] == 0.0  # it was predicted
    assert guessed.metrics["f1_macro"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert task.cautions(guessed)


def test_results_stay_small_however_many_labels_there_are() -> None:
    task = fitted(["a", "b"])
    task.restore({"labels": [f"label {n}" for n in range(5000)], "weights": None})
    rows = [said(f"label {n % 700}", f"label {n % 900}") for n in range(6000)]
    rows += [said("label 1", "label 2")] * 50
    start = time.process_time()
    score = task.score(rows)
    assert time.process_time() - start < 2.0
    assert len(json.dumps(dict(score.details))) < 40_000
    assert "confusion_matrix" not in score.details
    confused = score.details["confusions"]
    first = confused["pairs"][0]
    assert (first["expected"], first["predicted"], first["rows"]) == ("label 1", "label 2", 50)
    assert len(confused["pairs"]) == 100
    assert confused["left_out"] > 1000
    assert len(score.details["per_class"]) == 100
    assert score.details["per_class_left_out"] == 800
    assert "and 4,295 more" in task.cautions(score)[0]


def test_metrics_of_several_labels_are_those_computed_by_hand() -> None:
    task = fitted(["a", "b"], multi_label=True)
    score = task.score(
        [said(["a"], ["a"]), said(["a", "b"], ["a"]), said([], ["b"]), said(["b"], ["b"])]
    )
    assert score.metrics["accuracy"] == 0.5  # the whole set must be right
    assert score.details["per_class"]["a"]["f1"] == 1.0
    assert score.details["per_class"]["b"] == {
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2
    }  # fmt: skip
    assert score.metrics["f1_macro"] == 0.75
    assert "confusion_matrix" not in score.details


@pytest.mark.parametrize("multi_label", [False, True])
def test_predictions_follow_from_the_logits(multi_label: bool) -> None:
    task = fitted(["a", "b", "c"], multi_label=multi_label)
    rows, model = rows_of(["a", "b", "c", "a"]), tiny_bert(task, byte_tokenizer())
    batch = batch_of(task, rows)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits.detach()
    found = list(task.predict(model, [(rows, batch)], byte_tokenizer()))
    assert [p.row for p in found] == [1, 2, 3, 4]
    for number, prediction in enumerate(found):
        row = logits[number]
        assert prediction.scores == pytest.approx(row.tolist())
        assert prediction.correct == (prediction.predicted == prediction.expected)
        if multi_label:
            chances = row.sigmoid()
            assert prediction.predicted == [
                label for label, p in zip(task.labels, chances, strict=True) if p > 0.5
            ]
            assert prediction.confidence == pytest.approx(
                min(max(float(p), 1 - float(p)) for p in chances)
            )
            expected = functional.binary_cross_entropy_with_logits(row, batch["labels"][number])
        else:
            assert prediction.predicted == task.labels[int(row.argmax())]
            assert prediction.confidence == pytest.approx(float(row.softmax(0).max()))
            expected = functional.cross_entropy(row, batch["labels"][number])
        assert prediction.loss == pytest.approx(float(expected))
    assert len({str(p.predicted) for p in found} | {p.correct for p in found}) > 1
    assert all(math.isfinite(p.loss or math.nan) for p in found)


def test_the_baseline_is_the_most_frequent_label() -> None:
    task = fitted(["a", "b"])
    baseline = task.baseline(rows_of("bba"), rows_of("abbb"))
    assert baseline == {
        "name": "always 'b', the most frequent label",
        "metric": "accuracy",
        "value": 0.75,
    }


def test_the_most_frequent_mistakes_of_an_early_record_are_read_from_its_matrix() -> None:
    pairs = [("a", "b"), ("a", "b"), ("b", "b"), ("c", "a")]
    now = confusion(pairs, ["a", "b", "c"])
    early = {"confusion_matrix": now["confusion_matrix"]}
    assert confusions_of(now) == confusions_of(early) == now["confusions"]
    assert now["confusions"]["pairs"][0] == {"expected": "a", "predicted": "b", "rows": 2}
    assert confusions_of({}) == {"pairs": [], "left_out": 0}
