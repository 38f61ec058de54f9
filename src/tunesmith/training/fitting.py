"""What every process of a training does: encode rows, put an adapter into the model, fit it.

With one process that is the whole of learning; with several, each takes its part of every batch.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import transformers
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback

from tunesmith.config.schema import ExperimentConfig, TrainingConfig
from tunesmith.errors import Interrupted, TrainingError
from tunesmith.tasks.base import Example, Prediction, Row, Task
from tunesmith.tracking.differences import flat
from tunesmith.training.adapter import add_adapter, count_parameters
from tunesmith.training.arguments import training_arguments
from tunesmith.training.batching import Examples, Widths
from tunesmith.training.callbacks import Progress, Report, ReportResources
from tunesmith.training.conversion import first_line
from tunesmith.training.ending import Ending
from tunesmith.training.evaluation import evaluate
from tunesmith.training.group import Group
from tunesmith.training.halving import free_memory, is_out_of_memory, with_rows_at_once
from tunesmith.training.kernels import install_kernels
from tunesmith.training.kernels.trial import longest_of
from tunesmith.training.model import ModelSource, load_base, load_tokenizer
from tunesmith.training.monitor import PerformanceMonitor
from tunesmith.training.plan import Plan, with_kernels
from tunesmith.training.references import add_references, ask_together
from tunesmith.training.refusals import models_own_errors
from tunesmith.training.reporter import Reporter, TrainingData
from tunesmith.training.trackers import Tracker, trackers
from tunesmith.training.trainer import PROGRESS_FILE, LoraTrainer

T = TypeVar("T")

CHECKPOINTS = "checkpoints"


@dataclass
class Training:
    """What the steps of one training share."""

    config: ExperimentConfig
    task: Task
    data: TrainingData
    source: ModelSource
    plan: Plan
    directory: Path
    reporter: Reporter
    cache: Path | None = None
    """Where encoded rows are kept for the next training; None: nowhere."""
    tokenizer: Any = None
    train_rows: list[Row] | None = None
    train_examples: list[Example] | None = None
    eval_examples: list[Example] | None = None
    rows_judged: int | None = None
    """Rows in one evaluation batch, where the usual number doesn't fit into memory."""
    rows_at_once: int | None = None
    """Rows of a training batch that are computed at once, where not all of them will fit."""
    trackers: list[Tracker] = field(default_factory=list)
    """Those of others that are told, from the first step on."""
    memory_estimate: int | None = None
    """Most bytes that this process will probably take; on a GPU, of the GPU's memory."""

    @property
    def rows_per_example(self) -> float:
        """Below 1 where rows are learned as several examples each."""
        return len(self.train_rows or []) / max(len(self.train_examples or []), 1)

    def base(self) -> tuple[Any, list[str]]:
        """A fresh base model and its modules without weights."""
        return base_model(self.config, self.task, self.source, self.plan)

    @property
    def eval_batch_size(self) -> int:
        """Rows in one evaluation batch."""
        return self.rows_judged or eval_batch_size(self.config, self.task)

    def judge(
        self,
        model: Any,
        *,
        generate: bool = True,
        reporter: Reporter | None = None,
        task: Task | None = None,
    ) -> list[Prediction]:
        """`model`'s predictions for the held-out rows; `reporter` is heard instead of ours.

        `task` judges instead of ours: the same, with its labels in another order. Where memory runs
        out, all are judged again in batches of half the rows: the same batches, the same scores.
        """
        examples = self.eval_examples or []
        if task is not None:
            limit, rows = self.config.data.max_length, self.data.evaluation
            examples = task.encode(rows, self.data.columns, self.tokenizer, limit)

        def judged(rows: int) -> list[Prediction]:
            return evaluate(
                model, task or self.task, self.data.evaluation, examples, self.data.columns,
                self.tokenizer, self.plan, rows, generate=generate,
                reporter=reporter or self.reporter,
            )  # fmt: skip

        return self._in_batches(judged)

    def add_references(
        self,
        model: Any,
        examples: Sequence[Example],
        should_stop: Callable[[], bool],
        *,
        training: bool,
    ) -> None:
        """Put what `model` says without its adapter into each of `examples`."""

        def added(rows: int) -> None:
            add_references(
                model, self.task, examples, self.tokenizer, self.plan, rows,
                training=training, should_stop=should_stop,
            )  # fmt: skip

        self._in_batches(added)

    def _in_batches(self, compute: Callable[[int], T]) -> T:
        """What `compute` gives with evaluation batches of as many rows as fit into memory."""
        while True:
            rows = self.eval_batch_size
            try:
                return compute(rows)
            except (RuntimeError, MemoryError) as error:
                if rows == 1 or not is_out_of_memory(error):
                    raise
                self.rows_judged = (rows + 1) // 2
            free_memory()  # once the error is gone, whose frames hold what was computed
            self.reporter.message(
                f"the memory of {self.plan.device} was not enough to judge {rows} rows at once; "
                f"from here on {self.rows_judged} are"
            )


