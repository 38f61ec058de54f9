"""Which parts of a model get a kernel."""

from __future__ import annotations

from typing import Any

import torch

from tunesmith.training.evaluation import autocast
from tunesmith.training.kernels import attention, dropout, last_layer, lora, norm
from tunesmith.training.plan import Plan


def install_kernels(model: Any, plan: Plan) -> dict[str, int]:
    """Give the parts of `model` that have a kernel theirs, for as long as it trains.

    `model` has its adapter, and is in evaluation mode. Returns what has one, and how many of it;
    what none fits stays as it is.
    """
    precision = getattr(torch, plan.precision)
    on_cpu = plan.device == "cpu"
    count = {"LoRA layers": 0, "norms": 0, "dropouts": 0, "attention": 0}
    for module in model.modules():
        if lora.fits(module) and module.get_base_layer().weight.dtype == precision:
            module.__class__ = lora.AdaptedLinear
            count["LoRA layers"] += 1
        elif norm.fits(module):
            norm.use(module)
            count["norms"] += 1
        elif on_cpu and dropout.fits(module):
            module.__class__ = dropout.Dropout
            count["dropouts"] += 1
    with autocast(plan):
        if plan.own_attention and attention.use(model.get_base_model()):
            count["attention"] = 1
            count["last layer for one token"] = int(last_layer.use(model))
        if on_cpu and count["LoRA layers"]:  # once it is known what the last layer reads
            count["LoRA layers computed together"] = lora.join(model)
    return {name: number for name, number in count.items() if number}
