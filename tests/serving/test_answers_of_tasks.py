"""Adapters that answer with numbers and with entities: trained, asked, compared and exported."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.serving.conftest import train

from tunesmith.experiments import TrainedExperiment
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.onnx import Onnx
from tunesmith.serving.exporters.parts.work import begin
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.tasks.tokens.places import ModelPlace

GOOD, BAD = ("good", "great", "superb", "fine"), ("bad", "poor", "awful", "dreadful")
OTHERS = ("film", "plot", "story", "movie", "scene", "actor", "the", "was")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Texts with a number, and texts as words with tags: both tell praise from blame."""
    draw, folder = random.Random(0), tmp_path_factory.mktemp("ratings")
    numbers, tagged = [], []
    for _ in range(160):
        words = draw.choices((*GOOD, *BAD, *OTHERS), k=7)
        score = sum((word in GOOD) - (word in BAD) for word in words)
        numbers.append({"text": " ".join(words), "score": 10 * score})
        tags = ["B-PRAISE" if w in GOOD else "B-BLAME" if w in BAD else "O" for w in words]
        tagged.append({"tokens": words, "ner_tags": tags})
    found = {}
    for name, rows in (("regression", numbers), ("token-classification", tagged)):
        found[name] = folder / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return found


@pytest.fixture(scope="module")
def trained(
    ratings: dict[str, Path], reviews_config: dict[str, Any], trained_settings: Settings
) -> dict[str, TrainedExperiment]:
    """One experiment of each task."""
    return {
        name: train(
            {
                **reviews_config,
                "experiment_name": name,
                "task": {"name": name},
                "data": {"dataset_name": str(data), "eval_samples": 40, "max_length": 32},
            },
            trained_settings,
        )
        for name, data in ratings.items()
    }


@pytest.mark.parametrize("name", ["regression", "token-classification"])
def test_what_is_learned_is_above_the_untrained_model_and_has_an_interval(
    name: str, trained: dict[str, TrainedExperiment]
) -> None:
    metrics = trained[name].metrics
    score = metrics["score"]
    assert score["metric"] == {"regression": "r2", "token-classification": "f1"}[name]
    method = {"regression": "jackknife", "token-classification": "Wilson, effective rows"}[name]
    assert score["interval"]["method"] == method
    low, high = score["interval"]["low"], score["interval"]["high"]
    assert max(score["untrained"][score["metric"]], 0.1) < low <= score["value"] <= high
    assert metrics["reload_verified"]
    card = (trained[name].path / "artifacts/final_model/README.md").read_text()
    assert f"| this adapter | **{score['value']:.3f}** (95 % interval {low:.3f}" in card


def test_an_adapter_answers_with_numbers_in_the_datas_own_unit_and_with_entities(
    trained: dict[str, TrainedExperiment], trained_settings: Settings
) -> None:
    predictor = Predictor(trained_settings)
    adapters = {n: locate_adapter(one.record, trained_settings) for n, one in trained.items()}
    texts = ["great superb film good", "the plot was awful bad poor"]
    high, low = predictor.answer(adapters["regression"], texts).answers
    assert high.answer > 5
    assert low.answer < -5
    asked: list[str | Mapping[str, Any]] = [*texts, {"tokens": ["great", "film"]}]
    answers = predictor.answer(adapters["token-classification"], asked).answers
    told = [(one["label"], one["text"], one["start"], one["end"]) for one in answers[0].answer]
    assert ("PRAISE", "great", 0, 5) in told
    assert all(0 < one["score"] <= 1 for answer in answers for one in answer.answer)
    assert all(texts[1][e["start"] : e["end"]] == e["text"] for e in answers[1].answer)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # the tiny one
def test_what_the_card_says_of_using_an_adapter_runs(
    trained: dict[str, TrainedExperiment],
    trained_settings: Settings,
    tiny_distilbert: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, one in trained.items():
        adapter = locate_adapter(one.record, trained_settings)
        task = adapter.read_task()
        monkeypatch.chdir(adapter.folder.parent)
        place = ModelPlace("'final_model'", repr(str(tiny_distilbert)))
        code = task.usage(place).replace("A text of your own", "great film")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(code, name, "exec"), {})  # noqa: S102 (our own card)
        (answer,) = Predictor(trained_settings).answer(adapter, ["great film"]).answers
        if name == "regression":
            assert float(said.getvalue()) == pytest.approx(answer.answer, rel=0.02)
        else:
            assert all(entity["label"] in said.getvalue() for entity in answer.answer)


def test_exports_answer_as_the_adapters_do(
    trained: dict[str, TrainedExperiment], trained_settings: Settings, tmp_path: Path
) -> None:
    numbers = begin(trained["regression"].record, trained_settings)
    found = Merged(trained_settings).export(numbers, tmp_path / "merged", force=False).agreement
    assert found.same == 40
    entities = begin(trained["token-classification"].record, trained_settings)
    found = Onnx(trained_settings).export(entities, tmp_path / "onnx", force=False).agreement
    assert (found.same, found.rows) == (40, 40)


@pytest.mark.parametrize("name", ["regression", "token-classification"])
def test_one_that_learned_less_is_told_apart(
    name: str,
    trained: dict[str, TrainedExperiment],
    ratings: dict[str, Path],
    reviews_config: dict[str, Any],
    trained_settings: Settings,
) -> None:
    worse = train(
        {
            **reviews_config,
            "experiment_name": f"{name}-worse",
            "task": {"name": name},
            "data": {"dataset_name": str(ratings[name]), "eval_samples": 40, "max_length": 32},
        },
        trained_settings,
        **{"training.num_train_epochs": 1, "training.learning_rate": 1e-6},
    )
    found = compare_experiments([trained[name].record, worse.record], trained_settings, 0)
    assert [line.note for line in found.experiments] == [None, None]
    assert found.experiments[0].interval is not None
    recorded = trained[name].metrics["score"]["interval"]
    assert found.experiments[0].interval.low == pytest.approx(recorded["low"])
    (pair,) = found.pairs
    assert (pair.verdict, pair.test) == ("worse", "approximate randomization")
    assert pair.interval is not None
    assert pair.interval.high < 0
    assert "rows done better than by the first" in pair.explanation
