"""Taking an adapter's temperature along: in the weights of the head, whose scores are divided."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tunesmith.models.architectures import in_block
from tunesmith.tasks.parts.calibrated import CalibratedTask


def divide_scores(model: Any, task: CalibratedTask) -> bool:
    """Divide the logits of a classifier by the temperature, in its last layer's own weights.

    False where no layer outside the blocks gives a number for each label: they stay as they are.
    """
    labels = len(task.labels)
    heads = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels and not in_block(name)
    ]
    if not heads:
        return False
    with torch.no_grad():
        for parameter in heads[-1].parameters():
            parameter.div_(task.temperature)
    return True
