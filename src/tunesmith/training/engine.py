"""One training from end to end: load, train, judge, measure the untrained model, save, verify.

Knows no store and no queue: it gets rows and a reporter, and returns a result.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tunesmith import contention
from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import Interrupted, ModelError, StorageError, VerificationError
from tunesmith.tasks.base import Prediction, Score, Task
from tunesmith.training.adapter import (
    adapted_layers,
    count_parameters,
    load_adapter,
    save_adapter,
    trainable_weights,
    with_weights,
)
from tunesmith.training.callbacks import Progress
from tunesmith.training.card import Card
from tunesmith.training.checkpoints import hide, newest
from tunesmith.training.encoding import encode
from tunesmith.training.ending import Ending
from tunesmith.training.evaluation import (
    compare_predictions,
    interval,
    surest_answers,
    worst_mistakes,
)
from tunesmith.training.fitting import (
    CHECKPOINTS,
    Training,
    adapted_model,
    begin,
    fit,
    out_of_memory,
)
from tunesmith.training.halving import free_memory, is_out_of_memory
from tunesmith.training.label_errors import find_label_errors
from tunesmith.training.meeting import Meeting
from tunesmith.training.model import ModelSource
from tunesmith.training.nodes import Nodes
from tunesmith.training.plan import Plan
from tunesmith.training.preflight import fit_into_memory
from tunesmith.training.processes import Processes
from tunesmith.training.reader_files import framed, write_settings
from tunesmith.training.reporter import Phase, Reporter, TrainingData, TrainingResult
from tunesmith.training.writing import WRITE_ERRORS, make_visible, why_not_written

FINAL_MODEL = Path("artifacts") / "final_model"
TOLERANCE = 1e-3
"""Largest difference of a score (logit, or nats of an answer) between trained and reloaded model.

On one device they run the same operations on the same numbers, so the difference is 0 on CPU; a GPU
may choose another kernel.
"""


def train(
    config: ExperimentConfig,
    task: Task,
    data: TrainingData,
    source: ModelSource,
    plan: Plan,
    directory: Path,
    reporter: Reporter,
    *,
    cache: Path | None = None,
    resume: bool = False,
    meeting: Meeting | None = None,
) -> TrainingResult:
    """Train an adapter and prove what it is worth.

    `directory` is the experiment's folder; checkpoints and `artifacts/final_model` go into it.
    `cache` is where encoded rows are kept, for this training's next start and others of the rows.
    `resume=True` continues from the newest whole checkpoint there, if there is one. `meeting` is
    with the other processes that torchrun started, where it did; this one is the first.
    The checkpoints stay: whoever has recorded the result removes them. Raises the errors of
    `tunesmith.errors`; Interrupted when the reporter asked to stop.
    """
    work = Training(config, task, data, source, plan, directory, reporter, cache)
    try:
        return _train(work, resume=resume, meeting=meeting)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(plan, error) from error
    finally:
        for tracker in work.trackers:
            tracker.close()


def _train(work: Training, *, resume: bool, meeting: Meeting | None) -> TrainingResult:
    task, reporter = work.task, work.reporter
    started = time.monotonic()
    contention.watch()
    reporter.phase(Phase.LOADING_MODEL, work.source.name)
    with Nodes(work, meeting) if meeting else Processes(work) as others:
        begin(work)
        for note in task.notes(work.tokenizer):
            reporter.message(note)
        encode(work)
        fit_into_memory(work)
        reporter.plan(work.plan)
        model = adapted_model(work)
        _stop_if_asked(reporter)
        untrained_weights = trainable_weights(model)
        reporter.phase(Phase.TRAINING)
        checkpoint = _newest_checkpoint(work) if resume else None
        with others.together(checkpoint) as group:
            progress, ending = fit(work, model, group, checkpoint=checkpoint)
    for note in ending.notes():
        reporter.message(note)
    reporter.phase(Phase.EVALUATING, "the held-out rows")
    predictions = work.judge(model)
    score = task.score(predictions)
    reporter.metrics(
        ending.kept,
        progress.epoch * ending.kept / max(progress.steps, 1),
        {f"eval_{name}": value for name, value in score.metrics.items()},
    )
    reporter.phase(Phase.EVALUATING, "the untrained model, for comparison")
    with with_weights(model, untrained_weights):
        untrained = _untrained(work, model)
    metrics = _metrics(work, model, progress, ending, score, predictions, untrained)
    for caution in metrics["cautions"]:
        reporter.warning(caution)
    reporter.phase(Phase.SAVING)
    errors = find_label_errors(predictions, task.facts().get("labels") or [])
    baseline = metrics["score"]["baseline"]["value"]
    if score.metrics[score.main] <= baseline:  # it has learned nothing to judge labels by
        errors = None
    if errors is not None:
        metrics["likely_label_errors"] = errors.to_json()
    staging = _save(work, model, metrics)
    del model
    free_memory()  # the trainer holds the model in a circle
    reporter.phase(Phase.VERIFYING, "the saved adapter on a fresh base model")
    metrics["reload_verified"] = True
    metrics["reload_max_difference"] = _verify(work, staging, predictions)
    make_visible(staging, work.directory / FINAL_MODEL)
    metrics["total_runtime"] = time.monotonic() - started
    _tell_trackers(work, metrics)
    metrics["peak_memory_bytes"] = _peak_memory(work.plan.device)
    metrics["estimated_memory_bytes"] = work.memory_estimate
    return TrainingResult(metrics, predictions, score.main, score.metrics[score.main], errors)


def _untrained(work: Training, model: Any) -> Score:
    """The score of `model` as it began; by name where the base model's own head has our labels."""
    file = work.source.folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    own = work.task.with_labels_of(settings.get("id2label") or {})
    return (own or work.task).score(work.judge(model, task=own))


