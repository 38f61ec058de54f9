"""A checkpoint that is no longer what was written is passed over, and that is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.languages import is_translated

from tunesmith.config.yaml import read_draft
from tunesmith.errors import Interrupted, StorageError
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.resuming import resumable
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import LAST_OF_CHECKPOINT, WEIGHTS
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store
from tunesmith.training.checkpoints import HASHES_FILE, checkpoints, damage, newest, seal
from tunesmith.training.engine import _newest_checkpoint
from tunesmith.training.reporting.reporter import Reporter


class _StopsAfter(Reporter):
    """Wants it to end once so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0

    def progress(self, done: int, total: int) -> None:
        self.done = max(self.done, done if total >= self.steps else 0)

    def should_stop(self) -> bool:
        return self.done >= self.steps


def overwrite(file: Path) -> None:
    """64 bytes in the middle become others; size and time of change stay what they were."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    file.write_bytes(content)


def stopped(asked: Any, store: Store, settings: Settings, **training: Any) -> Experiment:
    """An experiment that was stopped after its 12th step, with checkpoints of steps 10 and 12."""
    chosen = {"save_strategy": "steps", "save_steps": 5, "max_steps": 20, **training}
    training = {**asked["training"], **chosen}
    data = {**asked["data"], "validation_samples": 0}
    prepared = prepare(read_draft({**asked, "data": data, "training": training}), settings)
    experiment = submit(prepared, store, settings)
    with pytest.raises(Interrupted):
        execute(experiment.id, store, settings, prepared=prepared, listener=_StopsAfter(12))
    return store.get(experiment.id)


FIRST_IS_BEST = {
    "load_best_model_at_end": True,
    "metric_for_best_model": "loss",
    "greater_is_better": True,
    "warmup_steps": 0,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "save_steps": 12,
    "max_steps": 13,
}
"""It is evaluated at steps 4, 8 and 12, and the best is the first, which has learned least."""


class _LosesTheBest(Reporter):
    """Deletes the checkpoint of step 4 as soon as there is a later one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def progress(self, done: int, total: int) -> None:
        if (self.folder / "checkpoint-12").exists():
            shutil.rmtree(self.folder / "checkpoint-4", ignore_errors=True)


def test_the_best_is_loaded_also_from_a_folder_that_was_moved(
    classification: Any, store: Store, settings: Settings, tmp_path: Path
) -> None:
    experiment = stopped(classification, store, settings, **FIRST_IS_BEST | {"max_steps": 12})
    files = ExperimentFolder(Path(str(experiment.directory)))
    best = (files.checkpoints / "checkpoint-4" / WEIGHTS).read_bytes()
    moved = Path(shutil.move(settings.results_dir, tmp_path / "moved"))
    here = settings.model_copy(update={"results_dir": moved})
    ended = execute(experiment.id, store, here, prepared=resumable(experiment, here))
    assert ended.metrics["ending"]["kept"] == 4
    assert (moved / files.path.name / "artifacts/final_model" / WEIGHTS).read_bytes() == best


def test_a_best_checkpoint_that_is_gone_is_said_and_the_next_start_does_without(
    classification: Any, store: Store, settings: Settings
) -> None:
    experiment = stopped(classification, store, settings, **FIRST_IS_BEST)
    folder = ExperimentFolder(Path(str(experiment.directory))).checkpoints
    ready = resumable(experiment, settings)
    with pytest.raises(StorageError, match=r"checkpoint-4, can't be loaded: it is gone\.$") as told:
        execute(experiment.id, store, settings, prepared=ready, listener=_LosesTheBest(folder))
    assert is_translated(str(told.value))
    experiment = store.get(experiment.id)
    ended = execute(experiment.id, store, settings, prepared=resumable(experiment, settings))
    assert "checkpoint-4, the best until then, can't be loaded: it is gone" in str(ended.reason)
    assert ended.metrics["ending"]["kept"] == 4


