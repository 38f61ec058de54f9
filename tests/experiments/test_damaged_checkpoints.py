"""A checkpoint that is no longer what was written is passed over, and that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.yaml import read_draft
from tunesmith.errors import Interrupted
from tunesmith.experiments.execution import execute, resumable
from tunesmith.experiments.prepare import prepare
from tunesmith.experiments.submission import submit
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.files import ExperimentFiles
from tunesmith.tracking.store import Store
from tunesmith.training.checkpoints import HASHES_FILE, damage, newest, seal
from tunesmith.training.reporter import Reporter


class _StopsAfter(Reporter):
    """Wants it to end once so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0

    def progress(self, done: int, total: int) -> None:
        self.done = max(self.done, done if total > self.steps else 0)

    def should_stop(self) -> bool:
        return self.done >= self.steps


def overwrite(file: Path) -> None:
    """64 bytes in the middle become others; size and time of change stay what they were."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    file.write_bytes(content)


def stopped(asked: Any, store: Store, settings: Settings) -> Experiment:
    """An experiment that was stopped after its 12th step, with checkpoints of steps 10 and 12."""
    training = {**asked["training"], "save_strategy": "steps", "save_steps": 5, "max_steps": 20}
    prepared = prepare(read_draft({**asked, "training": training}), settings)
    experiment = submit(prepared, store, settings)
    with pytest.raises(Interrupted):
        execute(experiment.id, store, settings, prepared=prepared, listener=_StopsAfter(12))
    return store.get(experiment.id)


@pytest.mark.parametrize("name", ["optimizer.pt", "adapter_model.safetensors"])
def test_an_older_whole_checkpoint_is_taken_and_it_is_said(
    classification: Any, store: Store, settings: Settings, name: str
) -> None:
    experiment = stopped(classification, store, settings)
    files = ExperimentFiles(Path(str(experiment.directory)))
    last, older = sorted(files.checkpoints.iterdir(), key=lambda p: -int(p.name.split("-")[1]))
    overwrite(last / name)
    ended = execute(experiment.id, store, settings, prepared=resumable(experiment, settings))
    assert ended.status is ExperimentStatus.SUCCEEDED
    said = f"{last.name} is damaged: its {name} is not what was written; going on from {older.name}"
    assert said in str(ended.reason)
    assert said in files.log.read_text()
    assert f"resuming from {older.name}" in files.log.read_text()
    assert ended.metrics["train_loss"] < 2


def test_when_all_are_damaged_it_starts_from_the_beginning(tmp_path: Path) -> None:
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "progress.json").write_text("{}")
        (folder / "weights").write_bytes(b"w" * 200)
        seal(folder)
    assert newest(tmp_path) == (tmp_path / "checkpoint-10", {})
    overwrite(tmp_path / "checkpoint-10" / "weights")
    assert newest(tmp_path)[0] == tmp_path / "checkpoint-5"
    (tmp_path / "checkpoint-5" / "weights").unlink()
    found, wrong = newest(tmp_path)
    assert found is None
    assert wrong == {
        "checkpoint-10": "its weights is not what was written",
        "checkpoint-5": "its weights is gone",
    }


def test_one_whose_best_is_damaged_is_passed_over_and_an_old_one_is_taken_as_it_is(
    tmp_path: Path,
) -> None:
    for step, best in ((5, 5), (10, 5), (15, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "progress.json").write_text("{}")
        (folder / "weights").write_bytes(b"w" * 200)
        named = f'"{tmp_path / f"checkpoint-{best}"}"' if best else "null"
        (folder / "trainer_state.json").write_text(f'{{"best_model_checkpoint": {named}}}')
        seal(folder)
    overwrite(tmp_path / "checkpoint-15" / "weights")
    overwrite(tmp_path / "checkpoint-5" / "weights")
    found, wrong = newest(tmp_path)
    assert found is None
    assert "the best until then" in wrong["checkpoint-10"]
    (tmp_path / "checkpoint-15" / HASHES_FILE).unlink()  # of an older version
    assert damage(tmp_path / "checkpoint-15") is None
    assert newest(tmp_path)[0] == tmp_path / "checkpoint-15"
    (tmp_path / "checkpoint-15" / HASHES_FILE).write_text("{")
    assert "can't be read" in str(damage(tmp_path / "checkpoint-15"))
