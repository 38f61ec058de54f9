"""What the base model says of a row, asked before training, in one process and in several."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import Interrupted
from tunesmith.models.locate import locate_model
from tunesmith.tasks import TASKS
from tunesmith.training.engine import train
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData, TrainingResult

OTHER = {"good": "bad", "bad": "good"}


class Losses(Reporter):
    """Keeps the training loss of each step; asks to stop after step `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.found: dict[int, float] = {}
        self.last = last

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self.found[step] = values["loss"]

    def should_stop(self) -> bool:
        return self.last is not None and max(self.found, default=0) >= self.last


@pytest.fixture(scope="module")
def run(
    tiny_chat: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[TrainingResult, Losses, bytes]]:
    """Trains on pairs of the right and the wrong verdict: the result, the losses, the adapter."""
    root = tmp_path_factory.mktemp("references")
    with reviews.open(newline="", encoding="utf-8") as stream:
        rows = [
            {"_row": n, "chosen": row["verdict"], "rejected": OTHER[row["verdict"]], **row}
            for n, row in enumerate(csv.DictReader(stream), 1)
        ]

    def trained(
        folder: str, listener: Losses | None = None, *, resume: bool = False, **changes: Any
    ) -> tuple[TrainingResult, Losses, bytes]:
        config = ExperimentConfig.model_validate(
            {
                "experiment_name": "preferences",
                "task": {"name": "dpo", "prompt_template": "{review} fresh or rotten ?"},
                "model": {"name": str(tiny_chat)},
                "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]},
                "data": {"dataset_name": str(reviews), "max_length": 48},
                "training": {
                    "learning_rate": 1e-2,
                    "num_train_epochs": 3,
                    "per_device_train_batch_size": 8,
                    "logging_steps": 1,
                    "device": "cpu",
                    "precision": "float32",
                    "save_strategy": "steps",
                    "save_steps": 10,
                    **changes,
                },
            }
        )
        task = TASKS["dpo"](config.task)
        task.bind(task.find_columns(list(rows[0]), rows))
        learned, judged = rows[:97], rows[-24:]
        task.fit(learned, judged)
        dataset = dict.fromkeys(("name", "hash", "source"), "") | {
            "version": None, "overlap": 0, "near_overlap": 0
        }  # fmt: skip
        directory = root / folder
        directory.mkdir(exist_ok=True)
        listener = listener or Losses()
        result = train(
            config,
            task,
            TrainingData(learned, judged, dataset),
            locate_model(config.model.name, cache=root),
            make_plan(config),
            directory,
            listener,
            resume=resume,
        )
        adapter = directory / "artifacts" / "final_model" / "adapter_model.safetensors"
        return result, listener, adapter.read_bytes()

    return trained


@pytest.fixture(scope="module")
def whole(run: Callable[..., Any]) -> tuple[TrainingResult, Losses, bytes]:
    return run("whole")  # type: ignore[no-any-return]


def test_one_that_was_stopped_and_resumed_is_the_same_to_the_byte(
    run: Callable[..., Any], whole: tuple[TrainingResult, Losses, bytes]
) -> None:
    with pytest.raises(Interrupted):
        run("stopped", Losses(last=14))
    result, _, adapter = run("stopped", resume=True)
    assert adapter == whole[2]
    assert result.metrics["eval_loss"] == whole[0].metrics["eval_loss"]


def test_the_losses_are_those_of_the_reference_plan(
    run: Callable[..., Any], whole: tuple[TrainingResult, Losses, bytes]
) -> None:
    _, plain, _ = run("plain", plan="reference")
    steps = [1, 2, 5, 10, 20]
    found = [whole[1].found[step] for step in steps]
    assert found[0] == pytest.approx(0.693147, abs=1e-5)  # no adapter yet: neither is preferred
    assert found[-1] < 0.68
    assert found == pytest.approx([plain.found[step] for step in steps], rel=1e-3)


@pytest.mark.slow
def test_two_processes_ask_it_half_of_the_rows_each_and_learn_the_same(
    run: Callable[..., Any], whole: tuple[TrainingResult, Losses, bytes]
) -> None:
    result, both, _ = run("both", processes=2, per_device_train_batch_size=4)
    assert both.found == pytest.approx(whole[1].found, rel=1e-3)
    assert result.metrics["reload_verified"] is True
