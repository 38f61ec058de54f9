"""Metrics of what a training costs: its speed, where its time goes, what it takes of the machine.

All other metrics tell what was learned, and are the same for the same seed; these never are.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

TIME_SHARE = "time_share_"
"""How the names of shares of the time begin; the part of the training follows."""


class Resource(StrEnum):
    """A metric of what a training costs; each point is of the steps since the one before."""

    SAMPLES_PER_SECOND = "train_samples_per_second"
    """Rows, evaluations and checkpoints in between included in the time."""
    TOKENS_PER_SECOND = "train_tokens_per_second"
    """The same in tokens, padding left out."""
    CPU_PERCENT = "cpu_percent"
    """Processor time in per cent of one core: 200 are two cores."""
    MEMORY_MB = "memory_mb"
    """Resident memory, in 10^6 bytes."""
    GPU_UTILIZATION = "gpu_utilization"
    """Per cent of the time in which the GPU computed anything, for whomever."""
    GPU_MEMORY_MB = "gpu_memory_mb"
    """Memory that the training holds on its GPU, in 10^6 bytes."""
    TIME_SHARE_DATA = "time_share_data"
    """Share of the time, 0 to 1, as those below: batches made, and brought to the device."""
    TIME_SHARE_FORWARD = "time_share_forward"
    """The model's answers, and the loss."""
    TIME_SHARE_BACKWARD = "time_share_backward"
    """Gradients; with several processes also their sum over all of them."""
    TIME_SHARE_OPTIMIZER = "time_share_optimizer"
    """Gradients clipped, weights changed."""
    TIME_SHARE_OTHER = "time_share_other"
    """Evaluations, checkpoints, reports."""


RESOURCES = frozenset(str(resource) for resource in Resource)
"""Their names."""


def trained_on(metrics: Mapping[str, Any]) -> tuple[int, int, int]:
    """The rows, the examples that were made of them, and how many of these were trained on.

    One row gives several examples where a chat format rewrites earlier turns. Fewer were trained
    on than there are where training ended before all were. Early versions counted rows alone.
    """
    rows = metrics["train_samples"]
    examples = metrics.get("train_examples", rows)
    seen = metrics.get("train_examples_seen", metrics.get("train_samples_seen", examples))
    return rows, examples, min(seen, examples)


def data_seen(metrics: Mapping[str, Any]) -> str:
    """What was trained on, such as `4,000 rows`, `8 of 4,000 rows` or `2 rows (5 examples)`."""
    rows, examples, seen = trained_on(metrics)
    if examples == rows:
        return f"{rows:,} rows" if seen >= rows else f"{seen:,} of {rows:,} rows"
    if seen >= examples:
        return f"{rows:,} rows ({examples:,} examples)"
    return f"{seen:,} of {examples:,} examples, of {rows:,} rows"
