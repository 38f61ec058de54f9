"""The schema: every field described, the promised files valid, the JSON schema complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tunesmith.config.problems import known_fields
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft
from tunesmith.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "config").glob("*.yaml"))

PROMISED = """\
experiment_name: default_experiment
model:    {name: distilbert-base-uncased, num_labels: 2}
lora:     {r: 8, lora_alpha: 16, target_modules: [q_lin, v_lin], lora_dropout: 0.1, bias: none, task_type: SEQ_CLS}
data:     {dataset_name: glue, dataset_config: sst2, train_samples: 100, eval_samples: 50, max_length: 128,
           validation_rules: {min_text_length: 5, max_text_length: 500, allow_empty: false, remove_html: true}}
training: {learning_rate: 5.0e-4, num_train_epochs: 1, per_device_train_batch_size: 2, eval_strategy: epoch,
           logging_steps: 10, device: null}     # null = detect: cuda, then mps, then cpu
"""  # noqa: E501 - as it was promised
"""The configuration that users were promised, to the letter."""


def small(**sections: Any) -> dict[str, Any]:
    """A valid configuration with as little in it as possible."""
    return {"model": {"name": "m"}, "data": {"dataset_name": "d"}, **sections}


def models(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of a configuration, the options of every task among them, with its path."""
    yield path, model
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from models(kind, f"{path}{name}.")


def sections() -> list[tuple[str, type[BaseModel]]]:
    return [*models(ExperimentConfig), *(("task.", task.Options) for task in TASKS.values())]


def test_the_promised_file_is_kept_to_the_letter() -> None:
    assert (ROOT / "config" / "distilbert-sst2.yaml").read_text(encoding="utf-8") == PROMISED


def test_the_promised_configuration_is_valid_and_means_what_it_says() -> None:
    asked = yaml.safe_load(PROMISED)
    config = read_draft(asked).config()
    assert config.task_name == "text-classification"
    found = config.model_dump()
    for section, fields in asked.items():
        if section == "experiment_name":
            assert found[section] == fields
            continue
        for name, value in fields.items():
            if isinstance(value, dict):
                assert {key: found[section][name][key] for key in value} == value
            else:
                assert found[section][name] == value, f"{section}.{name}"


def test_there_are_recipes() -> None:
    assert {"default.yaml", "distilbert-sst2.yaml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_valid(path: Path) -> None:
    draft = read_draft(path)
    assert [str(problem) for problem in draft.problems] == []
    assert draft.config().experiment_name


def test_every_field_has_a_description_of_one_line() -> None:
    fields = {
        f"{path}{name}": field.description
        for path, model in sections()
        for name, field in model.model_fields.items()
        if not (path == "task." and name == "name")
    }
    assert len(fields) > 60
    for field, description in fields.items():
        assert description, f"{field} has no description"
        assert "\n" not in description
        assert len(description) <= 150, field


def test_the_json_schema_holds_every_field_with_its_description() -> None:
    schema = ExperimentConfig.model_json_schema()
    definitions = {**schema["$defs"], "ExperimentConfig": schema}
    for path, model in sections():
        properties = definitions[model.__name__]["properties"]
        assert set(properties) == set(model.model_fields), path
        for name, field in model.model_fields.items():
            node = properties[name]
            section = node.get("$ref", "").rpartition("/")[2]  # says it itself where it is the same
            said = node.get("description") or definitions.get(section, {}).get("description")
            assert said == field.description, f"{path}{name}"
    assert schema["$defs"]["LoraConfig"]["properties"]["r"]["minimum"] == 1
    assert json.loads(json.dumps(schema)) == schema


def test_the_known_fields_are_those_of_the_sections_and_of_the_chosen_task() -> None:
    everywhere = known_fields()
    assert {"experiment_name", "lora.r", "data.validation_rules.remove_html"} <= set(everywhere)
    assert {"task.labels", "task.prompt_template"} <= set(everywhere)
    assert "task.prompt_template" not in known_fields("text-classification")
    assert len(everywhere) == len(set(everywhere))


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ({}, "text-classification"),
        ({"task": "sft"}, "sft"),
        ({"task": {"name": "sft"}}, "sft"),
        ({"lora": {"task_type": "CAUSAL_LM"}}, "sft"),
        ({"lora": {"task_type": "SEQ_CLS"}}, "text-classification"),
        ({"lora": {"task_type": "CAUSAL_LM"}, "task": {"max_new_tokens": 3}}, "sft"),
        ({"task": {"labels": ["a", "b"]}}, "text-classification"),
    ],
)
def test_the_task_is_named_or_implied(asked: dict[str, Any], task: str) -> None:
    assert ExperimentConfig.model_validate(small(**asked)).task_name == task


def test_a_configuration_cannot_be_changed() -> None:
    config = ExperimentConfig.model_validate(small())
    with pytest.raises(ValidationError):
        config.experiment_name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.lora.r = 2  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "run_1", "v1.2-final", "實驗"])
def test_an_experiment_may_be_called(name: str) -> None:
    assert ExperimentConfig.model_validate(small(experiment_name=name)).experiment_name == name


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-flag", "a b", "a\n", "x" * 101])
def test_an_experiment_may_not_be_called_what_is_no_folder_name(name: str) -> None:
    with pytest.raises(ValidationError):
        ExperimentConfig.model_validate(small(experiment_name=name))


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "mps", None])
def test_devices_that_can_be_asked_for(device: str | None) -> None:
    config = ExperimentConfig.model_validate(small(training={"device": device}))
    assert config.training.device == device


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("lora", {"r": 0}),
        ("lora", {"r": True}),
        ("lora", {"lora_dropout": 1.0}),
        ("lora", {"init_lora_weights": "loftq"}),
        ("lora", {"init_lora_weights": "eva"}),
        ("lora", {"rank_pattern": {"q_lin": 0}}),
        ("training", {"learning_rate": 0}),
        ("training", {"learning_rate": float("nan")}),
        ("training", {"num_train_epochs": float("inf")}),
        ("training", {"device": "gpu"}),
        ("training", {"device": "cuda:x"}),
        ("data", {"dataset_name": "d", "eval_fraction": 1.0}),
        ("task", {"class_weights": {"a": 0.0}}),
        ("task", {"class_weights": {"a": float("nan")}}),
        ("task", {"labels": ["1", 1]}),
    ],
)
def test_values_out_of_bounds_are_refused(section: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExperimentConfig.model_validate(small(**{section: fields}))
