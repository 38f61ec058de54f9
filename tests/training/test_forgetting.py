"""What a training takes from a model that writes text: the general set, before and after."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunesmith.config.schema import ExperimentConfig
from tunesmith.models.locate import locate_model
from tunesmith.tasks import TASKS
from tunesmith.tasks.chats.task import ChatTask
from tunesmith.training.engine import train
from tunesmith.training.evidence import forgetting
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tiny_chat: Path, reviews: Path, tmp_path: Path) -> Run:
    """Trains a few steps with fields of `training`, and gives the metrics."""
    with reviews.open(newline="", encoding="utf-8") as stream:
        rows = [{"_row": n, **row} for n, row in enumerate(csv.DictReader(stream), 1)]

    def trained(**training: Any) -> dict[str, Any]:
        asked = {
            "task": {"name": "sft", "prompt_column": "review", "completion_column": "verdict"},
            "model": {"name": str(tiny_chat)},
            "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]},
            "data": {"dataset_name": str(reviews), "max_length": 48},
            "training": {"device": "cpu", "precision": "float32", "max_steps": 4,
                         "eval_strategy": "no", "save_strategy": "no", **training},
        }  # fmt: skip
        config = ExperimentConfig.model_validate(asked)
        task = TASKS["sft"](config.task)
        task.bind(task.find_columns(list(rows[0]), rows))
        task.fit(rows[:40], rows[-8:])
        dataset = dict.fromkeys(("name", "hash", "source"), "") | {
            "version": None, "overlap": 0, "near_overlap": 0
        }  # fmt: skip
        return train(
            config, task, TrainingData(rows[:40], rows[-8:], dataset),
            locate_model(config.model.name, cache=tmp_path), make_plan(config),
            tmp_path / str(training.get("learning_rate")), Reporter(), cache=tmp_path / "cache",
        ).metrics  # fmt: skip

    return trained


def test_an_adapter_that_learned_nothing_forgot_nothing_and_one_that_raced_did(run: Run) -> None:
    still = run(learning_rate=1e-12)["forgetting"]
    assert set(still) == {"text", "chat", "questions"}
    for part in still.values():
        assert part["difference"] == pytest.approx(0.0, abs=1e-5)
        assert part["interval"]["rows"] == part["rows"] > 10
    raced = run(learning_rate=1.0)["forgetting"]["text"]
    assert raced["before"] == still["text"]["before"]
    assert raced["difference"] > 0.1


def test_the_base_model_is_asked_once_for_all_its_trainings(run: Run, tmp_path: Path) -> None:
    first = run(learning_rate=1e-3)["forgetting"]
    (kept,) = (tmp_path / "cache" / forgetting.KEPT).iterdir()
    known = json.loads(kept.read_text(encoding="utf-8"))
    known["text"] = [loss + 1 for loss in known["text"]]
    kept.write_text(json.dumps(known), encoding="utf-8")
    second = run(learning_rate=2e-3)["forgetting"]
    assert second["text"]["before"] == pytest.approx(first["text"]["before"] + 1)
    kept.write_text("half of", encoding="utf-8")
    third = run(learning_rate=3e-3)["forgetting"]
    assert third["text"]["before"] == first["text"]["before"]


def test_it_can_be_left_out(run: Run, tmp_path: Path) -> None:
    assert "forgetting" not in run(forgetting=False)
    assert not (tmp_path / "cache" / forgetting.KEPT).exists()


@pytest.fixture(scope="module")
def asked(tiny_chat: Path) -> Any:
    """The set in the tokens of the tests' chat model, and the model."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_chat)
    config = ExperimentConfig.model_validate({
        "task": {"name": "sft"}, "model": {"name": "m"}, "data": {"dataset_name": "d"}
    })  # fmt: skip
    task = TASKS["sft"](config.task)
    assert isinstance(task, ChatTask)
    task.prepare_tokenizer(tokenizer)
    return (
        forgetting._encoded(task, tokenizer, 64),
        AutoModelForCausalLM.from_pretrained(tiny_chat).eval(),
        tokenizer,
    )


def test_the_loss_is_that_of_transformers(asked: Any) -> None:
    general, model, tokenizer = asked
    plan = SimpleNamespace(device="cpu", precision="float32")
    work: Any = SimpleNamespace(reporter=Reporter(), tokenizer=tokenizer, plan=plan)
    judge: Any = SimpleNamespace(fitting=lambda compute: compute(5))
    for examples in (general.text[:7], general.chat[:7]):
        found = forgetting._losses(work, model, judge, examples)
        for loss, example in zip(found, examples, strict=True):
            ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
            with torch.no_grad():
                expected = float(model(input_ids=ids, labels=labels).loss)
            assert loss / example["targets"] == pytest.approx(expected, rel=1e-4)


def test_every_text_fits_and_has_what_counts_and_questions_come_in_fours(asked: Any) -> None:
    general, _, _ = asked
    both = (*general.text, *general.chat)
    assert all(len(e["input_ids"]) <= 64 and e["targets"] > 0 for e in both)
    assert len(general.questions) == len(general.characters)
    assert len(general.questions) % 4 == 0


def test_the_set_says_its_licence_and_has_four_different_ends_to_each_question() -> None:
    files = sorted((Path(forgetting.__file__).parent / "general").glob("*.toml"))
    assert [file.stem for file in files] == ["en", "zh-TW"]
    assert all("CC0-1.0" in file.read_text(encoding="utf-8") for file in files)
    for question in forgetting._general()["questions"]:
        assert len(set(question["ends"])) == 4, question
