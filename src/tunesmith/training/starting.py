"""What training and answering begin with: quiet libraries, the tokenizer, the models."""

from __future__ import annotations

import logging
import os
from typing import Any

import transformers

from tunesmith.config.schema import ExperimentConfig
from tunesmith.messages import say
from tunesmith.models.adapter import add_adapter, count_parameters
from tunesmith.models.load import load_base, load_tokenizer
from tunesmith.models.locate import ModelSource
from tunesmith.tasks.base import Task
from tunesmith.training.plan import Plan
from tunesmith.training.stages import Training


def quiet() -> None:
    """Our reporter speaks; the libraries' own bars and notices stay out of its way."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)


def begin(work: Training) -> Any:
    """What comes before everything else: the seed, and the tokenizer, which is returned.

    The seed is set before any weight is made (adapter, new head).
    """
    quiet()
    transformers.set_seed(work.config.training.seed)
    tokenizer = load_tokenizer(work.source)
    work.task.prepare_tokenizer(tokenizer)
    return tokenizer


def base_model(
    config: ExperimentConfig, task: Task, source: ModelSource, plan: Plan
) -> tuple[Any, list[str]]:
    """A fresh base model as `plan` holds it, and its modules without weights."""
    # Read when the first product is computed: for how many shapes oneDNN keeps its code, up to 1 MB
    # each. Every token of an answer has new ones; a classifier meets the same again and again.
    shapes = "128" if task.writes_text else "1024"
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", shapes)
    model = config.model
    return load_base(
        source,
        auto_class=task.auto_class,
        arguments=task.model_arguments(),
        weights=plan.weights,
        attention=None if plan.attention == "auto" else plan.attention,
        device=plan.device,
        quantize_bits=4 if model.load_in_4bit else 8 if model.load_in_8bit else None,
    )


def adapted_model(work: Training) -> Any:
    """A fresh base model with a fresh adapter."""
    base, fresh = base_model(work.config, work.task, work.source, work.plan)
    model = add_adapter(
        base,
        work.config.lora,
        task_type=work.task.peft_task_type,
        fresh_modules=fresh,
        quantized=work.config.model.load_in_4bit or work.config.model.load_in_8bit,
    )
    trainable, total = count_parameters(model)
    said = say(
        "{trainable:,} of {total:,} parameters train ({trainable2:.2%})",
        trainable=trainable,
        total=total,
        trainable2=trainable / total,
    )
    if fresh:
        said += say("; new in this model and trained whole: {names}", names=list(fresh))
    work.reporter.message(said)
    return model
