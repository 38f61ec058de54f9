"""Several processes per training, on CPU with gloo: one result, one voice, one end."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from accelerate.state import PartialState  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file
from torch import distributed
from transformers import AutoTokenizer

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import Interrupted, ModelError, NonFiniteLossError, TrainingError
from tunesmith.models.locate import locate_model
from tunesmith.tasks import TASKS
from tunesmith.training.engine import train
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Phase, Reporter, TrainingData, TrainingResult

ROWS = 97
"""Rows to train on: with 8 at once, the last batch of an epoch has a single one."""


class Listener(Reporter):
    """Keeps what it hears; `on_step` is called after each step, and may ask to stop."""

    def __init__(self, on_step: Callable[[int], bool] | None = None) -> None:
        self.values: list[tuple[int, dict[str, float]]] = []
        self.costs: dict[int, dict[str, float]] = {}
        self.on_step = on_step or (lambda step: False)
        self.stop = False
        self.training = False

    def phase(self, phase: Phase, note: str = "") -> None:
        self.training = phase is Phase.TRAINING

    def progress(self, done: int, total: int) -> None:
        if self.training:
            self.stop = self.on_step(done)

    def metrics(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        self.values.append((step, dict(values)))

    def resources(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        self.costs[step] = dict(values)

    def should_stop(self) -> bool:
        return self.stop


OTHERS = ("PYTEST_CURRENT_TEST", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Variables that change for a reason: by pytest, and once when a base model is loaded."""


def environment_now() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OTHERS}


def children() -> set[psutil.Process]:
    """The processes that this one has started, such as those in which the API of a test reads."""
    return set(psutil.Process().children())


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process, no temporary file, no trace in the environment or the libraries."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    environment = environment_now()
    threads = torch.get_num_threads()
    others = children()
    yield
    assert children() == others
    assert not list(folder.glob("tunesmith-*"))
    assert environment_now() == environment
    assert torch.get_num_threads() == threads
    assert not distributed.is_initialized()
    assert PartialState._shared_state == {} or PartialState().num_processes == 1


@pytest.fixture
def run(chat: dict[str, Any], reviews: Path, tmp_path: Path) -> Callable[..., TrainingResult]:
    """Trains the tiny chat model into a folder of this test's."""
    with reviews.open(newline="", encoding="utf-8") as stream:
        rows = [{**row, "_row": n} for n, row in enumerate(csv.DictReader(stream), 1)]

    def trained(
        folder: str,
        listener: Reporter | None = None,
        *,
        resume: bool = False,
        dropout: float = 0.0,
        model: Path | None = None,
        edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda rows: rows,
        **changes: Any,
    ) -> TrainingResult:
        sections = {
            "model": {"name": str(model)} if model else chat["model"],
            "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"], "lora_dropout": dropout},
            "training": {**chat["training"], **changes},
        }
        config = ExperimentConfig.model_validate({**chat, **sections})
        learned = edit(rows[:ROWS])
        task = TASKS[config.task_name](config.task)
        task.bind(task.find_columns(list(rows[0]), rows))
        task.fit(learned, rows[-24:])
        dataset = {
            "name": "reviews",
            "version": None,
            "hash": "",
            "source": "",
            "overlap": 0,
            "near_overlap": 0,
        }
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True)
        return train(
            config,
            task,
            TrainingData(learned, rows[-24:], dataset),
            locate_model(config.model.name, cache=tmp_path),
            make_plan(config),
            directory,
            listener or Listener(),
            resume=resume,
        )

    return trained


def adapter(folder: Path) -> Path:
    return folder / "artifacts" / "final_model" / "adapter_model.safetensors"


