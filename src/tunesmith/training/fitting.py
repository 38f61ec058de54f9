"""What every process of a training does once model and rows are there: fit the adapter.

With one process that is the whole of learning; with several, each takes its part of every batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback

from tunesmith.config.schema import TrainingConfig
from tunesmith.errors import Interrupted
from tunesmith.messages import say
from tunesmith.tasks.base import Example
from tunesmith.training.arguments import training_arguments
from tunesmith.training.batching import Examples, Widths
from tunesmith.training.evidence.evaluation import autocast
from tunesmith.training.evidence.judging import Judge, ask_together
from tunesmith.training.kernels import install_kernels
from tunesmith.training.kernels.trial import longest_of
from tunesmith.training.memory.halving import with_rows_at_once
from tunesmith.training.memory.refusals import models_own_errors
from tunesmith.training.plan import with_kernels
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.callbacks import SAVED_PROGRESS, Progress, Report
from tunesmith.training.reporting.ending import Ending
from tunesmith.training.reporting.monitor import PerformanceMonitor
from tunesmith.training.reporting.reporter import Reporter
from tunesmith.training.reporting.trackers import Tracker
from tunesmith.training.stages import Fitted, Placed
from tunesmith.training.trainer import PROGRESS_FILE, LoraTrainer

CHECKPOINTS = "checkpoints"


class _Watch(Reporter):
    """Hears nothing, and ends an evaluation whose other processes have died."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def should_stop(self) -> bool:
        """Raise what ended another process."""
        self.group.check()
        return False


def fit(
    work: Placed,
    model: Any,
    group: Group,
    judge: Judge,
    *,
    checkpoint: Path | None,
    trackers: Sequence[Tracker] = (),
) -> Fitted:
    """Train `model` in place; what was summed meanwhile, and how it ended, is added to `work`.

    `judge` stops it and picks its checkpoint (`Judge.while_training`). `checkpoint` is where to go
    on from; `trackers`, of the first process alone, hear of each step.
    Raises Interrupted when the reporter asked to stop.
    """
    training = work.config.training
    if work.plan.kernels:
        work = _with_kernels(work, model, group)
    progress = _progress(work, checkpoint)
    with models_own_errors(work.source.name), autocast(work.plan):
        work.task.require_model(model, work.tokenizer)
    with models_own_errors(work.source.name):
        _ask_base_model(work, model, group, judge)
    chooses = training.load_best_model_at_end or training.early_stopping_patience is not None
    report = Report(work.reporter, progress, group, skip_last_eval=not chooses)
    trainer = _trainer(work, model, group, judge, progress)
    if not group.leads:  # dropout is another one in each process
        transformers.set_seed(training.seed + group.rank)
    begun, earlier = time.monotonic(), progress.seconds
    trainer.before_save = lambda: setattr(progress, "seconds", earlier + time.monotonic() - begun)
    for callback in (report, *trackers):
        trainer.add_callback(callback)
    watching = monitored(work, trainer, report) if group.leads else nullcontext()
    with watching, models_own_errors(work.source.name):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    progress.seconds = earlier + time.monotonic() - begun
    group.wait()
    if report.stopped:
        raise Interrupted(
            "stopped at step {step} of {steps}",
            step=trainer.state.global_step,
            steps=trainer.state.max_steps,
        )
    return Fitted.after(work, progress=progress, ending=_ending(training, trainer, judge))


def _progress(work: Placed, checkpoint: Path | None) -> Progress:
    """Where it begins, or was at `checkpoint`; never with more rows at once than fit."""
    progress = Progress()
    if checkpoint is not None:
        progress = SAVED_PROGRESS.validate_json((checkpoint / PROGRESS_FILE).read_bytes())
    if work.rows_at_once is not None:
        progress.rows_at_once = min(work.rows_at_once, progress.rows_at_once or work.rows_at_once)
    return progress


def _ending(training: TrainingConfig, trainer: LoraTrainer, judge: Judge) -> Ending:
    state, metric = trainer.state, trainer.args.metric_for_best_model
    best = state.best_global_step
    return Ending(
        step=state.global_step,
        planned=state.max_steps,
        kept=(best if training.load_best_model_at_end else None) or state.global_step,
        keeps_best=training.load_best_model_at_end,
        patience=training.early_stopping_patience,
        metric=None if metric is None else f"{judge.prefix}_{metric}",
        best_step=best,
        best_value=None if best is None else state.best_metric,
        evaluations=max(1, sum(f"eval_{metric}" in point for point in state.log_history)),
    )


