"""One training from end to end: load, measure the untrained model, train, judge, save, verify.

Knows no store and no queue: it gets rows and a reporter, and returns a result.
"""

from __future__ import annotations

import gc
import json
import logging
import resource
import shutil
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import (
    DataError,
    Interrupted,
    ModelError,
    StorageError,
    TrainingError,
    VerificationError,
)
from tunesmith.tasks.base import Example, Prediction, Row, Score, Task
from tunesmith.training.adapter import add_adapter, count_parameters, load_adapter, save_adapter
from tunesmith.training.arguments import training_arguments
from tunesmith.training.batching import Examples
from tunesmith.training.callbacks import Progress, Report
from tunesmith.training.card import write_card
from tunesmith.training.evaluation import (
    compare_predictions,
    evaluate,
    interval,
    worst_mistakes,
)
from tunesmith.training.label_errors import find_label_errors
from tunesmith.training.model import ModelSource, load_base, load_tokenizer
from tunesmith.training.plan import Plan
from tunesmith.training.reporter import Phase, Reporter, TrainingData, TrainingResult
from tunesmith.training.trainer import PROGRESS_FILE, LoraTrainer, checkpoints
from tunesmith.training.writing import WRITE_ERRORS, make_visible, why_not_written

CHECKPOINTS = "checkpoints"
FINAL_MODEL = Path("artifacts") / "final_model"
ENCODED_AT_ONCE = 1000
"""Rows tokenized in one call: the tokenizer keeps about 20 kB a row until the call ends."""
TOLERANCE = 1e-3
"""Largest difference of a score (logit, or nats of an answer) between trained and reloaded model.

On one device they run the same operations on the same numbers, so the difference is 0 on CPU; a GPU
may choose another kernel.
"""


@dataclass
class _Training:
    """What the steps of one training share."""

    config: ExperimentConfig
    task: Task
    data: TrainingData
    source: ModelSource
    plan: Plan
    directory: Path
    reporter: Reporter
    tokenizer: Any = None
    train_rows: list[Row] | None = None
    train_examples: list[Example] | None = None
    eval_examples: list[Example] | None = None

    def base(self) -> tuple[Any, list[str]]:
        """A fresh base model and its modules without weights."""
        model = self.config.model
        return load_base(
            self.source,
            auto_class=self.task.auto_class,
            arguments=self.task.model_arguments(),
            weights=self.plan.weights,
            attention=None if self.plan.attention == "auto" else self.plan.attention,
            device=self.plan.device,
            quantize_bits=4 if model.load_in_4bit else 8 if model.load_in_8bit else None,
        )

    @property
    def eval_batch_size(self) -> int:
        """Rows in one evaluation batch."""
        training = self.config.training
        return training.per_device_eval_batch_size or (
            training.per_device_train_batch_size * self.task.eval_batch_scale
        )

    def judge(self, model: Any, *, generate: bool = True, listen: bool = True) -> list[Prediction]:
        """`model`'s predictions for the held-out rows."""
        return evaluate(
            model,
            self.task,
            self.data.evaluation,
            self.eval_examples or [],
            self.data.columns,
            self.tokenizer,
            self.plan,
            self.eval_batch_size,
            generate=generate,
            reporter=self.reporter if listen else None,
        )


def train(
    config: ExperimentConfig,
    task: Task,
    data: TrainingData,
    source: ModelSource,
    plan: Plan,
    directory: Path,
    reporter: Reporter,
    *,
    resume: bool = False,
) -> TrainingResult:
    """Train an adapter and prove what it is worth.

    `directory` is the experiment's folder; checkpoints and `artifacts/final_model` go into it.
    `resume=True` continues from the newest whole checkpoint there, if there is one.
    The checkpoints stay: whoever has recorded the result removes them. Raises the errors of
    `tunesmith.errors`; Interrupted when the reporter asked to stop.
    """
    _quiet()
    try:
        return _train(
            _Training(config, task, data, source, plan, directory, reporter), resume=resume
        )
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the memory of {plan.device} was not enough ({str(error).splitlines()[0]}). Lower "
            "training.per_device_train_batch_size (and raise gradient_accumulation_steps by as "
            "much), lower data.max_length, or set training.gradient_checkpointing."
        ) from error


