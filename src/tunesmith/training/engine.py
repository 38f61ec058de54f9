"""One training from end to end: load, train, judge, measure the untrained model, save, verify.

Knows no store and no queue: it gets rows and a reporter, and returns a result.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith import contention
from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError, StorageError, VerificationError
from tunesmith.files.writing import WRITE_ERRORS, make_visible, why_not_written
from tunesmith.messages import joined, say
from tunesmith.models.adapter import (
    load_adapter,
    save_adapter,
    trainable_weights,
)
from tunesmith.models.locate import ModelSource
from tunesmith.models.reader_files import framed, write_settings
from tunesmith.statistics.differences import flat
from tunesmith.statistics.label_errors import LabelErrors, find_label_errors
from tunesmith.tasks.base import Task
from tunesmith.training.checkpoints import hide, newest
from tunesmith.training.distributed.meeting import Meeting
from tunesmith.training.distributed.nodes import Nodes
from tunesmith.training.distributed.processes import Processes
from tunesmith.training.encoding import encode
from tunesmith.training.evidence.evaluation import (
    compare_predictions,
)
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.evidence.results import judged_by_both, metrics_of
from tunesmith.training.fitting import CHECKPOINTS, fit
from tunesmith.training.memory.halving import free_memory, is_out_of_memory
from tunesmith.training.memory.refusals import out_of_memory
from tunesmith.training.plan import Plan
from tunesmith.training.preflight import fit_into_memory
from tunesmith.training.reporting.card import Card
from tunesmith.training.reporting.reporter import Phase, Reporter, TrainingData, TrainingResult
from tunesmith.training.reporting.trackers import Tracker, trackers
from tunesmith.training.stages import Judged, Training
from tunesmith.training.starting import adapted_model, base_model, begin

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
    values = flat(config.model_dump(mode="json"))
    watching = trackers(config.training.report_to, values, directory, reporter)
    try:
        return _train(work, watching, resume=resume, meeting=meeting)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(plan, error) from error
    finally:
        for tracker in watching:
            tracker.close()


def _train(
    work: Training, watching: Sequence[Tracker], *, resume: bool, meeting: Meeting | None
) -> TrainingResult:
    reporter, started = work.reporter, time.monotonic()
    contention.watch()
    reporter.phase(Phase.LOADING_MODEL, work.source.name)
    with Nodes(work, meeting) if meeting else Processes(work) as others:
        tokenizer = begin(work)
        for note in work.task.notes(tokenizer):
            reporter.message(note)
        placed = fit_into_memory(encode(work, tokenizer))
        reporter.plan(placed.plan)
        judge, stopping, model = Judge(placed), Judge.while_training(placed), adapted_model(placed)
        reporter.stop_if_asked()
        untrained = trainable_weights(model)
        reporter.phase(Phase.TRAINING)
        checkpoint = _newest_checkpoint(placed) if resume else None
        with others.together(placed.train_examples, checkpoint) as group:
            fitted = fit(placed, model, group, stopping, checkpoint=checkpoint, trackers=watching)
    for note in fitted.ending.notes():
        reporter.message(note)
    judged = judged_by_both(fitted, model, judge, stopping, untrained)
    metrics = metrics_of(judged, model)
    for caution in metrics["cautions"]:
        reporter.warning(caution)
    reporter.phase(Phase.SAVING)
    errors = _label_errors(judged, metrics)
    staging = _save(judged, model, metrics)
    del model
    free_memory()  # the trainer holds the model in a circle
    reporter.phase(Phase.VERIFYING, say("the saved adapter on a fresh base model"))
    metrics["reload_verified"] = True
    metrics["reload_max_difference"] = _verify(judged, judge, staging)
    make_visible(staging, work.directory / FINAL_MODEL)
    metrics["total_runtime"] = time.monotonic() - started
    _log_score(watching, metrics)
    metrics["peak_memory_bytes"] = _peak_memory(work.plan.device)
    metrics["estimated_memory_bytes"] = judged.memory_estimate
    score = judged.score
    return TrainingResult(
        metrics, judged.predictions, score.main, score.metrics[score.main], errors
    )


def _log_score(watching: Sequence[Tracker], metrics: dict[str, Any]) -> None:
    """Tell trackers of others how good the adapter is."""
    score = metrics["score"]
    values = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, float) and name.startswith(("train_", "validation_", "eval_"))
    }
    values["score"] = score["value"]
    if score["interval"] is not None:
        values |= {f"score_{end}": score["interval"][end] for end in ("low", "high")}
    for tracker in watching:
        tracker.log(values)


def _label_errors(work: Judged, metrics: dict[str, Any]) -> LabelErrors | None:
    """Likely label errors, which `metrics` counts then; None where labels can't be judged."""
    if work.score.metrics[work.score.main] <= metrics["score"]["baseline"]["value"]:
        return None  # it has learned nothing to judge labels by
    errors = find_label_errors(work.predictions, work.task.facts().get("labels") or [])
    if errors is not None:
        metrics["likely_label_errors"] = errors.to_json()
    return errors


def _save(work: Judged, model: Any, metrics: dict[str, Any]) -> Path:
    """Write the adapter, its tokenizer, its card and its task into a folder beside its place."""
    final = work.directory / FINAL_MODEL
    staging = final.with_name(f".{final.name}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        with framed(work.task, work.tokenizer):
            save_adapter(model, work.tokenizer, staging, work.source.reference)
        write_settings(staging, work.task, work.tokenizer)
        options = work.config.task.model_dump(mode="json")
        described = {
            "task": options,
            "facts": work.task.facts(),
            "columns": dict(work.task.columns),
            "layout": work.config.data.layout,
            "mended": work.config.data.validation_rules.mended_for(work.task),
        }
        (staging / "tunesmith.json").write_text(
            json.dumps(described, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        Card(work.config, work.task, work.source, metrics).write(staging)
    except WRITE_ERRORS as error:
        reason = why_not_written(work.directory, error)
        raise StorageError("the adapter can't be written: {error}", error=reason) from error
    return staging


def _verify(work: Judged, judge: Judge, folder: Path) -> float:
    """The largest gap between the predictions and those of the saved adapter, loaded afresh."""
    base, _ = base_model(work.config, work.task, work.source, work.plan)
    try:
        reloaded = load_adapter(base, folder)
    except ModelError as error:
        raise VerificationError("what was saved is not whole: {error}", error=error) from error
    return compare_predictions(work.predictions, judge.predictions(reloaded), TOLERANCE)


def _newest_checkpoint(work: Training) -> Path | None:
    folder = work.directory / CHECKPOINTS
    found, passed_over = newest(folder)
    if passed_over:
        for name in passed_over:
            hide(folder / name)
        said = [
            say("{what} is damaged: {reason}", what=name, reason=wrong)
            for name, wrong in passed_over.items()
        ]
        other = say("starting from the beginning instead")
        if found is not None:
            other = say("going on from {name} instead", name=found.name)
        damaged = joined(said, ". ")
        work.reporter.notice(say("{damaged}; {other}.", damaged=damaged, other=other))
    elif found is None:
        work.reporter.message(say("no whole checkpoint was left: starting from the beginning"))
    if found is not None:
        work.reporter.message(say("resuming from {name}", name=found.name))
    return found


def _peak_memory(device: str) -> int:
    """Most memory held so far, in bytes: on the GPU where it trained there, else by the process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