def counted(result: TrainingResult, what: str) -> int:
    per_second: float = result.metrics[f"train_{what}_per_second"]
    seconds: float = result.metrics["train_runtime"]
    return round(per_second * seconds)


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(
    run: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    settings = {
        "precision": "float32", "eval_strategy": "epoch", "num_train_epochs": 2,
        "gradient_accumulation_steps": 2, "gradient_checkpointing": True,
    }  # fmt: skip
    two, one = Listener(), Listener()
    together = run("two", two, processes=2, per_device_train_batch_size=4, **settings)
    alone = run("one", one, processes=1, per_device_train_batch_size=8, **settings)
    assert [step for step, _ in two.values] == [step for step, _ in one.values]
    for (_, values), (_, expected) in zip(two.values, one.values, strict=True):
        assert values == pytest.approx(expected, rel=1e-3)
    learned, wanted = load_file(adapter(tmp_path / "two")), load_file(adapter(tmp_path / "one"))
    for name, weight in wanted.items():
        assert torch.allclose(learned[name], weight, atol=1e-4), name
    for figure in ("samples", "tokens"):
        assert counted(together, figure) == counted(alone, figure)
    assert counted(together, "samples") == 2 * ROWS
    assert together.metrics["train_loss"] == pytest.approx(alone.metrics["train_loss"], rel=1e-4)
    assert together.score == pytest.approx(alone.score, abs=0.05)


@pytest.mark.slow
def test_stopped_and_resumed_they_end_with_the_bytes_of_those_that_were_not(
    run: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    settings = {
        "processes": 2, "per_device_train_batch_size": 4, "dropout": 0.2, "num_train_epochs": 3,
        "eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True,
        "early_stopping_patience": 1, "early_stopping_threshold": 5.0,
    }  # fmt: skip
    whole = run("whole", **settings)
    assert whole.metrics["train_epochs"] == 2  # ended early, by all of them
    stopping = Listener(lambda step: step == 5)
    with pytest.raises(Interrupted, match="stopped at step 5 of 39"):
        run("parts", stopping, **settings)
    saved = tmp_path / "parts" / "checkpoints" / "checkpoint-5"
    assert {"rng_state_0.pth", "rng_state_1.pth", "progress.json"} <= {
        file.name for file in saved.iterdir()
    }
    usage = json.loads((saved / "progress.json").read_text())["usage"]
    assert 0 < usage["parts"]["forward"] < usage["seconds"]
    resuming = Listener()
    resumed = run("parts", resuming, resume=True, **settings)
    assert adapter(tmp_path / "parts").read_bytes() == adapter(tmp_path / "whole").read_bytes()
    assert resumed.metrics["train_loss"] == whole.metrics["train_loss"]
    assert counted(resumed, "tokens") == counted(whole, "tokens")
    assert (set(stopping.costs), set(resuming.costs)) == ({5}, {10, 15, 20, 25})


def test_a_killed_process_ends_the_training_and_is_named(
    run: Callable[..., TrainingResult],
) -> None:
    others = children()

    def kill(step: int) -> bool:
        if step == 3:
            (child,) = children() - others
            child.kill()
        return False

    with pytest.raises(TrainingError, match=r"training process 2 of 2 \(pid \d+\) was killed"):
        run("killed", Listener(kill), processes=2)


def copy_of(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    return folder


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_process_is_told_once(
    run: Callable[..., TrainingResult], tiny_chat: Path, tmp_path: Path
) -> None:
    model = copy_of(tiny_chat, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    word = AutoTokenizer.from_pretrained(model).convert_tokens_to_ids("answer")
    weights["model.embed_tokens.weight"][word] = torch.nan
    save_file(weights, model / "model.safetensors", {"format": "pt"})

    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The longest of a whole number of batches is the last row of the second process."""
        longest = max(rows[:96], key=lambda row: len(row["review"].split()))
        longest["review"] += " answer answer"
        return rows[:96]

    with pytest.raises(NonFiniteLossError, match="the loss became nan at step"):
        run("nan", processes=2, per_device_train_batch_size=4, model=model, edit=edit)


@pytest.mark.slow
def test_what_only_another_process_meets_is_told_in_its_words(
    run: Callable[..., TrainingResult], tiny_chat: Path, tmp_path: Path
) -> None:
    model = copy_of(tiny_chat, tmp_path / "model")

    class Breaking(Listener):
        def message(self, text: str) -> None:
            if "parameters train" in text:  # this process has its model, the other one loads yet
                (model / "model.safetensors").write_bytes(b"broken")

    with pytest.raises(ModelError, match=f"{model.name} can't be loaded"):
        run("broken", Breaking(), processes=2, model=model)


def test_the_others_go_when_the_first_process_is_killed(
    tmp_path: Path, tiny_chat: Path, reviews: Path
) -> None:
    script = tmp_path / "first.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            import tunesmith
            from tunesmith.training.reporting.reporter import Reporter

            class Waiting(Reporter):
                def metrics(self, step, epoch, values):
                    print("training", flush=True)
                    time.sleep(600)

            model, data, prompt = sys.argv[1:]
            tunesmith.train(
                {
                    "task": {"name": "sft", "prompt_template": prompt,
                             "completion_column": "verdict"},
                    "model": {"name": model},
                    "data": {"dataset_name": data, "eval_samples": 24, "max_length": 48},
                    "training": {"processes": 2, "device": "cpu", "logging_steps": 1},
                },
                listener=Waiting(),
            )
            """
        )
    )
    temporary = tmp_path / "theirs"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(tiny_chat), str(reviews), "{review} fresh ?"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
    ) as first:
        assert first.stdout is not None
        assert any(b"training" in line for line in first.stdout)
        others = psutil.Process(first.pid).children()
        assert len(others) == 1
        first.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(others, timeout=30)
    assert not alive
    assert not list(temporary.glob("tunesmith-*"))