def _metrics(
    work: Training,
    model: Any,
    progress: Progress,
    ending: Ending,
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
        "ending": ending.to_json(),
        "rows_at_once": progress.rows_at_once or work.config.training.per_device_train_batch_size,
        "train_samples": len(work.train_rows or []),
        "train_examples": len(work.train_examples or []),
        "train_examples_seen": min(progress.samples, len(work.train_examples or [])),
        "train_samples_per_second": (
            progress.samples * work.rows_per_example / max(progress.seconds, 1e-9)
        ),
        "train_tokens_per_second": progress.tokens / max(progress.seconds, 1e-9),
        "resources": {
            **progress.usage.to_metrics(),
            "seconds_to_first_step": progress.first_step,
        },
        **{f"eval_{name}": value for name, value in score.metrics.items()},
        "eval_samples": len(predictions),
        "score": {
            "metric": score.main,
            "value": score.metrics[score.main],
            **interval(predictions, work.task),
            "baseline": work.task.baseline(
                work.train_rows or [], work.data.evaluation, work.data.columns
            ),
            "untrained": dict(untrained.metrics),
        },
        "cautions": work.task.cautions(score),
        **dict(score.details),
        "worst_mistakes": worst_mistakes(predictions),
        "surest_answers": surest_answers(predictions),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "target_modules": adapted_layers(model),
        "dataset": dict(work.data.dataset),
    }


def _tell_trackers(work: Training, metrics: dict[str, Any]) -> None:
    """Tell trackers of others how good the adapter is."""
    score = metrics["score"]
    values = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, float) and name.startswith(("train_", "eval_"))
    }
    values["score"] = score["value"]
    if score["interval"] is not None:
        values |= {f"score_{end}": score["interval"][end] for end in ("low", "high")}
    for tracker in work.trackers:
        tracker.log(values)


def _save(work: Training, model: Any, metrics: dict[str, Any]) -> Path:
    """Write the adapter, its tokenizer, its card and its task into a folder beside its place."""
    final = work.directory / FINAL_MODEL
    staging = final.with_name(f".{final.name}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        with framed(work.task, work.tokenizer, work.data.columns):
            save_adapter(model, work.tokenizer, staging, work.source.reference)
        write_settings(staging, work.task, work.tokenizer)
        options = work.config.task.model_dump(mode="json")
        described = {
            "task": options,
            "facts": work.task.facts(),
            "columns": dict(work.data.columns),
        }
        (staging / "tunesmith.json").write_text(
            json.dumps(described, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        Card(work.config, work.task, work.data.columns, work.source, metrics).write(staging)
    except WRITE_ERRORS as error:
        reason = why_not_written(work.directory, error)
        raise StorageError(f"the adapter can't be written: {reason}") from error
    return staging


def _verify(work: Training, folder: Path, predictions: list[Prediction]) -> float:
    """The largest gap between the predictions and those of the saved adapter, loaded afresh."""
    base, _ = work.base()
    try:
        reloaded = load_adapter(base, folder)
    except ModelError as error:
        raise VerificationError(f"what was saved is not whole: {error}") from error
    return compare_predictions(predictions, work.judge(reloaded), TOLERANCE)


def _newest_checkpoint(work: Training) -> Path | None:
    folder = work.directory / CHECKPOINTS
    found, passed_over = newest(folder)
    if passed_over:
        for name in passed_over:
            hide(folder / name)
        damaged = ". ".join(f"{name} is damaged: {wrong}" for name, wrong in passed_over.items())
        other = (
            f"going on from {found.name} instead"
            if found
            else "starting from the beginning instead"
        )
        work.reporter.notice(f"{damaged}; {other}.")
    elif found is None:
        work.reporter.message("no whole checkpoint was left: starting from the beginning")
    if found is not None:
        work.reporter.message(f"resuming from {found.name}")
    return found


def _stop_if_asked(reporter: Reporter) -> None:
    if reporter.should_stop():
        raise Interrupted("stopped before training began")


def _peak_memory(device: str) -> int:
    """Most memory held so far, in bytes: on the GPU where it trained there, else by the process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
