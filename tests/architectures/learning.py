"""A few steps of a training, as Tunesmith takes them and as plain transformers and PEFT would."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tests.architectures.families import WINDOW, WORDS
from torch.nn import functional

from tunesmith.config.schema import ExperimentConfig
from tunesmith.models.adapter import add_adapter
from tunesmith.models.locate import ModelSource
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Batch, Example, Task
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.packing import PACKED, PADDED
from tunesmith.tasks.parts.texts import TextTask
from tunesmith.training.kernels import install_kernels
from tunesmith.training.kernels.trial import longest_of
from tunesmith.training.memory.refusals import models_own_errors
from tunesmith.training.plan import make_plan
from tunesmith.training.starting import base_model

STEPS, ROWS = 3, 3
LONGEST = 3 * WINDOW
"""Tokens of the longest text: more than every window."""
LABELS = 3
LOSS_TOLERANCE = (2e-5, 2e-4, 2e-4)
"""Largest difference of each step's loss, as a share of the loss where that is more than 1, and
after the first step as a share of the first gradient's norm where that is more still."""
GRADIENT_TOLERANCE = 5e-4
"""Norm of the difference of the first step's gradients, as a share of their norm."""
WEIGHT_TOLERANCE = 1e-2
"""Norm of the difference of what the steps changed, as a share of its norm: AdamW divides small
gradients by their own size, rounding and all."""
RATE = 1e-2
HOW = {PACKED: "packed", PADDED: "padded"}
"""Our attention, by its name in transformers → what it is given; other models keep theirs."""
BETA = 0.1


@dataclass(frozen=True)
class Steps:
    """What a few steps gave."""

    losses: list[float]
    gradients: dict[str, torch.Tensor]
    """Of the first step."""
    change: dict[str, torch.Tensor]
    """Of the weights that train, by all steps."""


def configured(task: str, **training: Any) -> ExperimentConfig:
    """An experiment with everything chosen by the plan, in float32."""
    return ExperimentConfig.model_validate(
        {
            "experiment_name": "tiny",
            "task": {"name": task},
            "model": {"name": "tiny"},
            "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
            "data": {"dataset_name": "made-up", "max_length": LONGEST},
            "training": {"device": "cpu", "precision": "float32", **training},
        }
    )


def task_of(config: ExperimentConfig) -> Task:
    """The task, as it is once it has seen data."""
    task = TASKS[config.task_name](config.task)
    facts: dict[str, Any] = {"longest_answer": 4}
    if config.task_name in ("text-classification", "token-classification"):
        facts = {**task.facts(), "labels": [str(n) for n in range(LABELS)], "weights": None}
    elif config.task_name == "regression":
        facts = {**task.facts(), "mean": 0.0, "deviation": 1.0, "center": 0.0}
    task.restore(facts)
    if isinstance(task, TextTask):
        task.prepare_tokenizer(SimpleNamespace(pad_token_id=0, is_fast=False))
    return task


def examples(task: str, *, end: int | None) -> list[list[Example]]:
    """Rows of each step; a text ends with the token `end` where its family wants that."""
    generator = torch.Generator().manual_seed(7)
    steps = []
    for _ in range(STEPS):
        words = torch.randint(8, WORDS, (2 * ROWS, LONGEST), generator=generator)
        words[:, :6] = words[0, :6]
        lengths = [LONGEST - 3 * (n % 3) for n in range(2 * ROWS)]
        texts = [row[:length].tolist() for row, length in zip(words, lengths, strict=True)]
        if end is not None:
            texts = [[*text[:-1], end] for text in texts]
        steps.append([_example(task, n, texts) for n in range(ROWS)])
    return steps


def _example(task: str, number: int, texts: Sequence[list[int]]) -> Example:
    ids = texts[number]
    row: Example = {"input_ids": ids, "targets": 1}
    if task == "text-classification":
        return {**row, "labels": number % LABELS}
    if task == "regression":
        return {**row, "labels": number - 1.0}
    if task == "token-classification":
        labels = [n % LABELS if n % 2 else IGNORED for n in range(len(ids))]
        return {
            **row,
            "labels": labels,
            "words": [0] * len(ids),
            "behind": [1] * len(ids),
            "targets": len(ids) // 2,
        }
    answer = len(ids) - 5
    row |= {"labels": [IGNORED] * answer + ids[answer:]}
    if task == "sft":
        return {**row, "prompt_length": answer, "whole": True}
    other = [*ids[:answer], *texts[ROWS + number][-4:]]
    return {
        **row, "rejected_ids": other, "rejected_labels": [IGNORED] * answer + other[answer:],
        "reference_chosen": -20.0, "reference_rejected": -20.0,
    }  # fmt: skip


def ours(folder: Path, task: str, *, end: int | None) -> tuple[Any, Steps, str]:
    """The steps as Tunesmith takes them, the model before the first, and how it attends."""
    config = configured(task)
    learned, plan = task_of(config), make_plan(config)
    source = ModelSource("tiny", folder, False, "sha256:0")
    base, fresh = base_model(config, learned, source, plan)
    model = add_adapter(
        base, config.lora, task_type=learned.peft_task_type, fresh_modules=fresh, quantized=False
    )
    stir(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):  # no two ways draw the same numbers
            module.p = 0.0
    begun = copy.deepcopy(model)
    steps = examples(task, end=end)
    kernels = install_kernels(
        model, plan,
        longest=longest_of([example for step in steps for example in step]),
        pairs=learned.texts_per_row > 1,
    ).count  # fmt: skip
    batches = [learned.collate(step, 0) for step in steps]

    def loss(batch: Batch) -> torch.Tensor:
        return learned.loss(model, batch, learned.count_items(batch))  # type: ignore[no-any-return]

    attention = HOW.get(model.config._attn_implementation if kernels else "", "")
    with models_own_errors(source.name):
        return begun, _taken(model, batches, loss), attention