@pytest.mark.parametrize("name", ["optimizer.pt", "adapter_model.safetensors"])
def test_an_older_whole_checkpoint_is_taken_and_it_is_said(
    classification: Any, store: Store, settings: Settings, name: str
) -> None:
    experiment = stopped(classification, store, settings)
    files = ExperimentFolder(Path(str(experiment.directory)))
    last, older = sorted(files.checkpoints.iterdir(), key=lambda p: -int(p.name.split("-")[1]))
    overwrite(last / name)
    ended = execute(experiment.id, store, settings, prepared=resumable(experiment, settings))
    assert ended.status is ExperimentStatus.SUCCEEDED
    told = f"{last.name} is damaged: its {name} is not what was written; going on from {older.name}"
    assert told in str(ended.reason)
    assert told in files.log.read_text()
    assert is_translated(str(ended.reason))
    assert f"resuming from {older.name}" in files.log.read_text()
    assert ended.metrics["train_loss"] < 2


def test_when_all_are_damaged_it_starts_from_the_beginning(tmp_path: Path) -> None:
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "progress.json").write_text("{}")
        (folder / WEIGHTS).write_bytes(b"w" * 200)
        seal(folder)
    assert newest(tmp_path) == (tmp_path / "checkpoint-10", {})
    overwrite(tmp_path / "checkpoint-10" / WEIGHTS)
    assert newest(tmp_path)[0] == tmp_path / "checkpoint-5"
    (tmp_path / "checkpoint-5" / WEIGHTS).unlink()
    found, wrong = newest(tmp_path)
    assert found is None
    assert wrong == {
        "checkpoint-10": f"its {WEIGHTS} is not what was written",
        "checkpoint-5": f"its {WEIGHTS} is gone",
    }


def test_one_whose_best_is_damaged_is_passed_over_and_an_old_one_is_taken_as_it_is(
    tmp_path: Path,
) -> None:
    for step, best in ((5, 5), (10, 5), (15, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "progress.json").write_text("{}")
        (folder / WEIGHTS).write_bytes(b"w" * 200)
        named = f'"{tmp_path / f"checkpoint-{best}"}"' if best else "null"
        (folder / "trainer_state.json").write_text(f'{{"best_model_checkpoint": {named}}}')
        seal(folder)
    overwrite(tmp_path / "checkpoint-15" / WEIGHTS)
    overwrite(tmp_path / "checkpoint-5" / WEIGHTS)
    found, wrong = newest(tmp_path)
    assert found is None
    assert "the best until then" in wrong["checkpoint-10"]
    (tmp_path / "checkpoint-15" / HASHES_FILE).unlink()  # of an older version
    assert damage(tmp_path / "checkpoint-15") is None
    assert newest(tmp_path)[0] == tmp_path / "checkpoint-15"
    (tmp_path / "checkpoint-15" / HASHES_FILE).write_text("{")
    assert "can't be read" in str(damage(tmp_path / "checkpoint-15"))
    (tmp_path / "checkpoint-15" / HASHES_FILE).write_text("[]")
    assert "can't be read" in str(damage(tmp_path / "checkpoint-15"))


class _Notices(Reporter):
    """Keeps what was noticed."""

    def __init__(self) -> None:
        self.noticed: list[str] = []

    def notice(self, text: str) -> None:
        self.noticed.append(text)


def test_all_that_are_passed_over_are_named_and_leave_their_places_to_good_ones(
    tmp_path: Path,
) -> None:
    work: Any = SimpleNamespace(directory=tmp_path, reporter=_Notices())
    for step in (5, 10, 15, 20):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / LAST_OF_CHECKPOINT).write_text("{}")
        (folder / WEIGHTS).write_bytes(b"w" * 200)
        seal(folder)
    overwrite(folder.parent / "checkpoint-15" / WEIGHTS)
    (folder / LAST_OF_CHECKPOINT).unlink()
    assert _newest_checkpoint(work) == folder.parent / "checkpoint-10"
    assert [path.name for path in checkpoints(folder.parent)] == ["checkpoint-5", "checkpoint-10"]
    assert work.reporter.noticed == [
        "checkpoint-20 is damaged: its progress.json is gone. checkpoint-15 is damaged: its "
        f"{WEIGHTS} is not what was written; going on from checkpoint-10 instead."
    ]
    assert is_translated(work.reporter.noticed[0])
    for name in (HASHES_FILE, WEIGHTS):
        (folder.parent / "checkpoint-5" / name).unlink()
    overwrite(folder.parent / "checkpoint-10" / WEIGHTS)
    assert _newest_checkpoint(work) is None
    assert checkpoints(folder.parent) == []
    assert work.reporter.noticed[1].endswith("; starting from the beginning instead.")
