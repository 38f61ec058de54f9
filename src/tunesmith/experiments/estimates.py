"""What a configuration will take, before anything is trained: memory by formula, time as measured.

Nothing is loaded and nothing fetched; PyTorch isn't needed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tracking.entities import Experiment, ExperimentStatus, Filters
from tunesmith.tracking.headroom import memory_left
from tunesmith.tracking.store import Store
from tunesmith.training.memory import Formats, Load, estimate_memory
from tunesmith.training.model import ModelFacts, inspect_model, is_hub_model, locate_model

LOOKED_AT = 5
"""Earlier experiments with the model that are asked how fast they were."""
ROUGHLY = (0.5, 2.0)
"""Between which multiples of a computed time the true one may well lie."""
OPERATIONS_PER_WEIGHT = 4
"""Of a token in training: 2 on the way there and 2 for the gradients of what came in. The frozen
weights get none of their own, which would be 2 more (Kaplan et al. 2020, section 2.1)."""
SHARE_OF_PEAK = 0.33
"""Share of the speed of matrix products that a training reached, measured."""
BFLOAT16_GAIN = 4.0
"""How many times faster than in float32 matrix products are on processors with bfloat16."""
ROWS_JUDGED = 1000
"""Held-out rows that are assumed where the configuration doesn't say how many there are."""


@dataclass(frozen=True)
class Expectation:
    """What a training will take, as far as it can be told."""

    memory: int | None
    """Most bytes of memory, at the longest text that is allowed; None where the model's sizes
    aren't known here, as before it is fetched."""
    memory_free: int
    """Bytes that are free on this machine."""
    seconds: tuple[float, float] | None
    """Least and most of the training time; None where rows or speed aren't known."""
    measured: tuple[Experiment, ...]
    """The earlier experiments that the time is from; empty where it is computed."""


def expect(config: ExperimentConfig, store: Store, settings: Settings) -> Expectation:
    """Estimate memory and time of `config` on this machine."""
    facts = _facts(config, settings)
    earlier = _earlier(config, store)
    try:
        memory, seconds = _memory(config, facts), _seconds(config, facts, earlier, store)
    except OverflowError:  # a batch of 10^400 rows, say
        memory = seconds = None
    return Expectation(memory, memory_left(), seconds, tuple(earlier))


def _seconds(
    config: ExperimentConfig, facts: ModelFacts | None, earlier: list[Experiment], store: Store
) -> tuple[float, float] | None:
    rows = _rows(config, store)
    found = None
    if rows is None:
        return None
    if speeds := sorted(map(_speed, earlier)):
        found = rows / speeds[-1], rows / speeds[0]
    elif facts is not None and not _on_gpu(config, store):
        found = _computed(config, facts, rows)
    return found if found is None or math.isfinite(found[1]) else None


def _facts(config: ExperimentConfig, settings: Settings) -> ModelFacts | None:
    model = config.model
    try:
        return _at_hand(model.name, model.revision, settings.cache_dir)
    except (ModelError, LocalEntryNotFoundError, HFValidationError, OSError):
        return None


@lru_cache(maxsize=64)
def _at_hand(name: str, revision: str | None, folder: Path) -> ModelFacts:
    """What the model's files tell, if they are here. Raises ModelError and the hub's errors."""
    if is_hub_model(name):
        found = Path(snapshot_download(name, revision=revision, local_files_only=True))
    else:
        found = locate_model(name, cache=folder, convert=False).folder
    if not found.is_dir():
        raise ModelError(f"{name} was not converted yet")
    return inspect_model(found)


def _earlier(config: ExperimentConfig, store: Store) -> list[Experiment]:
    """The newest experiments that succeeded with the model and say how fast they were."""
    wanted = Filters(model=config.model.name, status=ExperimentStatus.SUCCEEDED, limit=LOOKED_AT)
    return [
        one
        for one in store.list(wanted)
        if one.model_name == config.model.name and one.metrics.get("train_samples_per_second")
    ]


def _speed(one: Experiment) -> float:
    """Rows in a second."""
    return float(one.metrics["train_samples_per_second"])


def _rows(config: ExperimentConfig, store: Store) -> float | None:
    """Rows that are gone through, where configuration or version tell."""
    training, rows = config.training, config.data.train_samples
    if training.max_steps is not None:
        batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return float(training.max_steps * batch * training.processes)
    if rows is None:
        rows = _rows_of_version(config.data.dataset_name, store)
    return None if rows is None else rows * training.num_train_epochs


def _rows_of_version(name: str, store: Store) -> int | None:
    base, at, number = name.rpartition("@")
    if not at or not number.isdigit():
        return None
    for version in store.datasets(base):
        if version.number == int(number):
            return int(version.splits.get("train", version.rows))
    return None


def _memory(config: ExperimentConfig, facts: ModelFacts | None) -> int | None:
    if facts is None:
        return None
    bfloat16 = config.training.precision != "float32" and (_fast_bfloat16() or _names_gpu(config))
    frozen = config.lora.bias != "all" and not config.lora.modules_to_save
    formats = Formats(
        device="cuda" if _names_gpu(config) else "cpu",
        precision="bfloat16" if bfloat16 else "float32",
        weights="bfloat16" if bfloat16 and frozen else "float32",
        attention=config.model.attn_implementation or ("auto" if _names_gpu(config) else "eager"),
    )
    batch = config.training.per_device_train_batch_size
    judged = config.training.per_device_eval_batch_size or (
        batch * TASKS[config.task_name].eval_batch_scale
    )
    judged = min(judged, config.data.eval_samples or ROWS_JUDGED)
    found = estimate_memory(config, facts, Load.of_configuration(config, eval_rows=judged), formats)
    return None if found is None else found.peak * config.training.processes


def _computed(config: ExperimentConfig, facts: ModelFacts, rows: float) -> tuple[float, float]:
    """Seconds at this machine's speed, texts as long as they may be at most."""
    weights = sum(math.prod(facts.shapes[f"{name}.weight"]) for name in facts.matrices_in_blocks)
    operations = OPERATIONS_PER_WEIGHT * weights * rows * config.data.max_length
    speed = _float32_speed()
    if config.training.precision != "float32" and _fast_bfloat16():
        speed *= BFLOAT16_GAIN
    seconds = operations / (speed * SHARE_OF_PEAK)
    return seconds * ROUGHLY[0], seconds * ROUGHLY[1]


def _names_gpu(config: ExperimentConfig) -> bool:
    return (config.training.device or "").startswith(("cuda", "mps"))


def _on_gpu(config: ExperimentConfig, store: Store) -> bool:
    """Whether it may train on a GPU, whose speed isn't known here."""
    if config.training.device is not None:
        return _names_gpu(config)
    devices = [device for worker in store.jobs.workers() for device in worker.devices]
    return any(device.startswith("cuda") for device in devices)


@cache
def _float32_speed() -> float:
    """Float32 operations in a second in matrix products on this machine: some 0.1 s, once."""
    matrix = np.ones((768, 768), dtype=np.float32)
    matrix @ matrix
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - begun)
    return float(2 * 768**3 / best)


@cache
def _fast_bfloat16(root: Path = Path("/")) -> bool:
    """Whether the processor says that it multiplies bfloat16 matrices; Linux on x86-64 and Arm."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(text.split())
