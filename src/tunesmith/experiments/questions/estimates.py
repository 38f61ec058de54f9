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
from tunesmith.files.headroom import memory_left
from tunesmith.files.machine import has_fast_bfloat16
from tunesmith.models.formats import Formats, choose_formats
from tunesmith.models.inspect import ModelFacts, inspect_model
from tunesmith.models.locate import locate_model, parse_model
from tunesmith.models.memory import Load, estimate_memory
from tunesmith.names import Hub, Version
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Filters
from tunesmith.store.store import Store

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
    """What a training will take, as far as it can be estimated."""

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
    if speeds := sorted(float(one.metrics["train_samples_per_second"]) for one in earlier):
        found = rows / speeds[-1], rows / speeds[0]
    elif facts is not None and not _on_gpu(config, store):
        found = _computed(config, facts, rows)
    return found if found is None or math.isfinite(found[1]) else None


def _facts(config: ExperimentConfig, settings: Settings) -> ModelFacts | None:
    try:
        return _at_hand(config.model.name, config.model.revision, settings.cache_dir)
    except (ModelError, LocalEntryNotFoundError, HFValidationError, OSError):
        return None


@lru_cache(maxsize=64)
def _at_hand(name: str, revision: str | None, folder: Path) -> ModelFacts:
    """What the model's files tell, if they are here. Raises ModelError and the hub's errors."""
    if isinstance(parse_model(name), Hub):
        found = Path(snapshot_download(name, revision=revision, local_files_only=True))
    else:
        found = locate_model(name, cache=folder, convert=False).folder
    if not found.is_dir():
        raise ModelError("{name} was not converted yet", name=name)
    return inspect_model(found)


def _earlier(config: ExperimentConfig, store: Store) -> list[Experiment]:
    """The newest experiments that succeeded with the model and say how fast they were."""
    wanted = Filters(model=config.model.name, status=ExperimentStatus.SUCCEEDED, limit=LOOKED_AT)
    return [
        one
        for one in store.list(wanted)
        if one.model_name == config.model.name and one.metrics.get("train_samples_per_second")
    ]


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
    wanted = Version.of(name)
    if wanted.number is None:
        return None
    for version in store.datasets(wanted.name):
        if version.number == wanted.number:
            return int(version.splits.get("train", version.rows))
    return None


def _memory(config: ExperimentConfig, facts: ModelFacts | None) -> int | None:
    if facts is None:
        return None
    judged = min(config.eval_batch_size, config.data.eval_samples or ROWS_JUDGED)
    load = Load.of_configuration(config, judged)
    found = estimate_memory(config, facts, load, formats_of(config))
    return None if found is None else found.peak * config.training.processes


def _computed(config: ExperimentConfig, facts: ModelFacts, rows: float) -> tuple[float, float]:
    """Seconds at this machine's speed, texts as long as they may be at most."""
    weights = sum(math.prod(facts.shapes[f"{name}.weight"]) for name in facts.matrices_in_blocks)
    operations = OPERATIONS_PER_WEIGHT * weights * rows * config.data.max_length
    speed = _float32_speed()
    if formats_of(config).precision == "bfloat16" and has_fast_bfloat16():
        speed *= BFLOAT16_GAIN
    seconds = operations / (speed * SHARE_OF_PEAK)
    return seconds * ROUGHLY[0], seconds * ROUGHLY[1]


def formats_of(config: ExperimentConfig) -> Formats:
    """How the plan will hold and compute numbers, as far as that is known without asking torch."""
    device = (config.training.device or "cpu").partition(":")[0]
    fast = device == "cuda" or (device == "cpu" and has_fast_bfloat16())
    return choose_formats(config, device, ("bfloat16" if fast else "float32", ""))


def _on_gpu(config: ExperimentConfig, store: Store) -> bool:
    """Whether it may train on a GPU, whose speed isn't known here."""
    if config.training.device is not None:
        return config.training.device.startswith(("cuda", "mps"))
    devices = [device for worker in store.queue.workers() for device in worker.devices]
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
