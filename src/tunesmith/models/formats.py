"""How a base model is held and computed on a device: number formats and attention, with reasons.

The plan, the memory estimate and the time estimate ask here, so that they say the same. No torch:
what only the machine can tell is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunesmith.config.schema import ExperimentConfig, LoraConfig
from tunesmith.messages import say

REFERENCE = say("training.plan is reference: as plain transformers and PEFT have it")
LONGEST_FOR_EAGER = 512
"""Tokens up to which plain attention is taken on a CPU: its scores grow with their square."""

Chosen = tuple[str, str]
"""A value, and the reason for it."""


@dataclass(frozen=True)
class Formats:
    """How numbers are held and computed: the fields of a `Plan` of the same names."""

    device: str
    precision: str
    weights: str
    attention: str
    """As transformers calls it; `auto`: fused, where the model has that."""
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Name of a field → why it is so."""


def choose_formats(config: ExperimentConfig, device: str, fast: Chosen) -> Formats:
    """How a training as `config` says holds and computes numbers on `device`.

    `fast` is the precision that `auto` means there.
    """
    chosen = {"precision": _precision(config, fast), "attention": _attention(config, device)}
    chosen["weights"] = _weights(chosen["precision"][0], config.lora)
    values = {name: value for name, (value, _) in chosen.items()}
    return Formats(device, **values, reasons={name: why for name, (_, why) in chosen.items()})


def _precision(config: ExperimentConfig, fast: Chosen) -> Chosen:
    if config.training.precision != "auto":
        return config.training.precision, say("asked for in training.precision")
    return ("float32", REFERENCE) if config.training.plan == "reference" else fast


def _weights(precision: str, lora: LoraConfig) -> Chosen:
    """The format of the base's weights."""
    if precision == "float32":
        return "float32", say("as the products are")
    if precision == "float16":
        return "float32", say("float16 products are computed from them by autocast")
    if lora.bias == "all" or lora.modules_to_save:
        # A layer norm or an embedding in float32 does not go with neighbours in bfloat16.
        return "float32", say("layers of the base model itself train too")
    return "bfloat16", say("they never change, and need no cast at every step")


def _attention(config: ExperimentConfig, device: str) -> Chosen:
    wanted = config.model.attn_implementation
    if wanted is not None:
        return wanted, say("asked for in model.attn_implementation")
    if config.training.plan == "reference":
        return "auto", REFERENCE
    if device == "cpu" and config.data.max_length <= LONGEST_FOR_EAGER:
        # PyTorch's fused attention has a slow backward for short sequences on CPU.
        return "eager", say("faster than fused attention for short texts on CPU")
    if device == "cpu":
        return "auto", say(
            "fused: texts may have over {n} tokens (data.max_length)", n=LONGEST_FOR_EAGER
        )
    return "auto", say("PyTorch's fused attention, where the model has it")
