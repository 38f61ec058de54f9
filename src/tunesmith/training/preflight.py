"""Before anything is loaded: whether the training fits into the memory there is, and what would.

A batch that doesn't fit is computed in parts, which changes nothing but time. A training is refused
only where a single row is too much by far: an estimate may be too high, and a refusal must not be
wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import torch

from tunesmith.errors import DeviceError
from tunesmith.tracking.headroom import memory_left
from tunesmith.training.fitting import Training
from tunesmith.training.halving import with_rows_at_once
from tunesmith.training.memory import PROCESS, Formats, Load, MemoryEstimate, estimate_memory
from tunesmith.training.model import inspect_model
from tunesmith.training.plan import Choice

CERTAIN = 0.75
"""Share of an estimate that a training takes in any case."""
SHORTEST = 16
"""Tokens below which no shorter data.max_length is named."""


def fit_into_memory(work: Training) -> None:
    """Estimate what `work` takes; compute fewer rows at once where the batch is too much.

    `work` must have its encoded rows; its plan says the estimate afterwards. Raises DeviceError,
    which names what would fit, where a single row doesn't.
    """
    check = _Check(work)
    load = Load.of_examples(
        work.config.training.per_device_train_batch_size,
        work.train_examples or [],
        work.eval_batch_size,
        work.eval_examples or [],
    )
    if check.estimate(load) is None:
        _tell(work, "not estimated", f"{check.facts.model_type} doesn't tell its sizes")
        return
    fitting = load
    while not check.fits(fitting) and (smaller := check.smaller(fitting)) is not None:
        fitting = smaller
    if not check.fits(fitting, share=CERTAIN):
        raise DeviceError(check.refusal(fitting, load))
    _take(work, check, fitting, load)


def free_bytes(device: str) -> int:
    """Bytes of memory that this process may still take on `device`."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return memory_left()


class _Check:
    """What one training takes, beside what is free."""

    def __init__(self, work: Training) -> None:
        self.config = work.config
        self.device = work.plan.device
        self.formats = Formats(
            work.plan.device, work.plan.precision, work.plan.weights, work.plan.attention
        )
        self.facts = inspect_model(work.source.folder)
        self.cpu = not self.device.startswith("cuda")
        self.held = psutil.Process().memory_info().rss if self.cpu else 0
        """Bytes that this process has taken already."""
        self.free = free_bytes(self.device)
        self.processes = self.config.training.processes if self.cpu else 1
        """Processes that share what is free."""

    def estimate(self, load: Load, **changes: Any) -> MemoryEstimate | None:
        """The estimate with fields of `training` or `model` changed."""
        training, model = self.config.training, self.config.model
        config = self.config.model_copy(
            update={
                "training": training.model_copy(update=_those_of(training, changes)),
                "model": model.model_copy(update=_those_of(model, changes)),
            }
        )
        found = estimate_memory(config, self.facts, load, self.formats)
        return replace(found, process=self.held) if found and self.cpu else found

    def peak(self, load: Load, **changes: Any) -> int:
        """Bytes of one process."""
        found = self.estimate(load, **changes)
        return found.peak if found else 0

    def fits(self, load: Load, *, share: float = 1.0, **changes: Any) -> bool:
        """Whether `share` of what it takes is free; the first process has taken a part already."""
        others = (self.processes - 1) * max(self.peak(load, **changes) - self.held + PROCESS, 0)
        needed = self.peak(load, **changes) - self.held + others
        return needed * share <= self.free

    def smaller(self, load: Load) -> Load | None:
        """`load` with half the rows of what takes most; None where that can't be less.

        Several processes must pass back equally often, so each computes whole batches.
        """
        found = self.estimate(load)
        judging = found is not None and found.evaluation > found.step
        if load.eval_rows > 1 and (judging or load.rows == 1):
            return replace(load, eval_rows=(load.eval_rows + 1) // 2)
        if load.rows > 1 and self.config.training.processes == 1:
            return replace(load, rows=(load.rows + 1) // 2)
        return None

    def refusal(self, least: Load, wanted: Load) -> str:
        """Why it is refused, and what would fit."""
        what = ", or ".join(self._ways(least, wanted)) or "a smaller base model"
        many = f" in {self.processes} processes" if self.processes > 1 else ""
        rows = "with a single row at once" if least.rows == 1 else f"with {least.rows} rows at once"
        return (
            f"{self.config.model.name} needs about {gigabytes(self.peak(least))} of memory to be "
            f"trained{many} {rows}, and {gigabytes(self.free + self.held)} are there on "
            f"{self.device}. What would fit: {what}."
        )

    def _ways(self, least: Load, wanted: Load) -> Iterator[str]:
        rows, training = wanted.rows, self.config.training
        while self.config.training.processes > 1 and rows > 1:
            rows = (rows + 1) // 2
            if self.fits(replace(least, rows=rows)):
                batches = -(-training.per_device_train_batch_size // rows)
                accumulation = training.gradient_accumulation_steps * batches
                yield (
                    f"training.per_device_train_batch_size: {rows} with "
                    f"gradient_accumulation_steps: {accumulation}"
                )
                break
        if self.fits(least, gradient_checkpointing=True):
            yield "training.gradient_checkpointing: true"
        tokens = max(least.tokens, least.eval_tokens)
        while (tokens := tokens // 2) >= SHORTEST:
            if self.fits(_cut(least, tokens)):
                yield f"data.max_length: {tokens}"
                break
        if not self.cpu and self.fits(least, load_in_4bit=True):
            yield "model.load_in_4bit: true"


def _take(work: Training, check: _Check, fitting: Load, wanted: Load) -> None:
    """Write into `work` and its plan what was found."""
    work.memory_estimate = check.peak(fitting)
    batch = work.config.training.per_device_train_batch_size
    _tell(
        work,
        f"about {gigabytes(work.memory_estimate)} of {gigabytes(check.free + check.held)} free",
        f"{fitting.rows} rows at once of up to {fitting.tokens} tokens",
    )
    if fitting.eval_rows < wanted.eval_rows:
        work.rows_judged = fitting.eval_rows
    if fitting.rows < wanted.rows:
        work.rows_at_once = fitting.rows
        reason = "more would not fit into the memory; the steps stay the same"
        work.plan = with_rows_at_once(work.plan, fitting.rows, batch, reason)


def _tell(work: Training, value: str, reason: str) -> None:
    work.plan = replace(work.plan, choices=(*work.plan.choices, Choice("memory", value, reason)))


def gigabytes(size: int) -> str:
    """`size` bytes for people: `1.4 GB`."""
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:,.0f} GB"


def _those_of(section: Any, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in type(section).model_fields}


def _cut(load: Load, tokens: int) -> Load:
    return replace(
        load,
        tokens=min(load.tokens, tokens),
        targets=min(load.targets, tokens),
        eval_tokens=min(load.eval_tokens, tokens),
        eval_targets=min(load.eval_targets, tokens),
    )
