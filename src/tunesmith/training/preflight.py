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
from tunesmith.files.headroom import memory_left
from tunesmith.messages import joined, say
from tunesmith.models.inspect import inspect_model
from tunesmith.models.memory import PROCESS, Load, MemoryEstimate, Rows, estimate_memory
from tunesmith.training.memory.halving import with_rows_at_once
from tunesmith.training.stages import Encoded, Placed, Training

CERTAIN = 0.75
"""Share of an estimate that a training takes in any case."""
SHORTEST = 16
"""Tokens below which no shorter data.max_length is named."""


def fit_into_memory(work: Encoded) -> Placed:
    """Estimate what `work` takes; compute fewer rows at once where the batch is too much.

    Its plan says the estimate. Raises DeviceError, which names what would fit, where a single row
    doesn't.
    """
    check = _Check(work)
    batch, judged = work.config.training.per_device_train_batch_size, work.config.eval_batch_size
    held_out = [*work.validation_examples, *work.eval_examples]
    load = Load(Rows.of_examples(batch, work.train_examples), Rows.of_examples(judged, held_out))
    if check.estimate(load) is None:
        reason = say("{name} doesn't tell its sizes", name=check.facts.model_type)
        plan = work.plan.with_line(say("memory"), say("not estimated"), reason)
        return Placed.after(work, plan=plan, rows_judged=judged)
    fitting = load
    while not check.fits(fitting) and (smaller := check.smaller(fitting)) is not None:
        fitting = smaller
    if not check.fits(fitting, share=CERTAIN):
        raise DeviceError(check.refusal(fitting, load))
    rows, needed = fitting.learned.rows, check.peak(fitting)
    fewer = rows < load.learned.rows
    plan = work.plan.with_line(
        say("memory"),
        say(
            "about {size} of {free} free",
            size=gigabytes(needed),
            free=gigabytes(check.free + check.held),
        ),
        say("{n} rows at once of up to {tokens} tokens", n=rows, tokens=fitting.learned.tokens),
    )
    if fewer:
        reason = say("more would not fit into the memory; the steps stay the same")
        plan = with_rows_at_once(plan, rows, batch, reason)
    return Placed.after(
        work,
        plan=plan,
        rows_at_once=rows if fewer else None,
        rows_judged=judged if fitting.judged == load.judged else fitting.judged.rows,
        memory_estimate=needed,
    )


def free_bytes(device: str) -> int:
    """Bytes of memory that this process may still take on `device`, or holds there for tensors."""
    if device.startswith("cuda"):
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return memory_left()


class _Check:
    """What one training takes, beside what is free."""

    def __init__(self, work: Training) -> None:
        self.config = work.config
        self.device = work.plan.device
        self.formats = work.plan.formats
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
        if load.judged.rows > 1 and (judging or load.learned.rows == 1):
            return replace(load, judged=load.judged.halved())
        if load.learned.rows > 1 and self.config.training.processes == 1:
            return replace(load, learned=load.learned.halved())
        return None

    def refusal(self, least: Load, wanted: Load) -> str:
        """Why it is refused, and what would fit."""
        what = joined(self._ways(least, wanted), ", or ") or say("a smaller base model")
        many = say(" in {processes} processes", processes=self.processes)
        rows = say("with a single row at once")
        if least.learned.rows > 1:
            rows = say("with {n} rows at once", n=least.learned.rows)
        return say(
            "{name} needs about {size} of memory to be trained{where} {how}, and "
            "{free} are there on {device}. What would fit: {what}.",
            name=self.config.model.name,
            size=gigabytes(self.peak(least)),
            where=many if self.processes > 1 else "",
            how=rows,
            free=gigabytes(self.free + self.held),
            device=self.device,
            what=what,
        )

    def _ways(self, least: Load, wanted: Load) -> Iterator[str]:
        learned, training = wanted.learned, self.config.training
        while training.processes > 1 and learned.rows > 1:
            learned = learned.halved()
            if self.fits(replace(least, learned=replace(least.learned, rows=learned.rows))):
                batches = -(-training.per_device_train_batch_size // learned.rows)
                yield say(
                    "training.per_device_train_batch_size: {rows} with "
                    "gradient_accumulation_steps: {n}",
                    rows=learned.rows,
                    n=training.gradient_accumulation_steps * batches,
                )
                break
        if self.fits(least, gradient_checkpointing=True):
            yield say("training.gradient_checkpointing: true")
        tokens = max(least.learned.tokens, least.judged.tokens)
        while (tokens := tokens // 2) >= SHORTEST:
            if self.fits(Load(least.learned.cut(tokens), least.judged.cut(tokens))):
                yield say("data.max_length: {n}", n=tokens)
                break
        if not self.cpu and self.fits(least, load_in_4bit=True):
            yield say("model.load_in_4bit: true")


def gigabytes(size: int) -> str:
    """`size` bytes for people: `1.4 GB`."""
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:,.0f} GB"


def _those_of(section: Any, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in type(section).model_fields}
