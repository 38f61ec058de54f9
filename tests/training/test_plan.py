"""The plan: what this machine will do, why, and what it refuses."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ConfigError, DeviceError
from tunesmith.files import machine
from tunesmith.training.plan import (
    Plan,
    check_processes,
    choose_device,
    detect_device,
    make_plan,
)


def config_with(**sections: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {"model": {"name": "m"}, "data": {"dataset_name": "d"}, **sections}
    )


def cpu_plan(**sections: Any) -> Plan:
    """The plan of a training on the CPU; `training` fields may be among the sections."""
    training = {"device": "cpu", **sections.pop("training", {})}
    return make_plan(config_with(training=training, **sections))


def reason(plan: Plan, setting: str) -> str:
    (found,) = [choice.reason for choice in plan.choices if choice.setting == setting]
    return found


def test_the_best_device_is_detected() -> None:
    found, why = detect_device()
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    assert found == next(device for device, is_there in there.items() if is_there)
    assert why
    assert choose_device(None) == (found, why)
    assert make_plan(config_with()).device == found


def test_a_device_that_is_asked_for_is_taken() -> None:
    assert choose_device("cpu") == ("cpu", "asked for in training.device")
    assert cpu_plan().device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    if choose_device(None)[0] == device:
        pytest.skip(f"this machine has {device}")
    with pytest.raises(DeviceError) as caught:
        make_plan(config_with(training={"device": device}))
    assert f"training.device: {device} isn't there; this machine has cpu" in str(caught.value)


# Which instructions this processor has can't be chosen, so what the system says of it is.
@pytest.mark.skipif(sys.platform != "linux", reason="another system says it elsewhere")
@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("avx2 avx512_bf16", "bfloat16"),
        ("avx2 amx_bf16", "bfloat16"),
        ("asimd bf16", "bfloat16"),
        ("avx2 avx512f", "float32"),
        ("", "float32"),
    ],
)
def test_precision_follows_what_the_processor_computes_fast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, precision: str
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor: 0\nflags: fpu {flags}\n")
    known = partial(machine.has_fast_bfloat16, tmp_path)
    monkeypatch.setattr("tunesmith.training.plan.has_fast_bfloat16", known)
    plan = cpu_plan()
    assert (plan.precision, plan.weights) == (precision, precision)
    assert "bfloat16" in reason(plan, "precision")
    asked = cpu_plan(training={"precision": "float32"})
    assert (asked.precision, asked.weights) == ("float32", "float32")
    assert reason(asked, "precision") == "asked for in training.precision"


def test_this_processors_own_answer_is_understood() -> None:
    known = torch.cpu.get_capabilities()
    fast = any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert cpu_plan().precision == ("bfloat16" if fast else "float32")


@pytest.mark.parametrize(
    "lora", [{"bias": "all"}, {"modules_to_save": ["LayerNorm"]}], ids=["biases", "whole layers"]
)
def test_where_the_base_itself_trains_its_weights_stay_float32(lora: dict[str, Any]) -> None:
    training = {"precision": "bfloat16"}
    assert cpu_plan(training=training).weights == "bfloat16"
    plan = cpu_plan(training=training, lora=lora)
    assert (plan.precision, plan.weights) == ("bfloat16", "float32")
    assert reason(plan, "frozen weights") == "layers of the base model itself train too"


def test_float16_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        cpu_plan(training={"precision": "float16"})
    (problem,) = caught.value.problems
    assert problem.field == "training.precision"
    assert problem.message == "float16 needs loss scaling, which cpu doesn't have"
    assert problem.accepted == "auto, float32, bfloat16"


@pytest.mark.parametrize("field", ["load_in_4bit", "load_in_8bit"])
def test_quantized_loading_says_everything_that_it_lacks_at_once(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cpu_plan(model={"name": "m", field: True})
    (problem,) = caught.value.problems
    assert problem.field == f"model.{field}"
    assert "a CUDA GPU (this training runs on cpu)" in problem.message
    installed = importlib.util.find_spec("bitsandbytes") is not None
    assert ("pip install 'tunesmith[quantization]'" in problem.message) is not installed


def test_attention_is_eager_on_the_cpu_unless_asked_for() -> None:
    assert cpu_plan().attention == "eager"
    asked = cpu_plan(model={"name": "m", "attn_implementation": "sdpa"})
    assert asked.attention == "sdpa"
    assert reason(asked, "attention") == "asked for in model.attn_implementation"


def test_the_reference_is_what_transformers_and_peft_do_by_themselves() -> None:
    plan = cpu_plan(training={"plan": "reference"})
    assert (plan.precision, plan.weights, plan.attention) == ("float32", "float32", "auto")
    own = (plan.kernels, plan.own_attention, plan.fused_optimizer, plan.liger)
    assert not any(own)
    assert reason(plan, "kernels").startswith("training.plan is reference")
    asked = cpu_plan(training={"plan": "reference", "kernels": True, "precision": "bfloat16"})
    assert (asked.precision, asked.kernels) == ("bfloat16", True)


def test_kernels_serve_a_cpu_and_stay_out_of_the_way_of_what_was_asked_for() -> None:
    assert (cpu_plan().kernels, cpu_plan().own_attention) == (True, True)
    off = cpu_plan(training={"kernels": False})
    assert (off.kernels, off.own_attention) == (False, False)
    assert reason(off, "kernels") == "asked for in training.kernels"
    eager = cpu_plan(model={"name": "m", "attn_implementation": "eager"})
    assert (eager.kernels, eager.own_attention) == (True, False)
    long = cpu_plan(data={"dataset_name": "d", "max_length": 2048})
    assert (long.attention, long.own_attention) == ("auto", False)
    assert not cpu_plan(training={"optim": "sgd"}).fused_optimizer


def test_a_gpu_gets_fused_attention_a_fused_optimizer_and_liger_where_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    find = importlib.util.find_spec
    for installed in (True, False):
        there = importlib.machinery.ModuleSpec("liger_kernel", None) if installed else None
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, there=there: there if name == "liger_kernel" else find(name),
        )
        plan = make_plan(config_with(task="sft", training={"device": "cuda"}))
        assert (plan.precision, plan.attention, plan.fused_optimizer) == ("bfloat16", "auto", True)
        assert (plan.kernels, plan.own_attention, plan.liger) == (True, False, installed)
    assert not make_plan(config_with(training={"device": "cuda"})).liger  # no chat model


def test_the_plan_says_how_batches_are_made() -> None:
    values = {
        on: [c.value for c in cpu_plan(training={"group_by_length": on}).choices][-1]
        for on in (True, False)
    }
    assert values[True].startswith("by length")
    assert values[False].startswith("shuffled")


@pytest.mark.parametrize(
    ("task", "training", "multiple"),
    [
        ("text-classification", {"precision": "bfloat16"}, 4),
        ("text-classification", {"precision": "float32"}, 1),
        ("text-classification", {"precision": "bfloat16", "plan": "reference"}, 1),
        ("sft", {"precision": "bfloat16"}, 1),
    ],
)
def test_lengths_are_few_where_each_costs_compiling(
    task: str, training: dict[str, Any], multiple: int
) -> None:
    plan = make_plan(config_with(task=task, training={"device": "cpu", **training}))
    assert plan.length_multiple == multiple
    (value,) = [choice.value for choice in plan.choices if choice.setting == "batches"]
    assert value.endswith("multiple of 4 tokens" if multiple == 4 else "padded to the longest")


def test_every_choice_has_a_reason_and_the_plan_is_json() -> None:
    plan = cpu_plan()
    settings = [choice.setting for choice in plan.choices]
    assert settings == [
        "device", "threads", "waiting threads", "precision", "frozen weights", "attention",
        "kernels", "optimizer", "batches",
    ]  # fmt: skip
    assert all(choice.value and choice.reason for choice in plan.choices)
    assert json.loads(json.dumps(asdict(plan)))["device"] == "cpu"


def test_several_processes_are_a_choice_with_what_it_means() -> None:
    plan = cpu_plan(training={"processes": 2, "per_device_train_batch_size": 4})
    (value,) = [choice.value for choice in plan.choices if choice.setting == "processes"]
    assert value.startswith("2, each with ")
    assert "4 rows in each are 8 at once" in reason(plan, "processes")
    assert not [choice for choice in cpu_plan().choices if choice.setting == "processes"]


@pytest.mark.parametrize(
    ("device", "gpus", "told"),
    [
        ("mps", 0, "3 processes can't share Apple's GPU"),
        ("cuda:1", 4, "training.device names one (cuda:1): set it to cuda"),
        ("cuda", 1, "need as many GPUs, and 1 can be seen here: set training.processes to 1, or"),
        ("cuda", 2, "2 can be seen here: set training.processes to 1 (or up to 2), or"),
    ],
)
def test_processes_that_a_device_has_no_room_for_are_refused(
    device: str, gpus: int, told: str
) -> None:
    with pytest.raises(DeviceError, match=r"training\.processes: 3 processes") as caught:
        check_processes(3, device, gpus=gpus)
    assert told in str(caught.value)


def test_processes_are_accepted_where_each_has_a_device() -> None:
    check_processes(2, "cpu", gpus=0)
    check_processes(2, "cuda", gpus=2)