def _train(work: _Training, *, resume: bool) -> TrainingResult:
    config, task, source, reporter = work.config, work.task, work.source, work.reporter
    started = time.monotonic()
    reporter.phase(Phase.LOADING_MODEL, source.name)
    transformers.set_seed(config.training.seed)  # before any weight is made (adapter, new head)
    work.tokenizer = load_tokenizer(source)
    task.prepare_tokenizer(work.tokenizer)
    _encode(work)
    model = _adapted(work)
    _stop_if_asked(reporter)
    reporter.phase(Phase.EVALUATING, "the untrained model, for comparison")
    untrained = task.score(work.judge(model))
    reporter.phase(Phase.TRAINING)
    progress, judged = _fit(work, model, resume=resume)
    reporter.phase(Phase.EVALUATING, "the held-out rows")
    predictions = work.judge(model)
    score = task.score(predictions)
    reporter.metrics(
        judged,
        progress.epoch * judged / max(progress.steps, 1),
        {f"eval_{name}": value for name, value in score.metrics.items()},
    )
    metrics = _metrics(work, model, progress, score, predictions, untrained)
    reporter.phase(Phase.SAVING)
    errors = find_label_errors(predictions, task.facts().get("labels") or [])
    baseline = metrics["score"]["baseline"]["value"]
    if score.metrics[score.main] <= baseline:  # it has learned nothing to judge labels by
        errors = None
    if errors is not None:
        metrics["likely_label_errors"] = errors.to_json()
    staging = _save(work, model, metrics)
    del model
    _free_memory(work.plan.device)
    reporter.phase(Phase.VERIFYING, "the saved adapter on a fresh base model")
    metrics["reload_verified"] = True
    metrics["reload_max_difference"] = _verify(work, staging, predictions)
    make_visible(staging, work.directory / FINAL_MODEL)
    metrics["total_runtime"] = time.monotonic() - started
    metrics["peak_memory_bytes"] = _peak_memory(work.plan.device)
    return TrainingResult(metrics, predictions, score.main, score.metrics[score.main], errors)


def _encode(work: _Training) -> None:
    """Rows to tokens; rows whose target is lost to the length limit are left out, and said."""
    limit = work.config.data.max_length
    for side in ("train", "evaluation"):
        rows = list(getattr(work.data, side))
        examples = [
            _compact(example)
            for start in range(0, len(rows), ENCODED_AT_ONCE)
            for example in work.task.encode(
                rows[start : start + ENCODED_AT_ONCE], work.data.columns, work.tokenizer, limit
            )
        ]
        lost = [r for r, e in zip(rows, examples, strict=True) if not e["targets"]]
        if lost:
            shown = ", ".join(str(row.get("_row")) for row in lost[:5])
            work.reporter.warning(
                f"{len(lost)} of {len(rows)} {side} rows are longer than data.max_length={limit} "
                f"tokens up to their answer (rows {shown}{' …' if len(lost) > 5 else ''}); "
                + ("they are not trained on." if side == "train" else "they count as wrong.")
            )
        if side == "evaluation":
            work.eval_examples = examples
            continue
        kept = [(r, e) for r, e in zip(rows, examples, strict=True) if e["targets"]]
        work.train_rows = [row for row, _ in kept]
        work.train_examples = [example for _, example in kept]
    if not work.train_examples:
        raise DataError(
            f"every row is longer than data.max_length={limit} tokens before its answer begins; "
            "raise data.max_length."
        )


def _compact(example: Example) -> Example:
    """The example with its lists of token ids held as 4-byte numbers."""
    return {
        name: array("i", value) if name in ("input_ids", "labels") and _are_ids(value) else value
        for name, value in example.items()
    }


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int)


def _adapted(work: _Training) -> Any:
    base, fresh = work.base()
    model = add_adapter(
        base,
        work.config.lora,
        task_type=work.task.peft_task_type,
        fresh_modules=fresh,
        quantized=work.config.model.load_in_4bit or work.config.model.load_in_8bit,
    )
    trainable, total = count_parameters(model)
    work.reporter.message(
        f"{trainable:,} of {total:,} parameters train ({trainable / total:.2%})"
        + (f"; new in this model and trained whole: {', '.join(fresh)}" if fresh else "")
    )
    return model


