"""`transformers.Trainer` with our loss, order of batches, evaluation and checkpoints."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from tunesmith.errors import NonFiniteLossError, StorageError
from tunesmith.tasks.base import Batch, Task
from tunesmith.training.batching import EpochSampler, Examples
from tunesmith.training.callbacks import Progress
from tunesmith.training.writing import WRITE_ERRORS, make_visible, why_not_written

PROGRESS_FILE = "progress.json"


class LoraTrainer(transformers.Trainer):
    """Trains an adapter for a task.

    What differs from its parent: the task gives the loss, which counts targets over all the batches
    of a step; batches depend on seed and epoch alone; evaluation is the task's own; a checkpoint
    becomes visible whole.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        task: Task,
        train_examples: Examples,
        evaluator: Callable[[], dict[str, float]],
        pad_token_id: int,
        progress: Progress,
        group_by_length: bool,
        **parent: Any,
    ) -> None:
        self.task = task
        self.lengths = [len(example["input_ids"]) for example in train_examples.examples]
        self.evaluator = evaluator
        self.progress = progress
        self.group_by_length = group_by_length
        self.folder = Path(parent["args"].output_dir)
        self.before_save: Callable[[], None] = lambda: None
        self._staging: Path | None = None
        super().__init__(
            train_dataset=train_examples,
            eval_dataset=train_examples,  # never read: `evaluate` is ours
            data_collator=functools.partial(task.collate, pad_token_id=pad_token_id),
            **parent,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The task's loss; refuses to go on with one that isn't a number."""
        self.progress.samples += len(inputs["input_ids"])
        self.progress.tokens += int(inputs["attention_mask"].sum())
        loss = self.task.loss(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss became {loss.item()} at step {self.state.global_step + 1} (learning "
                f"rate {self._get_learning_rate():.3g}). Try a lower training.learning_rate, "
                "training.warmup_steps, or training.precision: float32."
            )
        return loss

    def _get_num_items_in_batch(
        self, batch_samples: list[Batch], device: torch.device
    ) -> torch.Tensor | int:
        return sum(self.task.count_items(batch) for batch in batch_samples)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(
            self.lengths,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
            batch_size=self.args.train_batch_size if self.group_by_length else None,
        )

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The task's quick metrics on the held-out rows, logged and passed to the callbacks."""
        metrics = {f"{metric_key_prefix}_{k}": v for k, v in self.evaluator().items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint beside its place, flush it, and rename it there."""
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._staging = self.folder / ".partial"
        try:
            shutil.rmtree(self._staging, ignore_errors=True)
            super()._save_checkpoint(model, trial)
            self._keep_best_of_its_final_place()
            written = self._staging / name
            self.state.save_to_json(str(written / transformers.trainer.TRAINER_STATE_NAME))
            self.before_save()
            (written / PROGRESS_FILE).write_text(json.dumps(asdict(self.progress)))
            make_visible(written, self.folder / name)
        except WRITE_ERRORS as error:
            raise StorageError(
                f"the checkpoint of step {self.state.global_step} can't be written: "
                f"{why_not_written(self.folder, error)} Earlier checkpoints are whole: resume when "
                "that is mended."
            ) from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        rotate_checkpoints(
            output_dir=str(self.folder),
            save_total_limit=self.args.save_total_limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=False,
        )

    def _keep_best_of_its_final_place(self) -> None:
        """The parent looks for the best checkpoint where it writes; that is not where they stay."""
        best = self.state.best_global_step
        self.state.best_model_checkpoint = (
            str(self.folder / f"{PREFIX_CHECKPOINT_DIR}-{best}") if best else None
        )


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    found = [p for p in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if (p / PROGRESS_FILE).is_file()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))
