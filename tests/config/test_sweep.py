from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.sweep import read_sweep
from tunesmith.errors import ConfigError
from tunesmith.tasks import TASKS

CONFIG = Path(__file__).resolve().parents[2] / "config"
BASE = f"base: {CONFIG / 'default.yaml'}\n"
STEPS = "set: {training.eval_strategy: steps}\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a sweep file of this text, its folder left out."""
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_sweep(path)
    return [str(each).replace(f"{tmp_path}/", "") for each in raised.value.problems]


def test_the_recipe_is_valid_and_its_trials_differ_from_the_starter_in_what_is_varied() -> None:
    sweep = read_sweep(CONFIG / "sweeps" / "starter.yaml")
    assert (sweep.total, sweep.metric, sweep.direction) == (12, "accuracy", "maximize")
    assert sweep.base_values["training.learning_rate"] == 2e-3
    config = sweep.setting({**sweep.base_values, "lora.r": 4}, 3, 0).config()
    assert (config.lora.r, config.experiment_name) == (4, "starter-3")
    assert config.training.eval_strategy == "steps"


def test_every_problem_is_told_at_once_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "sampler: tpee\nprunner: asha\nparameters:\n  lora.r: {low: 8, high: 4}\n"
        "  lora.bias: {choice: [none]}\ntrials: 0\n",
    )
    assert found[0].startswith("sweep.yaml base: required")
    assert "sweep.yaml:4 parameters.lora.r: needs a low below its high" in found[1]
    assert "sweep.yaml:5 parameters.lora.bias.choice: unknown field; did you mean choices?" in found
    assert any("sweep.yaml:1 sampler: unknown value" in each for each in found)
    assert any("did you mean tpe?" in each for each in found)
    assert any("sweep.yaml:6 trials: must be greater than" in each for each in found)
    assert "sweep.yaml:2 prunner: unknown field; did you mean pruner?" in found


def test_what_is_wrong_in_the_file_hides_nothing_of_what_is_wrong_with_its_fields(
    tmp_path: Path,
) -> None:
    text = "\n".join(
        [
            "sampler: tp",
            "parameters:",
            "  lora.r: {choices: [0]}",
            "  lora.lora_alpha: {low: 5}",
            "  training.learning_rat: {low: 0.1, high: 0.2}",
        ]
    )
    told = problems(tmp_path, BASE + text)
    for place in (":2 sampler", ":4 parameters.lora.r", ":5 parameters.lora.lora_alpha", ":6 para"):
        assert any(f"sweep.yaml{place}" in each for each in told), (place, told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "parameters: {training.learning_rat: {low: 1, high: 2}}",
            "sweep.yaml:2 parameters.training.learning_rat: is no field that can be varied; "
            "did you mean training.learning_rate?",
        ),
        (
            "parameters: {training.learning_rate: {low: 0.1, high: 3}}",
            "sweep.yaml:2 parameters.training.learning_rate.high: must be less than or equal to 1",
        ),
        ("parameters: {lora.r: {choices: [4, 8.5]}}", "parameters.lora.r.choices: must be a valid"),
        ("set: {lora.rr: 1}\nparameters: {lora.r: {choices: [4]}}", "sweep.yaml:2 set.lora.rr: un"),
        (
            "parameters: {lora.r: {choices: [4]}}\npruner: asha",
            "sweep.yaml:3 pruner: nothing is evaluated before the end of training",
        ),
        (
            "parameters: {lora.r: {low: 1, high: 3}}\nsampler: grid",
            "parameters.lora.r: has no end of values for a grid",
        ),
        (
            "parameters: {lora.r: {choices: [4]}}\nmetric: eval_acuracy",
            "sweep.yaml:3 metric: evaluation gives no such metric",
        ),
        (
            "parameters: {training.seed: {choices: [4]}}\nseeds: 3",
            "sweep.yaml:2 parameters.training.seed: is varied by seeds already",
        ),
    ],
)
def test_what_no_trial_could_do_is_told_before_the_first(
    tmp_path: Path, text: str, told: str
) -> None:
    assert any(told in each for each in problems(tmp_path, BASE + text))


def test_a_base_from_the_network_is_no_file(classification: dict[str, Any]) -> None:
    parameters = {"lora.r": {"choices": [4]}}
    with pytest.raises(ConfigError, match="files are read from disk only"):
        read_sweep({"base": "/etc/passwd", "parameters": parameters})
    with pytest.raises(ConfigError, match=r"base\.lora\.r: must be"):
        read_sweep({"base": {**classification, "lora": {"r": 0}}, "parameters": parameters})


def test_a_grid_has_every_setting_once_the_base_configurations_first(
    classification: dict[str, Any],
) -> None:
    sweep = read_sweep(
        {
            "base": classification,
            "sampler": "grid",
            "parameters": {
                "lora.r": {"choices": [4, 8]},
                "training.num_train_epochs": {"low": 1, "high": 5, "step": 2},
                "lora.target_modules": {"choices": [None, ["q_lin", "v_lin"]]},
            },
        }
    )
    assert sweep.total == 12
    assert len(sweep.grid()) == 11  # the base configuration is one of the twelve


def test_a_sweep_of_chats_is_judged_by_what_training_evaluates_where_it_prunes(
    chat: dict[str, Any],
) -> None:
    asked: dict[str, Any] = {"base": chat, "parameters": {"lora.r": {"choices": [4, 8]}}}
    assert read_sweep(asked).metric == "exact_match"
    sweep = read_sweep({**asked, "pruner": "median", "set": {"training.eval_strategy": "steps"}})
    assert (sweep.metric, sweep.direction) == ("loss", "minimize")


FALLING = {"loss", "perplexity", "rmse", "mae", "mse", "reward_rejected"}
EVALUATED = [(name, metric) for name, task in TASKS.items() for metric in task.quick_metrics()]


@pytest.mark.parametrize(("task", "metric"), EVALUATED)
def test_a_sweep_goes_the_way_in_which_its_task_says_that_the_metric_is_better(
    task: str, metric: str, classification: dict[str, Any]
) -> None:
    base = {**classification, "task": task, "lora": {}}
    for name in (metric, f"eval_{metric}"):
        asked = {"base": base, "metric": name, "parameters": {"lora.r": {"choices": [4, 8]}}}
        falls = read_sweep(asked).direction == "minimize"
        assert falls == TASKS[task].prefers_lower(metric) == (metric in FALLING)


def test_a_sweep_by_an_error_makes_it_small(classification: dict[str, Any]) -> None:
    base = {**classification, "task": "regression", "lora": {}}
    for metric in ("rmse", "mae", "mse"):
        asked = {"base": base, "metric": metric, "parameters": {"lora.r": {"choices": [4, 8]}}}
        assert read_sweep(asked).direction == "minimize"