def _fit(work: _Training, model: Any, *, resume: bool) -> tuple[Progress, int]:
    """Train `model` in place; returns what was summed on the way, and the step it is now of.

    That step is the last one, or the best checkpoint's.
    """
    whole = checkpoints(work.directory / CHECKPOINTS) if resume else []
    progress = Progress()
    if whole:
        progress = Progress(**json.loads((whole[-1] / PROGRESS_FILE).read_text()))
        work.reporter.message(f"resuming from {whole[-1].name}")
    elif resume:
        work.reporter.message("no whole checkpoint was left: starting from the beginning")
    training = work.config.training
    chooses = training.load_best_model_at_end or training.early_stopping_patience is not None
    report = Report(work.reporter, progress, skip_last_eval=not chooses)
    callbacks: list[Any] = [report]
    if training.early_stopping_patience:
        callbacks.insert(
            0,
            EarlyStoppingCallback(
                training.early_stopping_patience, training.early_stopping_threshold
            ),
        )
    trainer = LoraTrainer(
        task=work.task,
        train_examples=Examples(work.train_examples or []),
        evaluator=lambda: dict(
            work.task.score(work.judge(model, generate=False, listen=False)).metrics
        ),
        pad_token_id=work.tokenizer.pad_token_id,
        progress=progress,
        group_by_length=training.group_by_length,
        model=model,
        args=training_arguments(
            training, plan=work.plan, task=work.task, folder=work.directory / CHECKPOINTS
        ),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    begun = time.monotonic()
    earlier = progress.seconds
    trainer.before_save = lambda: setattr(progress, "seconds", earlier + time.monotonic() - begun)
    trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    progress.seconds = earlier + time.monotonic() - begun
    if report.stopped:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}"
        )
    best = trainer.state.best_global_step if training.load_best_model_at_end else None
    return progress, best or trainer.state.global_step


def _metrics(
    work: _Training,
    model: Any,
    progress: Progress,
    score: Score,
    predictions: list[Prediction],
    untrained: Score,
) -> dict[str, Any]:
    """The results as `metrics.json` holds them; durations in seconds."""
    trainable, total = count_parameters(model)
    return {
        "train_runtime": progress.seconds,
        "train_loss": progress.mean_loss,
        "train_steps": progress.steps,
        "train_epochs": progress.epoch,
        "train_samples": len(work.train_examples or []),
        "train_samples_per_second": progress.samples / max(progress.seconds, 1e-9),
        "train_tokens_per_second": progress.tokens / max(progress.seconds, 1e-9),
        **{f"eval_{name}": value for name, value in score.metrics.items()},
        "eval_samples": len(predictions),
        "score": {
            "metric": score.main,
            "value": score.metrics[score.main],
            "interval": interval(predictions),
            "baseline": work.task.baseline(
                work.train_rows or [], work.data.evaluation, work.data.columns
            ),
            "untrained": dict(untrained.metrics),
        },
        **dict(score.details),
        "worst_mistakes": worst_mistakes(predictions),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "dataset": dict(work.data.dataset),
    }


def _save(work: _Training, model: Any, metrics: dict[str, Any]) -> Path:
    """Write the adapter, its tokenizer, its card and its task into a folder beside its place."""
    final = work.directory / FINAL_MODEL
    staging = final.with_name(f".{final.name}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        save_adapter(model, work.tokenizer, staging, work.source.reference)
        options = work.config.task.model_dump(mode="json")
        described = {
            "task": options,
            "facts": work.task.facts(),
            "columns": dict(work.data.columns),
        }
        (staging / "tunesmith.json").write_text(
            json.dumps(described, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        write_card(staging, work.config, work.task, work.source, metrics)
    except WRITE_ERRORS as error:
        reason = why_not_written(work.directory, error)
        raise StorageError(f"the adapter can't be written: {reason}") from error
    return staging


def _verify(work: _Training, folder: Path, predictions: list[Prediction]) -> float:
    """The largest gap between the predictions and those of the saved adapter, loaded afresh."""
    base, _ = work.base()
    try:
        reloaded = load_adapter(base, folder)
    except ModelError as error:
        raise VerificationError(f"what was saved is not whole: {error}") from error
    return compare_predictions(predictions, work.judge(reloaded), TOLERANCE)


def _stop_if_asked(reporter: Reporter) -> None:
    if reporter.should_stop():
        raise Interrupted("stopped before training began")


def _free_memory(device: str) -> None:
    """Let go of a model that nothing names any more: the trainer holds it in a circle."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _peak_memory(device: str) -> int:
    """Most memory held so far, in bytes: on the GPU where it trained there, else by the process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _quiet() -> None:
    """Our reporter speaks; the libraries' own bars and notices stay out of its way."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
