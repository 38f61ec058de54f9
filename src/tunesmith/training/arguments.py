"""The `training` section in transformers' own words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import transformers

from tunesmith.config.schema import TrainingConfig
from tunesmith.tasks.base import Task
from tunesmith.tasks.results import bare_metric
from tunesmith.training.plan import Plan
from tunesmith.training.reporting.trackers import PROJECT


def training_arguments(
    training: TrainingConfig, *, plan: Plan, task: Task, folder: Path
) -> transformers.TrainingArguments:
    """`training` as transformers says it, for the plan's device; checkpoints go into `folder`."""
    metric = bare_metric(training.metric_for_best_model or task.best_metric)
    best = training.load_best_model_at_end or training.early_stopping_patience is not None
    higher = training.greater_is_better
    if higher is None:
        higher = not task.prefers_lower(metric)
    otherwise = {
        "optim": "adamw_torch_fused" if plan.fused_optimizer else training.optim,
        "use_liger_kernel": plan.liger,
        "max_steps": training.max_steps or -1,
        "eval_steps": training.eval_steps or training.logging_steps,
        "metric_for_best_model": metric if best else None,
        "greater_is_better": higher if best else None,
        "gradient_checkpointing": None,  # its name there is going to be the next one
        "activation_checkpointing": training.gradient_checkpointing,
        "report_to": "none",  # `trackers` has its own, which can fail without harm
    }
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        **(_same_names(training) | otherwise),
        use_cpu=plan.device == "cpu",
        bf16=plan.precision == "bfloat16",
        fp16=plan.precision == "float16",
        logging_nan_inf_filter=False,  # compute_loss refuses such a loss instead of hiding it
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        run_name=folder.parent.name,
        project=PROJECT,
        trackio_static_space_id=False,
        dataloader_pin_memory=plan.device.startswith("cuda"),
    )
    if plan.device.startswith("cuda"):
        _use_one_gpu(arguments, torch.device(plan.device))
    return arguments


def _use_one_gpu(arguments: transformers.TrainingArguments, device: torch.device) -> None:
    """Train on `device` alone.

    With several GPUs in sight, the trainer would take the first, and split each batch over all.
    """
    device = torch.device("cuda", device.index or 0)
    torch.cuda.set_device(device)
    arguments._n_gpu = 1
    arguments.__dict__["_setup_devices"] = device  # the cached property behind `device`
    arguments.distributed_state.device = device


def _same_names(training: TrainingConfig) -> dict[str, Any]:
    """The fields that `transformers.TrainingArguments` has by the same name, where they are set."""
    theirs = {field.name for field in fields(transformers.TrainingArguments) if field.init}
    given = {name: getattr(training, name) for name in type(training).model_fields}
    return {name: value for name, value in given.items() if name in theirs and value is not None}
