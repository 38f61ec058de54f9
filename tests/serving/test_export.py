"""Exports: each answers the held-out rows as the adapter does, or nothing is left of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.errors import StorageError, UserError, VerificationError
from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.export.agreement import TOLERANCES, compare
from tunesmith.serving.export.merged import export_merged
from tunesmith.serving.export.work import Work, begin
from tunesmith.settings import Settings
from tunesmith.tasks.base import Prediction


@pytest.fixture
def work(classifier: TrainedExperiment, trained_settings: Settings) -> Work:
    return begin(classifier.record, trained_settings)


@pytest.fixture
def chat_work(chatter: TrainedExperiment, trained_settings: Settings) -> Work:
    return begin(chatter.record, trained_settings)


def test_the_merged_model_is_loaded_by_transformers_alone_and_answers_as_the_adapter(
    work: Work, classifier: TrainedExperiment, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, pipeline

    done = export_merged(work, tmp_path / "merged", force=False)
    assert (done.agreement.rows, done.agreement.same) == (40, 40)
    assert done.agreement.largest < 1e-3
    classify = pipeline(
        "text-classification",
        model=str(tmp_path / "merged"),
        tokenizer=AutoTokenizer.from_pretrained(tmp_path / "merged"),
    )
    texts = [row["text"] for row in classifier.predictions]
    assert [found["label"] for found in classify(texts)] == [
        row["predicted"] for row in classifier.predictions
    ]
    told = json.loads((tmp_path / "merged" / "export.json").read_text())
    assert told["experiment"] == classifier.id
    assert told["verified"]["tolerance"] == {"score": 1e-3, "answers": 1.0}
    assert set(done.files) == {p.name for p in (tmp_path / "merged").iterdir()}


def test_a_merged_chat_model_answers_as_the_adapter_also_in_sixteen_bits(
    chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    work = begin(chatter.record, trained_settings, weights="bfloat16")
    done = export_merged(work, tmp_path / "merged", force=False)
    assert done.agreement.rows == 24
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_what_is_there_already_stays_unless_its_replacement_is_asked_for(
    work: Work, tmp_path: Path
) -> None:
    place = tmp_path / "there"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="--force replaces it"):
        export_merged(work, place, force=False)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]
    export_merged(work, place, force=True)
    assert not (place / "mine.txt").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        export_merged(work, tmp_path / "file" / "below", force=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there"]


def test_an_adapter_that_is_not_what_it_was_is_not_exported(work: Work, tmp_path: Path) -> None:
    weights = load_file(work.adapter.folder / "adapter_model.safetensors")
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in work.adapter.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    changed = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    save_file(changed, folder / "adapter_model.safetensors", {"format": "pt"})
    work.adapter = replace(work.adapter, folder=folder)
    with pytest.raises(VerificationError, match="another answer here than when it was trained"):
        export_merged(work, tmp_path / "merged", force=False)
    assert [p.name for p in tmp_path.iterdir()] == ["changed"]


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"scores": (1.0, 2.0005)}, False),
        ({"scores": (1.0, 2.1)}, True),
        ({"scores": (1.0, float("nan"))}, True),
        ({"predicted": "bad"}, True),
    ],
)
def test_an_export_that_differs_by_more_than_the_tolerance_is_refused(
    changes: dict[str, Any], fails: bool
) -> None:
    own = Prediction(1, "text", "good", "good", True, scores=(1.0, 2.0))
    recorded = [{"predicted": "good"}]
    other = replace(own, **changes)
    if fails:
        with pytest.raises(VerificationError, match="Nothing was exported"):
            compare([own], [other], recorded, TOLERANCES["float32"])
    else:
        found = compare([own], [other], recorded, TOLERANCES["float32"])
        assert found.largest == pytest.approx(0.0005)
