"""Trackers of others are told of a training, and can fail without harm to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith.training.reporting.reporter import Reporter
from tunesmith.training.reporting.trackers import Tracker, trackers


class Warned(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class Breaks(TrainerCallback):
    """Answers once, and is unreachable then."""

    def __init__(self) -> None:
        self.asked = 0

    def on_log(self, *_args: Any, **_: Any) -> None:
        self.asked += 1
        if self.asked > 1:
            raise ConnectionError("https://key-in-an-address@tracker.example.com")


def lived(tracker: Tracker, folder: Path) -> None:
    """Tell a tracker of two losses, the trainer's summary and a score, as a training does."""
    arguments = TrainingArguments(str(folder / "checkpoints"), report_to="none", use_cpu=True)
    state, control = TrainerState(global_step=3), TrainerControl()
    tracker.on_train_begin(arguments, state, control, model=object())
    for logs in ({"loss": 0.7}, {"train_runtime": 1.0}, {"loss": 0.5}, {"loss": 0.4}):
        tracker.on_log(arguments, state, control, logs=logs)
    tracker.log({"score": 0.75})
    tracker.close()


def test_a_tracker_that_fails_is_left_out_with_one_warning_that_shows_no_key(
    tmp_path: Path,
) -> None:
    reporter, inner = Warned(), Breaks()
    lived(Tracker("mlflow", lambda: inner, {}, reporter), tmp_path)
    assert inner.asked == 2
    (warning,) = reporter.warnings
    assert warning.startswith("mlflow failed (ConnectionError)")
    assert "key" not in warning


def test_only_trackers_asked_for_leave_anything_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    assert trackers([], {}, tmp_path, Warned()) == []
    assert os.environ == {}
    trackers(["trackio"], {}, tmp_path, Warned())
    assert list(os.environ) == ["TRACKIO_DIR"]


def test_tensorboard_finds_losses_score_and_configuration_in_the_experiments_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in ("MLFLOW_TRACKING_URI", "WANDB_DIR", "WANDB_MODE", "TRACKIO_DIR"):
        monkeypatch.setenv(name, "kept")  # so that what is set here is undone
    reporter = Warned()
    (tracker,) = trackers(["tensorboard"], {"training.learning_rate": 0.01}, tmp_path, reporter)
    lived(tracker, tmp_path)
    assert reporter.warnings == []
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([0.7, 0.5, 0.4])
    assert [event.value for event in events.Scalars("train/score")] == [0.75]
    (shown,) = events.Tensors("args/text_summary")
    assert b"training.learning_rate" in shown.tensor_proto.string_val[0]
    assert b"adam_beta1" not in shown.tensor_proto.string_val[0]
