"""A temperature that was fitted: applied wherever probabilities are given, and to no answer."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.onnx import Onnx
from tunesmith.serving.exporters.package import Package
from tunesmith.serving.exporters.parts.work import Work, begin
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings

ANY = Settings(_env_file=None)
TEMPERATURE = 2.5
ASKED = ["a fine film", "a dull plot", "great story , bad movie", "poor"]


def with_facts(adapter: SavedAdapter, folder: Path, **facts: Any) -> SavedAdapter:
    """A copy of the adapter whose task has other facts; None leaves one out."""
    shutil.copytree(adapter.folder, folder)
    saved = json.loads((folder / "tunesmith.json").read_text(encoding="utf-8"))
    changed = {**saved["facts"], **facts}
    saved["facts"] = {name: value for name, value in changed.items() if value is not None}
    (folder / "tunesmith.json").write_text(json.dumps(saved), encoding="utf-8")
    return replace(adapter, folder=folder)


@pytest.fixture
def saved(classifier: TrainedExperiment, trained_settings: Settings) -> SavedAdapter:
    return locate_adapter(classifier.record, trained_settings)


@pytest.fixture
def work(classifier: TrainedExperiment, trained_settings: Settings, tmp_path: Path) -> Work:
    found = begin(classifier.record, trained_settings)
    found.adapter = with_facts(found.adapter, tmp_path / "warm", temperature=TEMPERATURE)
    assert hasattr(found.task, "temperature")
    found.task.temperature = TEMPERATURE
    return found


def asked(adapter: SavedAdapter, settings: Settings) -> list[tuple[str, dict[str, float]]]:
    found = Predictor(settings, device="cpu").answer(adapter, ASKED).answers
    return [(str(one.answer), dict(one.probabilities or {})) for one in found]


def warmed(chances: dict[str, float], by: float) -> dict[str, float]:
    """What the probabilities are once the logits are divided by `by`."""
    powers = {label: chance ** (1 / by) for label, chance in chances.items()}
    return {label: power / sum(powers.values()) for label, power in powers.items()}


def test_probabilities_are_by_the_temperature_and_answers_are_not(
    saved: SavedAdapter, trained_settings: Settings, tmp_path: Path
) -> None:
    plain = asked(with_facts(saved, tmp_path / "old", temperature=None), trained_settings)
    warm = asked(with_facts(saved, tmp_path / "warm", temperature=TEMPERATURE), trained_settings)
    for (answer, chances), (same, found) in zip(plain, warm, strict=True):
        assert same == answer
        assert found == pytest.approx(warmed(chances, TEMPERATURE), abs=1e-5)
        assert found != pytest.approx(chances, abs=1e-3)


def test_an_experiment_says_what_calibration_is_worth_on_the_rows_that_judge(
    classifier: TrainedExperiment, saved: SavedAdapter
) -> None:
    found = classifier.metrics["calibration"]
    facts = json.loads((saved.folder / "tunesmith.json").read_text(encoding="utf-8"))["facts"]
    assert facts["temperature"] == found["temperature"]
    assert found["rows"] == classifier.metrics["validation_samples"] > 0
    assert sum(point["rows"] for point in found["after"]["points"]) == found["test_rows"] == 40
    assert found["after"]["interval"]["low"] <= found["after"]["ece"]
    assert (found["reason"] is None) == (found["temperature"] != 1.0)
    for row in classifier.predictions:
        warm = [math.exp(score / found["temperature"]) for score in row["scores"]]
        assert row["confidence"] == pytest.approx(max(warm) / sum(warm), abs=1e-5)


def test_a_merged_model_has_the_temperature_in_its_weights(work: Work, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, pipeline

    own = work.given.rows[:8]
    done = Merged(ANY).export(work, tmp_path / "merged", force=False)
    assert (done.agreement.same, work.divided) == (40, TEMPERATURE)
    classify = pipeline(
        "text-classification",
        model=str(tmp_path / "merged"),
        tokenizer=AutoTokenizer.from_pretrained(tmp_path / "merged"),
    )
    texts = [row["review"] for row in own]
    predictions = {p.text: p for p in work.own}
    for text, said in zip(texts, classify(texts), strict=True):
        warm = [math.exp(score / TEMPERATURE) for score in predictions[text].scores]
        assert said["score"] == pytest.approx(max(warm) / sum(warm), abs=1e-4)
    described = json.loads((tmp_path / "merged" / "tunesmith.json").read_text(encoding="utf-8"))
    assert described["facts"]["temperature"] == 1.0  # else it would be divided by twice


def test_a_graph_has_it_too(work: Work, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = Onnx(ANY).export(work, tmp_path / "graph", force=False)
    assert (done.agreement.same, work.divided) == (40, TEMPERATURE)
    assert done.agreement.largest < 1e-3


def test_the_loader_of_a_package_divides_by_it(work: Work, tmp_path: Path) -> None:
    Package(ANY, with_base=True).export(work, tmp_path / "one.zip", force=False)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path)
    code = (
        "from load import model, tokenizer\n"
        f"given = tokenizer({ASKED[0]!r}, return_tensors='pt')\n"
        "print(*model(**given).logits[0].tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "one",
        capture_output=True,
        check=True,
        text=True,
    )
    one, other = map(float, done.stdout.split())
    (_, chances), *_ = asked(work.adapter, ANY)
    assert max(chances.values()) == pytest.approx(1 / (1 + math.exp(-abs(one - other))), abs=1e-4)


def test_a_card_says_it_in_its_code(work: Work) -> None:
    assert f"output.logits /= {TEMPERATURE}" in work.card.usage('"final_model"')
