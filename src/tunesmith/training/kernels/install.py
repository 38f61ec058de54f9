"""Which parts of a model get a kernel: those with which it gives what it gives without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tunesmith.tasks.packing import PACKED, PADDED
from tunesmith.training.evaluation import autocast
from tunesmith.training.kernels import attention, dropout, last_layer, lora, norm, synthetic
from tunesmith.training.kernels.trial import Reading, Trial
from tunesmith.training.plan import Plan

EAGER = "eager"


def install_kernels(
    model: Any, plan: Plan, *, longest: int = synthetic.SHORTEST, pairs: bool = False
) -> dict[str, int]:
    """Give the parts of `model` that have a kernel theirs, for as long as it trains.

    `model` has its adapter, and is in evaluation mode. `longest` is the number of tokens of the
    longest text to learn from; `pairs` says that two texts make a row. Returns what has a kernel,
    and how many of it; what none fits stays as it is, which is everything in a model that can't
    read synthetic texts.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(inner, PreTrainedModel):
        return _found(_use_in_parts(model, plan))
    try:
        plain, packed = _readings(inner, longest, pairs=pairs)
    except Exception:  # noqa: BLE001 - of a model that wants more than texts
        return {}
    trial = Trial(model, _computes(inner), plain)
    if trial.failed is not None:
        return {}
    count = {"LoRA layers": 0, "norms": 0, "dropouts": 0, "attention": 0}
    kinds = {module: type(module) for module in model.modules()}
    count |= _use_in_parts(model, plan)
    if not trial.agrees(plain):
        for module, kind in kinds.items():
            module.__class__ = kind
        return {}
    if plan.own_attention:
        count |= _use_attention(model, trial, plain, packed)
    if plan.device == "cpu" and count["LoRA layers"]:  # now that it is known what layers read
        count["LoRA layers computed together"] = _join(model, plan, trial, plain, packed)
    return _found(count)


def _found(count: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in count.items() if number}


def _computes(inner: Any) -> Callable[..., Any]:
    """What a trial compares: the states of a model that writes (its head is large), else logits."""
    if inner.can_generate():
        return lambda **inputs: inner.base_model(**inputs)[0]
    return lambda **inputs: inner(**inputs).logits


def _readings(inner: Any, longest: int, *, pairs: bool) -> tuple[Reading, Reading | None]:
    """The texts as padded rows, and as a model that writes is given them once it packs."""
    if not inner.can_generate():
        per_token = "ForTokenClassification" in type(inner).__name__
        return synthetic.padded_texts(inner, longest, tokens=per_token), None
    if pairs:
        return synthetic.pairs(inner, longest)
    plain = synthetic.padded_texts(inner, longest, tokens=True)
    return plain, synthetic.packed_texts(inner, longest)


def _use_in_parts(model: nn.Module, plan: Plan) -> dict[str, int]:
    """Kernels of single modules."""
    precision: torch.dtype = getattr(torch, plan.precision)
    count = {"LoRA layers": 0, "norms": 0, "dropouts": 0}
    for module in model.modules():
        if lora.fits(module) and module.get_base_layer().weight.dtype == precision:
            module.__class__ = lora.AdaptedLinear
            count["LoRA layers"] += 1
        elif norm.fits(module):
            norm.use(module)
            count["norms"] += 1
        elif plan.device == "cpu" and dropout.fits(module):
            module.__class__ = dropout.Dropout
            count["dropouts"] += 1
    return count


def _use_attention(
    model: Any, trial: Trial, plain: Reading, packed: Reading | None
) -> dict[str, int]:
    """Give `model`, which has transformers' `eager` attention, ours: with packed rows, or without.

    Left as it is where the two disagree: a model may do with its scores what ours knows nothing of,
    or let its texts know more than their own tokens.
    """
    inner = model.get_base_model()
    attention.register()
    tried = [(PACKED, (plain, packed))] if packed is not None else []
    for name, readings in [*tried, (PADDED, (plain,))]:
        with attention.counted() as calls:
            used = _set_attention(inner, name) and trial.agrees(*readings)
        if used and calls:
            single = packed is None and last_layer.use(model, trial, plain)
            return {"attention": 1, "last layer for one token": int(single)}
    _set_attention(inner, EAGER)
    return {}


def _set_attention(inner: Any, name: str) -> bool:
    """Whether `inner` took the implementation of attention called `name`."""
    try:
        inner.set_attn_implementation(name)
    except Exception:  # noqa: BLE001 - of a model that knows its own alone
        return False
    return True


def _join(model: Any, plan: Plan, trial: Trial, plain: Reading, packed: Reading | None) -> int:
    with autocast(plan):
        joined = lora.join(model, plain.inputs)
    packs = packed is not None and model.config._attn_implementation == PACKED
    if joined and not trial.agrees(plain, *([packed] if packs and packed else [])):
        lora.part(model)
        return 0
    return joined
