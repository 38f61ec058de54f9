"""Whether and how an adapter fits this machine: device, memory, and a base model to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import DeviceError, ModelError
from tunesmith.files.headroom import memory_size
from tunesmith.models.architectures import kept_per_token
from tunesmith.models.locate import ModelSource
from tunesmith.training.plan import Plan


def changes_base(config: ExperimentConfig) -> bool:
    """Whether loading such an adapter changes weights of the base model, which none may share.

    Trained biases are the base model's own; PiSSA and OLoRA take their part out of its matrices.
    """
    return config.lora.bias != "none" or config.lora.init_lora_weights in ("pissa", "olora")


def for_device(config: ExperimentConfig, device: str) -> ExperimentConfig:
    """The configuration for answers on `device`, whatever it was trained on."""
    training = config.training
    precision = training.precision
    if precision == "float16" and not device.startswith("cuda"):
        precision = "auto"
    bits = 4 if config.model.load_in_4bit else 8 if config.model.load_in_8bit else None
    if bits and not device.startswith("cuda"):
        raise DeviceError(
            "this adapter was trained on a base model in {bits} bits, which needs a "
            "CUDA GPU; here there is {device}.",
            bits=bits,
            device=device,
        )
    changed = training.model_copy(update={"device": device, "precision": precision, "processes": 1})
    return config.model_copy(update={"training": changed})


def lighten(model: Any, name: str, config: ExperimentConfig, plan: Plan) -> None:
    """Keep the matrices of the adapter `name` in the number format that they are multiplied in.

    Autocast would convert them at every product, and PEFT the states to theirs before that: the
    numbers are the same, bit for bit, and a classifier answered a tenth more texts a second. DoRA
    computes norms of its matrices, which would change.
    """
    if plan.precision == "float32" or config.lora.use_dora:
        return
    for parameter_name, parameter in model.named_parameters():
        if any(f".{matrix}.{name}." in parameter_name for matrix in ("lora_A", "lora_B")):
            parameter.data = parameter.data.to(getattr(torch, plan.precision))


def stamp(folder: Path, pattern: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of files, by which a change is noticed."""
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in found]


def too_big(source: ModelSource, parameters: int, device: str) -> ModelError:
    """The error for a base model that `device` can't hold."""
    return ModelError(
        "{name} is too big for this machine: its {n:,} parameters don't fit into "
        "the memory of {device} ({size:.1f} GiB). Ask on a larger one.",
        name=source.name,
        n=parameters,
        device=device,
        size=total_memory(device) / 2**30,
    )


def cache_bytes(model: Any, tokens: int, precision: str) -> int:
    """Bytes of the keys and values of that many tokens, as the configuration of `model` tells.

    0 where it doesn't, as of a model without attention.
    """
    each = 4 if precision == "float32" else 2
    return kept_per_token(model.config.get_text_config()) * each * tokens


def total_memory(device: str) -> int:
    """Bytes of memory of `device`."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[1])
    return memory_size()
