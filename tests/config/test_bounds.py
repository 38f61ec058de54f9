"""Nothing that is asked for may take long to refuse, nor be larger than makes sense."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.config.patterns import matching
from tunesmith.config.sweep import read_sweep
from tunesmith.config.yaml import parse_yaml, read_draft
from tunesmith.errors import MOST_PROBLEMS, ConfigError, Problem, nearest

GOOD: dict[str, Any] = {
    "task": "text-classification",
    "model": {"name": "some/model"},
    "data": {"dataset_name": "some/data"},
}


def seconds(call: Callable[[], object]) -> float:
    """Processor time of `call`, whatever it raises of ours."""
    begun = time.process_time()
    with contextlib.suppress(ConfigError):
        call()
    return time.process_time() - begun


def problems_with(**values: Any) -> list[Problem]:
    return list(read_draft({**GOOD, **values}).problems)


def test_a_report_of_very_many_problems_lists_the_first_and_says_how_many_more_there_are() -> None:
    asked = {f"unknown_key_{number}": 1 for number in range(20_000)}
    found = problems_with(**asked)
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].message == "19,950 more problems are not listed"


MEGABYTE: dict[str, Callable[[], dict[str, Any]]] = {
    "unknown keys": lambda: {f"learning_rata{number}": 1 for number in range(49_000)},
    "unknown keys of a section": lambda: {
        "training": {f"learning_rata{number}": 1 for number in range(49_000)}
    },
    "a long unknown key": lambda: {"a" * 900_000: 1},
    "wrong items": lambda: {"lora": {"target_modules": [1] * 400_000}},
    "wrong mappings": lambda: {
        "data": {"dataset_name": "x", "where": {f"c{n}": [{}] for n in range(40_000)}}
    },
    "labels": lambda: {
        "task": {"name": "text-classification", "labels": [f"l{n}" for n in range(49_000)]}
    },
    "a long choice": lambda: {"training": {"optim": "a" * 900_000}},
}


@pytest.mark.parametrize("what", MEGABYTE)
def test_a_megabyte_of_nonsense_is_refused_soon(what: str) -> None:
    values = {**GOOD, **MEGABYTE[what]()}
    assert seconds(lambda: read_draft(values).config()) < 2
    assert read_draft(values).problems


YAML = {
    "keys": "\n".join(f"a{number}: 1" for number in range(20_000))[:99_000],
    "numbers": "a: [" + "1," * 49_000 + "]",
    "dashes": "\n".join("- " * 90 for _ in range(550)),
    "escapes": 'a: "' + "\\x41" * 24_000 + '"',
    "comments": "#\n" * 49_000,
    "keys written twice": "a: 1\n" * 19_000,
}


@pytest.mark.parametrize("what", YAML)
def test_yaml_from_the_network_is_read_or_refused_soon(what: str) -> None:
    assert seconds(lambda: parse_yaml(YAML[what])) < 2


def test_numbers_to_the_base_of_60_are_words() -> None:
    assert parse_yaml("a: 12:30:45.5\nb: 1:30\nc: 010\nd: 1_000\ne: 1.5e+3\nf: .inf") == {
        "a": "12:30:45.5", "b": "1:30", "c": 8, "d": 1000, "e": 1500.0, "f": float("inf")
    }  # fmt: skip
    assert read_draft(GOOD, assignments=["training.learning_rate=9" + ":59" * 400 + ".0"]).problems


def test_aliases_within_aliases_are_refused_in_a_file_too(tmp_path: Any) -> None:
    path = tmp_path / "laughs.yaml"
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}, z: *a{n - 1}}}" for n in range(1, 40)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match="sets too many fields"):
        read_draft(path)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("training", "dataloader_num_workers", 100_000),
        ("training", "num_train_epochs", 1e12),
        ("training", "per_device_train_batch_size", 10**9),
        ("training", "max_steps", 10**400),
        ("training", "weight_decay", 1e300),
        ("training", "metric_for_best_model", "x" * 30_000),
        ("data", "train_samples", 10**30),
        ("data", "train_split", "x" * 30_000),
        ("lora", "lora_alpha", 10**30),
        ("lora", "rank_pattern", {"q": 10**9}),
        ("lora", "modules_to_save", ["x"] * 2000),
        ("job", "time_limit", 1e18),
    ],
)
def test_what_makes_no_sense_is_refused(section: str, field: str, value: Any) -> None:
    values = {**GOOD, section: {**GOOD.get(section, {}), field: value}}
    assert f"{section}.{field}" in [problem.field for problem in read_draft(values).problems]


@pytest.mark.parametrize(
    "pattern",
    [
        "(", "a)|(b", "x" * 600, r"(q)\1", "(?!q).*", "a*+b", r"(?:\w{100}){100}", "(){999999999}",
        r"\w{150}" * 70, r"(?x) q #",
    ],
)  # fmt: skip
def test_patterns_of_layers_that_may_take_very_long_are_refused(pattern: str) -> None:
    assert problems_with(lora={"target_modules": pattern})
    assert problems_with(lora={"rank_pattern": {pattern: 4}})


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.layers\.(1|2)\.self_attn\.(q|v)_proj", "all-linear", r".*(query|value)", "q.*",
        ".?" * 100 + "!", "(?:(?:a?){10}){10}b", "(a+)+b", "(a|aa)*b", ".*.*.*.*q",
    ],
)  # fmt: skip
def test_patterns_of_layers_that_end_soon_are_taken(pattern: str) -> None:
    assert not problems_with(lora={"target_modules": pattern, "rank_pattern": {pattern: 4}})


def test_patterns_of_layers_are_matched_in_linear_time() -> None:
    name = "a" * 10_000
    for pattern in (".?" * 100 + "!", "(?:(?:a?){10}){10}b", "(a+)+b", "(a|aa)*b", ".*.*.*.*q"):
        assert matching(pattern, [name]) == []
        assert matching(f"{pattern}|a*", [name, "x"]) == [name]


def test_patterns_of_a_field_are_bounded_together() -> None:
    assert not problems_with(lora={"rank_pattern": {r"q\w{50}": 4}})
    assert problems_with(lora={"rank_pattern": {rf"q{n}\w{{50}}": 4 for n in range(10)}})


def test_modules_that_are_saved_whole_are_names() -> None:
    assert not problems_with(lora={"modules_to_save": ["encoder.layer_1"]})
    assert problems_with(lora={"modules_to_save": ["(a+)+b"]})


def test_a_problem_without_a_value_has_none_in_another_process_either() -> None:
    problem = pickle.loads(pickle.dumps(Problem("data", "is wrong")))  # noqa: S301 - our own
    assert str(problem) == "data: is wrong"
    assert problem == Problem("data", "is wrong")


def test_the_nearest_name_is_looked_for_within_bounds() -> None:
    known = [f"name_{number}" for number in range(200_000)]
    assert nearest("name_17x", known) == "name_17"
    assert nearest("n" * 1_000_000, known) is None
    assert nearest("name_1", ["n" * 1_000_000, "name_2"]) == "name_2"
    assert seconds(lambda: [nearest(f"nonsense{n}", known) for n in range(20)]) < 2


@pytest.mark.parametrize(
    "parameters",
    [
        {"training.learning_rate": {"low": 0.0, "high": 1e308, "step": 1e-300}},
        {"training.learning_rate": {"choices": [0.1] * 40_000}},
        {f"training.{number}": {"choices": [1]} for number in range(1000)},
        {f"training.{number}": {"nonsense": 1} for number in range(10_000)},
        {
            "training.learning_rate": {"low": 0.0, "high": 1.0, "step": 1e-200},
            "training.weight_decay": {"low": 0.0, "high": 1.0, "step": 1e-200},
        },
    ],
)
def test_a_sweep_of_nonsense_is_refused_soon(parameters: dict[str, Any]) -> None:
    values = {"base": GOOD, "parameters": parameters, "sampler": "grid"}
    with pytest.raises(ConfigError):
        read_sweep(values)
    assert seconds(lambda: read_sweep(values)) < 2


def test_a_name_in_a_message_stays_on_its_line_and_is_cut() -> None:
    said = str(Problem("a\n2026-01-01 INFO forged\x1b[2J" + "x" * 1000, "unknown field"))
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) < 300