def plain(begun: Any, task: str, *, end: int | None, left: bool) -> Steps:
    """The same by plain transformers and PEFT: the model's own forward over padded rows."""
    config = configured(task)
    collated = task_of(config)
    batches = [collated.collate(step, 0) for step in examples(task, end=end)]
    if left:
        batches = [_on_the_left(batch) for batch in batches]
    losses: dict[str, Callable[[Any, Batch], torch.Tensor]] = {
        "text-classification": _classification, "regression": _regression,
        "token-classification": _tokens, "sft": _chat, "dpo": _preference,
    }  # fmt: skip
    return _taken(begun, batches, lambda batch: losses[task](begun, batch))


def stir(model: Any) -> None:
    """Give what is zero in an adapter small random values, so that all of it has a gradient."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name and parameter.requires_grad and not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


def _taken(model: Any, batches: Sequence[Batch], loss: Callable[[Batch], torch.Tensor]) -> Steps:
    model.train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0, eps=1e-4)
    losses: list[float] = []
    gradients: dict[str, torch.Tensor] = {}
    for batch in batches:
        optimizer.zero_grad()
        found = loss(batch)
        found.backward()  # type: ignore[no-untyped-call]
        if not losses:
            gradients = {n: p.grad.clone() for n, p in trained.items() if p.grad is not None}
        losses.append(float(found.detach()))
        optimizer.step()
    return Steps(
        losses, gradients, {name: p.detach() - before[name] for name, p in trained.items()}
    )


def _inputs(batch: Batch) -> Batch:
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def _classification(model: Any, batch: Batch) -> torch.Tensor:
    return functional.cross_entropy(model(**_inputs(batch)).logits, batch["labels"])


def _regression(model: Any, batch: Batch) -> torch.Tensor:
    return functional.mse_loss(model(**_inputs(batch)).logits[:, 0], batch["labels"])


def _tokens(model: Any, batch: Batch) -> torch.Tensor:
    logits = model(**_inputs(batch)).logits
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


def _chat(model: Any, batch: Batch) -> torch.Tensor:
    logits = model(**_inputs(batch), use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())


def _preference(model: Any, batch: Batch) -> torch.Tensor:
    """Equation 7 of Rafailov et al. 2023."""
    longest = max(batch["input_ids"].shape[1], batch["rejected_ids"].shape[1])

    def both(one: str, other: str, fill: int) -> torch.Tensor:
        parts = (batch[one], batch[other])
        return torch.cat(
            [functional.pad(part, (0, longest - part.shape[1]), value=fill) for part in parts]
        )

    ids, mask = both("input_ids", "rejected_ids", 0), both("attention_mask", "rejected_mask", 0)
    labels = both("labels", "rejected_labels", IGNORED)[:, 1:]
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    losses = functional.cross_entropy(
        logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORED
    )
    reference = torch.cat([batch["reference_chosen"], batch["reference_rejected"]])
    chosen, rejected = (-losses.sum(dim=1) - reference).view(2, -1)
    return -functional.logsigmoid(BETA * (chosen - rejected)).mean()


def _on_the_left(batch: Batch) -> Batch:
    """The same rows, padded on their left."""
    moved = dict(batch)
    for name in ("input_ids", "attention_mask"):
        rows = [
            torch.roll(row, len(row) - int(mask.sum()))
            for row, mask in zip(batch[name], batch["attention_mask"], strict=True)
        ]
        moved[name] = torch.stack(rows)
    return moved


def differences(one: Steps, other: Steps) -> str:
    """What is not the same within the tolerances; empty where all is."""
    found = []
    slope = sum(float(g.norm()) ** 2 for g in other.gradients.values()) ** 0.5
    for step, (a, b) in enumerate(zip(one.losses, other.losses, strict=True), 1):
        steep = slope if step > 1 else 0.0  # what rounding moves in the weights moves the loss
        if not abs(a - b) <= LOSS_TOLERANCE[step - 1] * max(1.0, abs(b), steep):
            found.append(f"loss of step {step}: {a:.6f} and {b:.6f}")
    for what, mine, theirs, tolerance in (
        ("gradients", one.gradients, other.gradients, GRADIENT_TOLERANCE),
        ("changes", one.change, other.change, WEIGHT_TOLERANCE),
    ):
        if mine.keys() != theirs.keys():
            found.append(f"{what} of {sorted(mine.keys() ^ theirs.keys())[:3]} alone")
            continue
        size = sum(float(g.norm()) ** 2 for g in theirs.values()) ** 0.5
        gap = sum(float((mine[n] - g).norm()) ** 2 for n, g in theirs.items()) ** 0.5
        if not gap <= tolerance * size or not size > 0:
            found.append(f"{what}: {gap:.3g} of {size:.3g}")
    return "; ".join(found)
