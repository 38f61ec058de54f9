"""Flags and `section.field=value` on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.config.yaml import FLAGS, read_draft
from tunesmith.errors import ConfigError


def test_every_flag_sets_its_field() -> None:
    given = {
        "experiment_name": "x", "learning_rate": "0.25", "epochs": "3", "train_samples": "10",
        "eval_samples": "11", "batch_size": "12", "model_name": "n", "device": "cpu", "seed": "13",
    }  # fmt: skip
    assert set(given) == set(FLAGS)
    config = read_draft({"data": {"dataset_name": "d"}}, given).config().model_dump()
    for flag, field in FLAGS.items():
        here: Any = config
        for name in field.split("."):
            here = here[name]
        assert here == type(here)(given[flag]), flag


def test_a_wrong_flag_is_named_as_the_place() -> None:
    with pytest.raises(ConfigError) as caught:
        read_draft(
            {"data": {"dataset_name": "d"}, "model": {"name": "m"}}, {"epochs": "x"}
        ).config()
    assert caught.value.problems[0].place == "--epochs"
    assert caught.value.problems[0].field == "training.num_train_epochs"


def test_assignments_are_read_as_yaml_and_make_their_section() -> None:
    config = read_draft(
        {"data": {"dataset_name": "d"}, "model": {"name": "m"}, "task": "text-classification"},
        assignments=[
            "lora.target_modules=[query, value]",
            "data.validation_rules.remove_html=no",
            "lora.rank_pattern.query=4",
            "task.label_column=verdict",
            "training.device=",
            "data.dataset_config=a=b",
        ],
    ).config()
    assert config.lora.target_modules == ["query", "value"]
    assert config.data.validation_rules.remove_html is False
    assert config.lora.rank_pattern == {"query": 4}
    assert config.task.model_dump()["label_column"] == "verdict"
    assert config.training.device is None
    assert config.data.dataset_config == "a=b"


@pytest.mark.parametrize("word", ["learning_rate", "=3", "--lerning_rate"])
def test_a_word_that_is_no_assignment_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="is neither a flag nor section"):
        read_draft({"data": {"dataset_name": "d"}, "model": {"name": "m"}}, None, [word]).config()


def test_an_assignment_into_a_value_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^command line experiment_name\.x: goes into a field that has no"
    ):
        read_draft({"experiment_name": "a"}, assignments=["experiment_name.x=1"]).config()


@pytest.mark.parametrize("value", ["2024-13-45", "{", "'open", "*.csv", "*all"])
def test_an_assignment_that_is_no_yaml_is_text(value: str) -> None:
    config = read_draft(
        {"data": {"dataset_name": "d"}, "model": {"name": "m"}}, None, [f"data.revision={value}"]
    ).config()
    assert config.data.revision == value


def test_an_assignment_does_not_repeat_itself_by_aliases() -> None:
    layers = ", ".join(
        f"&a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" if n else "&a0 [x]" for n in range(9)
    )
    with pytest.raises(ConfigError, match=r"lora\.target_modules: \*a0 repeats another part"):
        read_draft(
            {"data": {"dataset_name": "d"}, "model": {"name": "m"}},
            None,
            [f"lora.target_modules=[{layers}]"],
        ).config()


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_an_assignment_that_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.revision: nested too deeply"):
        read_draft({}, None, [f"data.revision={text}"]).config()


@pytest.mark.parametrize("text", ["0x" + "f" * 5000, "59" + ":59" * 3000])
def test_a_number_that_cannot_be_shown_is_text(text: str) -> None:
    config = read_draft(
        {"data": {"dataset_name": "d"}, "model": {"name": "m"}}, None, [f"data.revision={text}"]
    ).config()
    assert config.data.revision == text


def test_a_field_set_twice_on_the_command_line_is_a_problem() -> None:
    with pytest.raises(ConfigError) as error:
        read_draft({}, assignments=("training.seed=1", "training.seed=2")).config()
    (problem,) = [p for p in error.value.problems if p.field == "training.seed"]
    assert (problem.message, problem.value) == ("was given 2 times; give it once", "2")
