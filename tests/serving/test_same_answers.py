"""What is reported of a chat adapter is what it answers when asked, through every door.

The base model thinks, writes today's date, and has generation settings that are all odd; questions
end in spaces, answers begin with them, and both hold the model's control tokens.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_families import FAMILIES, save_chat_model

import tunesmith
from tunesmith.config.yaml import read_draft
from tunesmith.experiments import TrainedExperiment
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.asking import Asking
from tunesmith.serving.engine import Engine
from tunesmith.settings import Settings

WORDS = [
    "red", "blue", "green", "old", "new", "big", "small", "fast", "slow", "warm", "cold",
    "dry", "wet",
]  # fmt: skip
DATED = "{{- 'Today is ' + strftime_now('%d %B %Y') + '.\\n' }}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    family = FAMILIES["qwen-3"]
    texts = [" ".join(WORDS), "Today is 03 February 2026.\n", "\n    y = x\n\n    ", "<|im_end|>"]
    dated = replace(family, template=DATED + family.template)
    folder = tmp_path_factory.mktemp("models") / "thinks"
    return save_chat_model(folder, dated, texts, architecture="llama")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(72):
            one, other = WORDS[number % 13], WORDS[number * 5 % 11]
            asked = f"{one} {other} <|im_end|>\n<|im_start|>system\n? " + " " * (number % 3)
            answer = f"    y = {one}\n    <|im_end|>{one}" if number % 2 else f"\n\n  {other}"
            stream.write(json.dumps({"prompt": asked, "completion": answer}) + "\n")
    return path


@pytest.fixture(scope="module")
def config(base: Path, rows: Path) -> dict[str, Any]:
    return {
        "experiment_name": "odd",
        "task": {"name": "sft", "max_new_tokens": 24},
        "model": {"name": str(base)},
        "lora": {"r": 8, "target_modules": "all-linear"},
        "data": {"dataset_name": str(rows), "eval_samples": 24, "max_length": 160,
                 "validation_rules": {"leakage": "ignore"}},
        "training": {"learning_rate": 1e-2, "num_train_epochs": 4, "logging_steps": 50,
                     "save_strategy": "no", "device": "cpu", "precision": "float32"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(config: dict[str, Any], trained_settings: Settings) -> TrainedExperiment:
    return tunesmith.train(config, settings=trained_settings)


def judged(trained: TrainedExperiment) -> list[dict[str, Any]]:
    text = (Path(str(trained.record.directory)) / "artifacts" / "predictions.jsonl").read_text(
        encoding="utf-8"
    )
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def questions(trained: TrainedExperiment, rows: Path) -> list[str]:
    """What the held-out rows ask, to the last space."""
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    return [lines[one["row"] - 1]["prompt"] for one in judged(trained)]


def test_every_door_gives_the_answer_that_was_judged(
    trained: TrainedExperiment, questions: list[str], trained_settings: Settings, base: Path
) -> None:
    expected = [one["predicted"] for one in judged(trained)]
    assert len(set(expected)) > 3
    adapter = locate_adapter(trained.record, trained_settings)
    engine = Engine(trained_settings, {"odd": (adapter, 0)}, device="cpu")
    (served,) = engine.models
    assert served.notes
    assert str(datetime.now(trained_settings.timezone).date()) in served.notes[0]
    assert [a.answer for a in engine.predict(served, questions).answers] == expected
    for question, answer in zip(questions, expected, strict=True):
        asking, pieces = Asking(), list[str]()
        chat = engine.open(served, [{"role": "user", "content": question}], asking)
        engine.say(chat, asking, pieces.append)
        assert "".join(pieces) == answer
    assert [plain_peft(base, trained, question) for question in questions[:8]] == expected[:8]


def plain_peft(base: Path, trained: TrainedExperiment, question: str) -> str:
    """The answer as anybody gets it from the adapter's folder, as its card says."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    folder = Path(str(trained.record.directory)) / "artifacts" / "final_model"
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model = PeftModel.from_pretrained(model, folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Plain transformers takes control tokens in texts for what they are called.
    said = question.replace("<|", "<\0|")
    text: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
    )
    ids = [
        token
        for piece in text.split("\0")
        for token in tokenizer(piece, add_special_tokens=False)["input_ids"]
    ]
    import torch

    asked = torch.tensor([ids])
    made = model.generate(input_ids=asked, attention_mask=torch.ones_like(asked))
    return str(tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True)).strip()


def test_the_date_of_a_template_is_that_of_the_experiment_on_every_day(
    config: dict[str, Any], trained: TrainedExperiment, trained_settings: Settings
) -> None:
    recorded = read_draft(trained.record.config).partial
    assert recorded is not None
    day = recorded.task.template_date  # type: ignore[attr-defined]
    assert day == datetime.now(trained_settings.timezone).date()
    earlier = {**config, "task": {**config["task"], "template_date": "2026-02-03"}}
    found = prepare(read_draft(earlier), trained_settings)
    assert found.config.task.template_date == date(2026, 2, 3)  # type: ignore[attr-defined]
    template = (
        Path(str(trained.record.directory)) / "artifacts" / "final_model" / "chat_template.jinja"
    ).read_text()
    assert f"{day:%d %B %Y}" in template
    assert "strftime_now" not in template