def _with_kernels(work: Placed, model: Any, group: Group) -> Placed:
    """`work` with what its plan says once it is known which kernels `model` takes."""
    longest, pairs = longest_of(work.train_examples), work.task.texts_per_row > 1
    used = install_kernels(model, work.plan, group, longest=longest, pairs=pairs)
    work.reporter.message(say("kernels: {what}", what=used))
    if not used.notes:
        return work
    work = replace(work, plan=with_kernels(work.plan, used.count, used.notes))
    work.reporter.plan(work.plan)
    return work


def _ask_base_model(work: Placed, model: Any, group: Group, judge: Judge) -> None:
    """Put what the base model says into the examples, where the task needs it, before any step.

    A resumed training asks again, and learns from the same numbers.
    """
    if not work.task.needs_reference:
        return
    work.reporter.message(
        say("asking the base model, without the adapter, for what to compare with")
    )

    def should_stop() -> bool:
        group.check()
        # One of several can't leave alone: the others would wait for its part.
        return group.size == 1 and work.reporter.should_stop()

    def ask(examples: Sequence[Example]) -> None:
        judge.add_references(model, examples, should_stop, training=True)

    ask_together(work.train_examples, group, ask)
    if group.leads:
        held_out = [*work.validation_examples, *work.eval_examples]
        judge.add_references(model, held_out, should_stop, training=False)


def _trainer(
    work: Placed, model: Any, group: Group, judge: Judge, progress: Progress
) -> LoraTrainer:
    training = work.config.training
    trainer = LoraTrainer(
        task=work.task,
        train_examples=Examples(work.train_examples),
        evaluator=_evaluator(judge, model, group),
        evaluated_as=judge.prefix,
        pad_token_id=work.tokenizer.pad_token_id,
        widths=Widths(work.plan.length_multiple, work.config.data.max_length),
        progress=progress,
        group=group,
        group_by_length=training.group_by_length,
        model=model,
        args=training_arguments(
            training, plan=work.plan, task=work.task, folder=work.directory / CHECKPOINTS
        ),
        callbacks=[
            EarlyStoppingCallback(patience, training.early_stopping_threshold)
            for patience in [training.early_stopping_patience]
            if patience
        ],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.fewer_rows = _remember_fewer_rows(work, trainer)
    return trainer


def _remember_fewer_rows(work: Placed, trainer: LoraTrainer) -> Callable[[int, int, str], None]:
    """Says and records that fewer rows are computed at once from now on."""
    batch, plan = work.config.training.per_device_train_batch_size, work.plan

    def remember(rows: int, smaller: int, reason: str) -> None:
        nonlocal plan
        step = trainer.state.global_step + 1
        work.reporter.message(
            say(
                "the memory of {device} was not enough for {rows} rows at once at step "
                "{step} ({reason}); from there on {smaller} are computed at once, and "
                "the steps stay what they were",
                device=work.plan.device,
                rows=rows,
                step=step,
                reason=reason,
                smaller=smaller,
            )
        )
        why = say(
            "the memory was not enough for {n} at step {step}; the steps stay the same",
            n=rows,
            step=step,
        )
        plan = with_rows_at_once(plan, smaller, batch, why)
        work.reporter.plan(plan)

    return remember


@contextmanager
def monitored(work: Placed, trainer: LoraTrainer, report: Report) -> Iterator[None]:
    """Within this, what `trainer` costs is measured, and reported by `report`."""
    training = work.config.training
    monitor = PerformanceMonitor(
        report.progress.usage,
        work.plan.device,
        children=training.processes > 1 or training.dataloader_num_workers > 0,
    )
    trainer.lap = monitor.lap
    report.monitor, report.rows_per_example = monitor, work.rows_per_example
    with monitor:
        if monitor.trouble:
            work.reporter.message(
                say("the GPU's use is not measured: {trouble}", trouble=monitor.trouble)
            )
        yield


def _evaluator(judge: Judge, model: Any, group: Group) -> Callable[[], dict[str, float]]:
    watch = _Watch(group)

    def metrics() -> dict[str, float]:
        score = judge.work.task.score(judge.predictions(model, generate=False, reporter=watch))
        return {name: float(value) for name, value in score.metrics.items()}

    return metrics
