"""`transformers.Trainer` with our loss, order of batches, evaluation and checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from tunesmith.errors import NonFiniteLossError, StorageError
from tunesmith.files.writing import WRITE_ERRORS, make_visible, why_not_written
from tunesmith.loading import load
from tunesmith.tasks.base import Batch, Example, Task
from tunesmith.training.batching import EpochSampler, Examples, PartialBatches, Widths
from tunesmith.training.checkpoints import damage, seal
from tunesmith.training.memory.halving import Steps
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.callbacks import Progress
from tunesmith.training.reporting.monitor import Part

PROGRESS_FILE = "progress.json"
RANDOM_STATE = "rng_state_{}.pth"
"""What the parent calls the random state of each of several processes."""
# Accelerate empties the process's environment for a moment while a trainer is made, to know its own
# defaults. A thread that looks into it then finds nothing, and glibc may end the process where one
# reads it without Python's lock (seen once in some ten runs of all tests). None of what it looks up
# there is set by what we ask of it.
load("accelerate.utils.environment").clear_environment = nullcontext  # type: ignore[attr-defined]

STAND_IN = "stand_in"
"""Marks a batch that is computed and counts for nothing: this process has no row of the step."""


class _Loss(torch.nn.Module):
    """The task's loss as a module.

    `DistributedDataParallel` wraps one forward pass; a task may call its model as it likes.
    """

    def __init__(self, task: Task, model: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.task = task
        self.model = model
        # PyTorch looks for weights without a gradient, and warns where it finds none: this is one.
        self.unused = torch.nn.Parameter(torch.zeros(1, device=device))

    def forward(self, batch: Batch, num_items: torch.Tensor | int | None) -> Any:
        return self.task.loss(self.model, batch, num_items)


class LoraTrainer(transformers.Trainer):
    """Trains an adapter for a task.

    What differs from its parent: the task gives the loss, which counts targets over all the batches
    of a step, in all processes; batches depend on seed and epoch alone; evaluation is the task's
    own, in the first process; a checkpoint becomes visible whole.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        task: Task,
        train_examples: Examples,
        evaluator: Callable[[], dict[str, float]],
        evaluated_as: str,
        pad_token_id: int,
        widths: Widths,
        progress: Progress,
        group: Group,
        group_by_length: bool,
        **parent: Any,
    ) -> None:
        self.task = task
        self.lengths = [len(example["input_ids"]) for example in train_examples.examples]
        self.strata = [int(example.get("stratum", 0)) for example in train_examples.examples]
        self.evaluator = evaluator
        self.evaluated_as = evaluated_as
        """What the names of logged evaluations begin with."""
        self.progress = progress
        self.group = group
        self.pad_token_id = pad_token_id
        self.widths = widths
        self.examples = train_examples
        self.group_by_length = group_by_length
        self.folder = Path(parent["args"].output_dir)
        self.before_save: Callable[[], None] = lambda: None
        self.lap: Callable[[Part], None] = lambda part: None
        """Called when a part of a step has ended."""
        self.fewer_rows: Callable[[int, int, str], None] = lambda rows, smaller, reason: None
        """Called when a batch didn't fit: rows that didn't, rows tried now, the reason."""
        self._steps = Steps(progress, self._forget_gradients, lambda *said: self.fewer_rows(*said))
        self._staging: Path | None = None
        super().__init__(
            train_dataset=train_examples,
            eval_dataset=train_examples,  # never read: `evaluate` is ours
            data_collator=self._collate,
            **parent,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor | int | None]:
        """The batches of one step, and the targets in them over all processes."""
        self.lap(Part.OTHER)
        samples: tuple[list[Batch], torch.Tensor | int | None]
        samples = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.lap(Part.DATA)
        self._steps.begin()
        return samples

    def training_step(
        self,
        model: Any,
        inputs: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The loss of a batch; its gradients are added to those of the step."""
        step = super().training_step

        def once(rows: Batch) -> torch.Tensor:
            loss: torch.Tensor = step(model, rows, num_items_in_batch)
            self.lap(Part.BACKWARD)
            return loss

        if self.group.size > 1:  # all must pass backward equally often
            return once(inputs)
        return self._steps.compute(inputs, once)

    def _forget_gradients(self) -> None:
        if self.model is not None:
            self.model.zero_grad()

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The task's loss; refuses to go on with one that isn't a number."""
        self.lap(Part.DATA)  # until now the batch was brought to the device
        counts = not inputs.pop(STAND_IN, False)
        if self.group.size == 1:
            loss = self.task.loss(model, inputs, num_items_in_batch)
        else:  # gradients are averaged over the processes, and are to be summed
            loss = model(inputs, num_items_in_batch) * (self.group.size if counts else 0)
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                "the loss became {loss} at step {step} (learning rate {rate:.3g}). Try a "
                "lower training.learning_rate, training.warmup_steps, or "
                "training.precision: float32.",
                loss=loss.item(),
                step=self.state.global_step + 1,
                rate=self._get_learning_rate(),
            )
        self.lap(Part.FORWARD)
        return loss

    def _get_num_items_in_batch(
        self, batch_samples: list[Batch], device: torch.device
    ) -> torch.Tensor | int:
        """The targets of one step over all processes; its rows and tokens are counted too."""
        counted = [batch for batch in batch_samples if STAND_IN not in batch]
        items = sum(self.task.count_items(batch) for batch in counted)
        rows = sum(len(batch["input_ids"]) for batch in counted)
        tokens = sum(self.task.count_tokens(batch) for batch in counted)
        if self.group.size > 1:
            *counts, targets = self.group.total([rows, tokens, float(items)])
            rows, tokens = map(int, counts)
            items = torch.tensor(targets, dtype=torch.float32)
        self.progress.samples += rows
        self.progress.tokens += tokens
        return items

    def _collate(self, examples: Sequence[Example | None]) -> Batch:
        rows = [example for example in examples if example is not None]
        if rows:
            width = self.widths(max(len(example["input_ids"]) for example in rows))
            return self.task.collate(rows, self.pad_token_id, width)
        shortest = self.lengths.index(min(self.lengths))
        example = self.examples.examples[shortest]
        return {**self.task.collate([example], self.pad_token_id), STAND_IN: True}

    def get_train_dataloader(self) -> DataLoader[Example | None]:
        if self.group.size == 1:
            return super().get_train_dataloader()
        return DataLoader(
            self.examples,
            batch_sampler=PartialBatches(
                self._get_train_sampler(),
                self.args.train_batch_size,
                rank=self.group.rank,
                size=self.group.size,
            ),
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        """The model, in several processes one whose gradients are averaged over them."""
        if self.group.size == 1 or not training:
            return super()._wrap_model(model, training, dataloader)
        prepared = self.accelerator.prepare_model(model, evaluation_mode=True)  # autocast alone
        loss = _Loss(self.task, prepared, self.args.device)
        frozen = [
            name
            for name, parameter in loss.named_parameters(remove_duplicate=False)
            if not parameter.requires_grad
        ]
        buffers = [name for name, _ in loss.named_buffers(remove_duplicate=False)]
        # All read them from the same files, and they never change: nothing to send around.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
            loss, [*frozen, *buffers]
        )
        return DistributedDataParallel(
            loss,
            device_ids=[self.args.device] if self.args.device.type == "cuda" else None,
            # Without it the first step would group the gradients in another way than the others,
            # and a sum of three or more, rounded elsewhere, would not be the same after a resume.
            find_unused_parameters=True,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(
            self.lengths,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
            batch_size=self.args.train_batch_size * self.group.size
            if self.group_by_length
            else None,
            strata=self.strata,
        )

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The task's quick metrics on the rows that stop and pick, logged under their side's name.

        The callbacks get them under the name that transformers knows.
        """
        values = self.group.first(self.evaluator() if self.group.leads else None)
        self.log({f"{self.evaluated_as}_{name}": value for name, value in values.items()})
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint beside its place, flush it, and rename it there.

        Every process writes its random state, into a folder of its own; the first one gets them,
        and writes everything else.
        """
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._staging = self.folder / ".partial"
        try:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._write(super()._save_checkpoint, model, trial)
            self._name_best()
            states = self._random_states(self._staging / name)
            if self.group.leads:
                self._write(self._complete, self._staging / name, self.folder / name, states)
            self.group.wait()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def _write(self, write: Callable[..., None], *arguments: Any) -> None:
        """Call `write`; raises StorageError when the disk is full or can't be written."""
        try:
            write(*arguments)
        except WRITE_ERRORS as error:
            self.group.check(patience=1.0)  # a process that died breaks what the others are at
            raise StorageError(
                "the checkpoint of step {step} can't be written: {error} Earlier "
                "checkpoints are whole: resume when that is mended.",
                step=self.state.global_step,
                error=why_not_written(self.folder, error),
            ) from error

    def _random_states(self, written: Path) -> list[bytes]:
        """The random states of all processes, by rank; none where there is but this one."""
        if self.group.size == 1:
            return []
        return self.group.every((written / RANDOM_STATE.format(self.group.rank)).read_bytes())

    def _complete(self, written: Path, final: Path, states: list[bytes]) -> None:
        for rank, state in enumerate(states):
            (written / RANDOM_STATE.format(rank)).write_bytes(state)
        self.state.save_to_json(str(written / transformers.trainer.TRAINER_STATE_NAME))
        self.before_save()
        (written / PROGRESS_FILE).write_text(json.dumps(asdict(self.progress)))
        seal(written)
        make_visible(written, final)
        rotate_checkpoints(
            output_dir=str(self.folder),
            save_total_limit=self.args.save_total_limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=False,
        )

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether these are the best metrics so far; if so, what is loaded at the end is saved."""
        best = super()._determine_best_metric(metrics, trial)
        if best and self.args.load_best_model_at_end:  # also between two checkpoints
            self.control.should_save = True
        return best

    def _init_training_state(self, *arguments: Any, **named: Any) -> tuple[int, int]:
        begun: tuple[int, int] = super()._init_training_state(*arguments, **named)
        self._name_best()  # the folder may have moved since, and the parent forgets what is gone
        return begun

    def _load_best_model(self) -> None:
        """The best checkpoint may lie for long. Raises StorageError unless it is there and whole.

        Only the first process has it, and judges and saves what is loaded.
        """
        if not self.group.leads:
            return
        best = Path(str(self.state.best_model_checkpoint))
        if wrong := damage(best):
            raise StorageError(
                "the best checkpoint, {name}, can't be loaded: {reason}.", name=best, reason=wrong
            )
        super()._load_best_model()

    def _name_best(self) -> None:
        """Name the checkpoint that is loaded at the end by where it lies, or soon will.

        The parent names it where it is written, or first was.
        """
        best = self.state.best_global_step if self.args.load_best_model_at_end else None
        self.state.best_model_checkpoint = (
            str(self.folder / f"{PREFIX_CHECKPOINT_DIR}-{best}") if best else None
        )
