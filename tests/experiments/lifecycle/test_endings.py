"""Where and how trainings end, and what is refused before they begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.errors import ConfigError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.settings import Settings
from tunesmith.store.store import Store

Asked = dict[str, Any]


@pytest.mark.parametrize(
    "fields",
    [
        {"training.max_steps": 7, "training.save_strategy": "no", "training.eval_strategy": "no"},
        {"training.num_train_epochs": 0.3},
        {"training.gradient_accumulation_steps": 3, "training.num_train_epochs": 1},
    ],
)
def test_every_step_counts_wherever_training_ends(
    fields: Asked, classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = tunesmith.train(
        classification, settings=settings, **{"training.logging_steps": 4, **fields}
    )
    expected = {7: (7, 56), 0.3: (7, 56)}.get(
        fields.get("training.max_steps") or fields["training.num_train_epochs"], (8, 170)
    )
    assert experiment.metrics["train_steps"] == expected[0]
    rate, seconds = (experiment.metrics[f"train_{n}"] for n in ("samples_per_second", "runtime"))
    assert round(rate * seconds) == expected[1]
    assert store.metrics(experiment.id, "loss")[-1].step == expected[0]
    assert store.metrics(experiment.id, "eval_accuracy")[-1].step == expected[0]


def test_the_best_of_a_metric_that_should_fall_is_its_lowest(
    chat: Asked, settings: Settings, store: Store
) -> None:
    chosen: Asked = {
        "training.load_best_model_at_end": True,
        "training.metric_for_best_model": "perplexity",
    }
    experiment = tunesmith.train(chat, settings=settings, epochs=4, **chosen)
    seen = [m.value for m in store.metrics(experiment.id, "validation_perplexity")]
    assert experiment.metrics["validation_perplexity"] == pytest.approx(min(seen))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training.metric_for_best_model": "acuracy"}, "did you mean accuracy?"),
        ({"training.optim": "adamw_8bit"}, "needs bitsandbytes"),
        ({"training.load_best_model_at_end": True, "training.eval_strategy": "no"}, "evaluation"),
        (
            {
                "training.load_best_model_at_end": True,
                "training.eval_strategy": "steps",
                "training.save_strategy": "steps",
                "training.eval_steps": 30,
            },
            "a multiple of training.eval_steps, 30",
        ),
        ({"lora.task_type": "CAUSAL_LM"}, "needs SEQ_CLS"),
        ({"lora.modules_to_save": ["classifer"]}, "classifer"),
    ],
)
def test_fields_that_are_wrong_together_are_refused_before_training(
    fields: Asked, message: str, classification: Asked, settings: Settings
) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        tunesmith.train(classification, settings=settings, **fields)


def test_what_changes_the_base_model_is_refused_where_the_adapter_is_held_against_it(
    chat: Asked, settings: Settings
) -> None:
    chat["task"] = {"name": "dpo"}
    chat["lora"] |= {"bias": "lora_only", "init_lora_weights": "pissa"}
    with pytest.raises(ConfigError) as refused:
        tunesmith.train(chat, settings=settings)
    places = {problem.field for problem in refused.value.problems}
    assert {"lora.bias", "lora.init_lora_weights"} <= places
    assert "changes the base model that dpo compares with" in str(refused.value)


def test_texts_with_odd_line_ends_come_back_from_the_predictions(
    classification: Asked, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [{"text": f"film {i} \u2028 \x85 end", "label": "ab"[i % 2]} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {**classification, "data": {**classification["data"], "dataset_name": str(path)}}
    experiment = tunesmith.train(asked, settings=settings, epochs=1, eval_samples=10)
    assert len(experiment.predictions) == 10


def test_a_history_cut_short_by_a_crash_loses_its_last_line_only(
    classification: Asked, settings: Settings, store: Store
) -> None:
    trained = tunesmith.train(classification, settings=settings, epochs=1)
    history = trained.path / "history.jsonl"
    whole = history.read_bytes()
    lines = whole.splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    files = ExperimentFolder(trained.path)
    files.append_history(store.metrics(trained.id)[-1:])
    read = list(files.read_history(trained.id))
    assert len(read) == 4
    assert read[-1] == store.metrics(trained.id)[-1]
