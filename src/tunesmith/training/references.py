"""What the base model says of rows, where a task compares with that: fields of their examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tunesmith.errors import Interrupted
from tunesmith.tasks.base import Example, Task
from tunesmith.tasks.chat import as_base_model
from tunesmith.tasks.packing import shares
from tunesmith.training.evaluation import autocast, by_length
from tunesmith.training.group import Group
from tunesmith.training.plan import Plan


def add_references(
    model: Any,
    task: Task,
    examples: Sequence[Example],
    tokenizer: Any,
    plan: Plan,
    batch_size: int,
    *,
    training: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Put what `model` says without its adapter into each of `examples`, where `task` needs it.

    It is computed as what it will be compared with: as in `evaluate`, in the same batches, so that
    an adapter that changes nothing gives the same numbers to the last bit; or, with `training`, as
    in a step, unless dropout would make that another number each time. Raises Interrupted when
    `should_stop` says so.
    """
    if not task.needs_reference:
        return
    device = next(model.parameters()).device
    with torch.inference_mode(), autocast(plan), as_base_model(model):
        model.train(training and shares(model))
        for batch in by_length(examples, batch_size):
            if should_stop():
                raise Interrupted("stopped before training began")
            chosen = [examples[i] for i in batch]
            tensors = task.collate(chosen, tokenizer.pad_token_id)
            moved = {name: tensor.to(device) for name, tensor in tensors.items()}
            for example, found in zip(chosen, task.reference(model, moved), strict=True):
                example.update(found)


def ask_together(
    examples: Sequence[Example], group: Group, ask: Callable[[Sequence[Example]], None]
) -> None:
    """Let each process `ask` for its part of the examples, and tell the others what it was told.

    So all learn from the same numbers.
    """
    mine = examples[group.rank :: group.size]
    before = [set(example) for example in mine]
    ask(mine)
    told = [
        {name: example[name] for name in example.keys() - known}
        for example, known in zip(mine, before, strict=True)
    ]
    for rank, part in enumerate(group.every(json.dumps(told).encode())):
        for example, fields in zip(examples[rank :: group.size], json.loads(part), strict=True):
            example.update(fields)
