"""One answer to how numbers are held and computed: for the plan, and both estimates before it."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.schema import ExperimentConfig
from tunesmith.experiments.questions.estimates import formats_of
from tunesmith.models.inspect import inspect_model
from tunesmith.models.memory import Load, estimate_memory
from tunesmith.training.plan import make_plan
from tunesmith.training.preflight import _Check
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Training


def config_with(folder: Path, length: int = 128, **sections: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "task": {"name": "sft"},
            "data": {"dataset_name": "d", "max_length": length},
            "model": {"name": str(folder), **sections.pop("model", {})},
            "training": {"device": "cpu", **sections.pop("training", {})},
            **sections,
        }
    )


ASKED: list[dict[str, Any]] = [
    {},
    {"model": {"attn_implementation": "eager"}},
    {"model": {"attn_implementation": "sdpa"}},
    {"training": {"plan": "reference"}},
    {"training": {"precision": "float32"}},
    {"training": {"precision": "bfloat16"}},
    {"lora": {"bias": "all"}},
    {"lora": {"modules_to_save": ["norm"]}},
]


@pytest.mark.parametrize(("asked", "length"), [*product(ASKED, [16, 512, 513, 4096])])
def test_plan_preflight_and_estimate_hold_and_compute_numbers_alike(
    asked: dict[str, Any], length: int, tiny_chat: Path, tmp_path: Path
) -> None:
    config = config_with(tiny_chat, length, **asked)
    plan = make_plan(config)
    found = formats_of(config)
    assert (plan.device, plan.precision, plan.weights, plan.attention) == (
        found.device, found.precision, found.weights, found.attention
    )  # fmt: skip
    source: Any = type("Source", (), {"folder": tiny_chat})
    nothing: Any = None
    data = TrainingData([], [], {})
    check = _Check(Training(config, nothing, data, source, plan, tmp_path, Reporter()))
    assert check.formats == found


def step(folder: Path, length: int, attention: str | None) -> int:
    """Bytes of a training step with texts of that length, in float32."""
    asked = {"model": {"attn_implementation": attention}, "training": {"precision": "float32"}}
    config = config_with(folder, length, **asked)
    load = Load.of_configuration(config, 8)
    found = estimate_memory(config, inspect_model(folder), load, formats_of(config))
    assert found is not None
    return found.step


def test_what_the_plan_chooses_is_counted_as_if_it_were_asked_for(
    tiny_chat: Path, tmp_path: Path
) -> None:
    """Eager up to 512 tokens, fused beyond, where the family has that."""
    assert step(tiny_chat, 512, None) == step(tiny_chat, 512, "eager")
    assert (
        step(tiny_chat, 513, None) == step(tiny_chat, 513, "sdpa") < step(tiny_chat, 513, "eager")
    )
    own, dropping = tmp_path / "own", tmp_path / "dropping"
    for folder, changes in ((own, {"model_type": "gptj"}), (dropping, {"attention_dropout": 0.1})):
        shutil.copytree(tiny_chat, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
    assert step(own, 513, None) == step(own, 513, "eager")
    assert step(dropping, 513, None) > step(dropping, 513, "eager")  # plain products, on a CPU