def base_model(
    config: ExperimentConfig, task: Task, source: ModelSource, plan: Plan
) -> tuple[Any, list[str]]:
    """A fresh base model as `plan` holds it, and its modules without weights."""
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


def eval_batch_size(config: ExperimentConfig, task: Task) -> int:
    """Rows in one batch where nothing is learned from them."""
    training = config.training
    return training.per_device_eval_batch_size or (
        training.per_device_train_batch_size * task.eval_batch_scale
    )


class _Watch(Reporter):
    """Hears nothing, and ends an evaluation whose other processes have died."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def should_stop(self) -> bool:
        """Raise what ended another process."""
        self.group.check()
        return False


def begin(work: Training) -> None:
    """What comes before everything else: the seed, and the tokenizer.

    The seed is set before any weight is made (adapter, new head).
    """
    quiet()
    transformers.set_seed(work.config.training.seed)
    work.tokenizer = load_tokenizer(work.source)
    work.task.prepare_tokenizer(work.tokenizer)


def adapted_model(work: Training) -> Any:
    """A fresh base model with a fresh adapter."""
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


def fit(
    work: Training, model: Any, group: Group, *, checkpoint: Path | None
) -> tuple[Progress, Ending]:
    """Train `model` in place; returns what was summed on the way, and how it ended.

    `checkpoint` is where to go on from. Raises Interrupted when the reporter asked to stop.
    """
    if work.plan.kernels:
        _use_kernels(work, model, group)
    progress = Progress()
    if checkpoint is not None:
        progress = Progress.from_json(json.loads((checkpoint / PROGRESS_FILE).read_text()))
    if work.rows_at_once is not None:
        progress.rows_at_once = min(work.rows_at_once, progress.rows_at_once or work.rows_at_once)
    with models_own_errors(work.source.name):
        _ask_base_model(work, model, group)
    training = work.config.training
    chooses = training.load_best_model_at_end or training.early_stopping_patience is not None
    report = Report(work.reporter, progress, group, skip_last_eval=not chooses)
    trainer = _trainer(work, model, group, progress)
    if not group.leads:  # dropout is another one in each process
        transformers.set_seed(training.seed + group.rank)
    trainer.fewer_rows = _remember_fewer_rows(work, trainer)
    begun, earlier = time.monotonic(), progress.seconds
    trainer.before_save = lambda: setattr(progress, "seconds", earlier + time.monotonic() - begun)
    with monitored(work, trainer, progress) if group.leads else nullcontext():
        trainer.add_callback(report)  # after the monitor's: what steps cost comes before their loss
        if group.leads:
            work.trackers = trackers(
                training.report_to, flat(work.config.model_dump(mode="json")), work.directory,
                work.reporter,
            )  # fmt: skip
            for tracker in work.trackers:
                trainer.add_callback(tracker)
        with models_own_errors(work.source.name):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    progress.seconds = earlier + time.monotonic() - begun
    group.wait()
    if report.stopped:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}"
        )
    return progress, _ending(training, trainer)


def _ending(training: TrainingConfig, trainer: LoraTrainer) -> Ending:
    state, metric = trainer.state, trainer.args.metric_for_best_model
    best = state.best_global_step
    return Ending(
        step=state.global_step,
        planned=state.max_steps,
        kept=(best if training.load_best_model_at_end else None) or state.global_step,
        keeps_best=training.load_best_model_at_end,
        patience=training.early_stopping_patience,
        metric=None if metric is None else f"eval_{metric}",
        best_step=best,
        best_value=None if best is None else state.best_metric,
    )


def _use_kernels(work: Training, model: Any, group: Group) -> None:
    longest, pairs = longest_of(work.train_examples or []), work.task.texts_per_row > 1
    used = install_kernels(model, work.plan, group, longest=longest, pairs=pairs)
    work.reporter.message(f"kernels: {used}")
    if used.notes:
        work.plan = with_kernels(work.plan, used.count, used.notes)
        work.reporter.plan(work.plan)


def _ask_base_model(work: Training, model: Any, group: Group) -> None:
    """Put what the base model says into the examples, where the task needs it, before any step.

    A resumed training asks again, and learns from the same numbers.
    """
    if not work.task.needs_reference:
        return
    work.reporter.message("asking the base model, without the adapter, for what to compare with")

    def should_stop() -> bool:
        group.check()
        # One of several can't leave alone: the others would wait for its part.
        return group.size == 1 and work.reporter.should_stop()

    def ask(examples: Sequence[Example]) -> None:
        work.add_references(model, examples, should_stop, training=True)

    ask_together(work.train_examples or [], group, ask)
    if group.leads:
        work.add_references(model, work.eval_examples or [], should_stop, training=False)


def _trainer(work: Training, model: Any, group: Group, progress: Progress) -> LoraTrainer:
    training = work.config.training
    trainer = LoraTrainer(
        task=work.task,
        train_examples=Examples(work.train_examples or []),
        evaluator=_evaluator(work, model, group),
        pad_token_id=work.tokenizer.pad_token_id,
        widths=Widths(work.plan.length_multiple, work.config.data.max_length),
        progress=progress,
        group=group,
        group_by_length=training.group_by_length,
        model=model,
        args=training_arguments(
            training, plan=work.plan, task=work.task, folder=work.directory / CHECKPOINTS
        ),
        callbacks=_early_stopping(work),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _remember_fewer_rows(work: Training, trainer: LoraTrainer) -> Callable[[int, int, str], None]:
    """Says and records that fewer rows are computed at once from now on."""
    batch = work.config.training.per_device_train_batch_size

    def remember(rows: int, smaller: int, reason: str) -> None:
        step = trainer.state.global_step + 1
        work.reporter.message(
            f"the memory of {work.plan.device} was not enough for {rows} rows at once at step "
            f"{step} ({reason}); from there on {smaller} are computed at once, and the steps stay "
            "what they were"
        )
        told = f"the memory was not enough for {rows} at step {step}; the steps stay the same"
        work.plan = with_rows_at_once(work.plan, smaller, batch, told)
        work.reporter.plan(work.plan)

    return remember


@contextmanager
def monitored(work: Training, trainer: LoraTrainer, progress: Progress) -> Iterator[None]:
    """Within this, what `trainer` costs is measured and reported."""
    training = work.config.training
    monitor = PerformanceMonitor(
        progress.usage,
        work.plan.device,
        children=training.processes > 1 or training.dataloader_num_workers > 0,
    )
    trainer.lap = monitor.lap
    trainer.add_callback(ReportResources(work.reporter, progress, monitor, work.rows_per_example))
    with monitor:
        if monitor.trouble:
            work.reporter.message(f"the GPU's use is not measured: {monitor.trouble}")
        yield


def _evaluator(work: Training, model: Any, group: Group) -> Callable[[], dict[str, float]]:
    watch = _Watch(group)

    def metrics() -> dict[str, float]:
        score = work.task.score(work.judge(model, generate=False, reporter=watch))
        return {name: float(value) for name, value in score.metrics.items()}

    return metrics


def _early_stopping(work: Training) -> list[EarlyStoppingCallback]:
    training = work.config.training
    if not training.early_stopping_patience:
        return []
    return [
        EarlyStoppingCallback(training.early_stopping_patience, training.early_stopping_threshold)
    ]


def out_of_memory(plan: Plan, error: BaseException) -> TrainingError:
    """The same in words that say what to do."""
    kind = type(error).__name__
    return TrainingError(
        f"the memory of {plan.device} was not enough ({first_line(error) or kind}). Lower "
        "training.per_device_train_batch_size (and raise gradient_accumulation_steps by as "
        "much), lower data.max_length, or set training.gradient_checkpointing."
    )


def quiet() -> None:
    """Our reporter speaks; the libraries' own bars and notices stay out of its way."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
