"""Memory that runs out within a step: fewer rows at once, the same experiment."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import Interrupted, TrainingError
from tunesmith.models.locate import locate_model
from tunesmith.tasks.base import Batch
from tunesmith.tasks.sft import SupervisedFineTuning
from tunesmith.training.engine import train
from tunesmith.training.plan import Plan, make_plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData, TrainingResult

TOO_MUCH = 1 << 60
"""Bytes that no machine has."""


class _OutOfMemory(torch.autograd.Function):
    """Passes values on; on the way back it asks PyTorch's allocator for more than there is."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> Any:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
        return gradients


def _run_out(_: Any, __: Any, values: torch.Tensor) -> torch.Tensor:
    passed: torch.Tensor = _OutOfMemory.apply(values)  # type: ignore[no-untyped-call]
    return passed


class Narrow(SupervisedFineTuning):
    """Learns as its parent does, with memory for `fits` rows from batch `since` on.

    It runs out half-way back, when the gradients of the second layer are there already.
    """

    fits, since = 10**6, 0
    batches = 0

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        self.batches += 1
        if len(batch["input_ids"]) <= self.fits or self.batches < self.since:
            return super().loss(model, batch, num_items)
        (first,) = [m for name, m in model.named_modules() if name.endswith("layers.0")]
        hook = first.register_forward_hook(_run_out)
        try:
            return super().loss(model, batch, num_items)
        finally:
            hook.remove()


class Listener(Reporter):
    """Keeps what it hears, and asks to stop after step `until`."""

    def __init__(self, until: int | None = None) -> None:
        self.messages: list[str] = []
        self.plans: list[Plan] = []
        self.losses: dict[int, float] = {}
        self.until = until

    def message(self, text: str) -> None:
        self.messages.append(text)

    def plan(self, plan: Plan) -> None:
        self.plans.append(plan)

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self.losses[step] = values["loss"]

    def should_stop(self) -> bool:
        return self.until in self.losses


class Trained:
    """A training of the tiny chat model for 8 steps of 8 rows, each in a folder of its own."""

    def __init__(self, chat: dict[str, Any], reviews: Path, folder: Path) -> None:
        with reviews.open(newline="", encoding="utf-8") as stream:
            self.rows = [{**row, "_row": n} for n, row in enumerate(csv.DictReader(stream), 1)]
        self.chat = chat
        self.folder = folder

    def __call__(
        self,
        folder: str,
        batch: int,
        accumulation: int,
        listener: Listener,
        *,
        fits: int = 10**6,
        since: int = 0,
        resume: bool = False,
    ) -> TrainingResult:
        """Train `batch` rows and `accumulation` batches a step, with memory for `fits` rows."""
        values = {
            **self.chat,
            "lora": {"r": 4, "lora_alpha": 8},
            "training": {
                **self.chat["training"],
                "per_device_train_batch_size": batch,
                "gradient_accumulation_steps": accumulation,
                "per_device_eval_batch_size": 4,
                "group_by_length": False,  # else the order depends on the batch size
                "logging_steps": 1,
                "precision": "float32",
            },
        }
        config = ExperimentConfig.model_validate(values)
        task = Narrow(config.task)
        task.fits, task.since = fits, since
        task.bind(task.find_columns(list(self.rows[0]), self.rows))
        data = TrainingData(
            self.rows[:64],
            self.rows[-4:],
            {"name": "r", "version": None, "hash": "", "overlap": 0, "near_overlap": 0},
        )
        source = locate_model(config.model.name, cache=self.folder / "cache")
        directory = self.folder / folder
        directory.mkdir(exist_ok=True)
        plan = make_plan(config)
        return train(config, task, data, source, plan, directory, listener, resume=resume)

    def adapter(self, folder: str) -> dict[str, torch.Tensor]:
        """The weights that a training left."""
        final = self.folder / folder / "artifacts" / "final_model"
        return load_file(final / "adapter_model.safetensors")


@pytest.fixture
def trained(chat: dict[str, Any], reviews: Path, tmp_path: Path) -> Trained:
    return Trained(chat, reviews, tmp_path)


def test_a_step_that_does_not_fit_is_done_again_in_parts_and_the_experiment_stays_the_same(
    trained: Trained,
) -> None:
    small = Listener()
    trained("small", 1, 8, small)
    # Two batches of 4 are a step: memory runs out in the second of the third step, and again as
    # its first is done anew in halves, so that one row at a time is left.
    narrow = Listener(until=5)
    with pytest.raises(Interrupted):
        trained("narrow", 4, 2, narrow, fits=1, since=6)
    assert [message.partition(" (")[0] for message in narrow.messages if "enough" in message] == [
        "the memory of cpu was not enough for 4 rows at once at step 3",
        "the memory of cpu was not enough for 2 rows at once at step 3",
    ]
    assert "DefaultCPUAllocator: can't allocate memory" in narrow.messages[-1]
    assert [
        (c.value, c.reason) for c in narrow.plans[-1].choices if c.setting == "rows at once"
    ] == [("1 of 4", "the memory was not enough for 2 at step 3; the steps stay the same")]
    resumed = Listener()
    result = trained("narrow", 4, 2, resumed, fits=1, resume=True)
    assert not [message for message in resumed.messages if "enough" in message]
    assert result.metrics["rows_at_once"] == 1
    assert result.metrics["train_steps"] == 8
    assert {**narrow.losses, **resumed.losses} == pytest.approx(small.losses, abs=1e-5)
    expected = trained.adapter("small")
    for name, weights in trained.adapter("narrow").items():
        torch.testing.assert_close(weights, expected[name], atol=1e-4, rtol=1e-3)


def test_a_single_row_that_does_not_fit_ends_the_training_with_advice(trained: Trained) -> None:
    with pytest.raises(TrainingError) as caught:
        trained("none", 2, 1, Listener(), fits=0)
    assert str(caught.value).startswith("the memory of cpu was not enough ([enforce fail at")
    assert "data.max_length" in str(caught.value)
