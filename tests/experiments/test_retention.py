"""Retention: what is left over goes, never what a live or resumable experiment needs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.records import change

from tunesmith.errors import StateError
from tunesmith.experiments.cleanup.leftovers import Kind, Leftover
from tunesmith.experiments.cleanup.retention import DAY, Policy, find_leftovers
from tunesmith.experiments.cleanup.spare_checkpoints import spare_checkpoints
from tunesmith.experiments.lifecycle import control
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import DAMAGED, LAST_OF_CHECKPOINT
from tunesmith.files.mirror import Mirror
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store
from tunesmith.training.checkpoints import checkpoints

S = ExperimentStatus
RESUMABLE = (S.FAILED, S.CANCELLED)
STEPS = (5, 10, 20)
"""Steps with a checkpoint: as text, 10 and 20 would come before 5."""

Layout = Mapping[int, bool]
"""Step → whether its checkpoint is whole."""

NONE: Layout = {}
LAYOUTS: list[Layout] = [
    {step: whole for step, whole in zip(STEPS, choice, strict=True) if whole is not None}
    for choice in itertools.product((None, False, True), repeat=3)
]
BESTS = (None, *STEPS)


def recorded(
    store: Store,
    settings: Settings,
    name: str,
    status: ExperimentStatus,
    layout: Layout = NONE,
    *,
    best: int | None = None,
    days: float = 10.0,
) -> Experiment:
    """An experiment that ended so many days ago, with a folder like a real one's."""
    files = ExperimentFolder(settings.results_dir / f"{name}_20260131_120000")
    files.checkpoints.mkdir(parents=True)
    for step, whole in layout.items():
        folder = files.checkpoints / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(bytes(step))
        state = {"best_global_step": best} if step % 2 else {
            "best_model_checkpoint": best and f"/elsewhere/checkpoint-{best}"
        }  # fmt: skip
        (folder / "trainer_state.json").write_text(json.dumps(state))
        if whole:
            (folder / LAST_OF_CHECKPOINT).write_text("{}")
    files.log.write_text("what happened")
    files.adapter.mkdir(parents=True)
    (files.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    ended = None if status.is_live else utc_now() - timedelta(days=days)
    experiment = Experiment(
        name=name, status=status, task="t", model_name="m", dataset_name="d", queue="cpu",
        directory=str(files.path), finished_at=ended, lease="a" if status is S.RUNNING else None,
    )  # fmt: skip
    store.create(experiment)
    files.write_record(experiment)
    return experiment


def files_of(experiment: Experiment) -> ExperimentFolder:
    return ExperimentFolder(Path(str(experiment.directory)))


def state_of(folder: Path) -> dict[str, str]:
    """Path → hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def needed(experiment: Experiment) -> dict[str, str]:
    """The files without which it can't be looked at, or gone on with, as before."""
    files = files_of(experiment)
    found = state_of(files.path)
    if experiment.status.is_live:
        return found
    kept = set()
    if experiment.status in RESUMABLE:
        whole = [c for c in checkpoints(files.checkpoints) if (c / LAST_OF_CHECKPOINT).is_file()]
        for newest in whole[-1:]:
            state = json.loads((newest / "trainer_state.json").read_text())
            best = state.get("best_global_step") or (state.get("best_model_checkpoint") or "-")
            kept = {newest.name, f"checkpoint-{str(best).rpartition('-')[2]}"}
    return {
        path: content
        for path, content in found.items()
        if not path.startswith("checkpoints/") or path.split("/")[1] in kept
    }


def age(path: Path, days: float) -> Path:
    """Let `path`, and all in it, have changed last so many days ago."""
    moment = time.time() - days * DAY
    for each in (*path.rglob("*"), path):
        os.utime(each, (moment, moment), follow_symlinks=False)
    return path


def remove(found: Iterable[Leftover]) -> list[Leftover]:
    """What went."""
    return [one for one in found if one.remove()]


def kinds(found: Iterable[Leftover]) -> dict[str, str]:
    return {Path(one.place).name: str(one.kind) for one in found}


def test_whatever_checkpoints_there_are_what_lives_or_can_be_resumed_keeps_what_it_needs(
    store: Store, settings: Settings
) -> None:
    made = [
        recorded(store, settings, f"{status}-{number}-{best}", status, layout, best=best)
        for status, (number, layout), best in itertools.product(S, enumerate(LAYOUTS), BESTS)
        if status is S.FAILED or best is None
    ]
    before = {one.id: needed(one) for one in made}
    whole = sum(map(_bytes, made))
    found = find_leftovers(store, settings, Policy())
    assert sum(map(_bytes, made)) == whole, "looking changes nothing"
    assert remove(found) == found
    assert whole - sum(map(_bytes, made)) == sum(one.size for one in found)
    assert {one.id: state_of(files_of(one).path) for one in made} == before
    assert find_leftovers(store, settings, Policy()) == []


def _bytes(experiment: Experiment) -> int:
    folder = files_of(experiment).path
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_the_newest_whole_checkpoints_stay_as_many_as_was_said_each_with_its_best(
    keep: int,
) -> None:
    for layout, best in itertools.product(LAYOUTS, BESTS):
        found = {f"checkpoint-{step}": whole for step, whole in layout.items()}
        state = json.dumps({"best_global_step": best}).encode()
        spare = spare_checkpoints(found, keep, lambda _, state=state: state)  # type: ignore[misc]
        newest = sorted(step for step, whole in layout.items() if whole)[-keep:] if keep else []
        kept = {*newest, best} if newest else set()
        assert set(spare) == {f"checkpoint-{step}" for step in layout if step not in kept}


def test_a_checkpoint_that_does_not_say_which_was_its_best_keeps_all_of_them() -> None:
    found = {"checkpoint-5": True, "checkpoint-10": True, "notes": False}
    for text in (b"", b"[]", b'{"best_global_step": null, "best_model'):
        assert spare_checkpoints(found, 1, lambda name, text=text: text) == ()  # type: ignore[misc]
    assert spare_checkpoints(found, 1, lambda name: b"{}") == ["checkpoint-5"]
    assert spare_checkpoints(found, 0, lambda name: b"") == ["checkpoint-5", "checkpoint-10"]


def test_after_the_days_that_were_said_the_last_checkpoint_goes_too_and_nothing_else(
    store: Store, settings: Settings
) -> None:
    layout = {5: True, 10: True}
    old = recorded(store, settings, "old", S.FAILED, layout, days=31)
    young = recorded(store, settings, "young", S.CANCELLED, layout, days=29)
    just = recorded(store, settings, "just", S.SUCCEEDED, layout, days=0.01)
    (files_of(young).checkpoints / f".checkpoint-15{DAMAGED}").mkdir()
    remove(find_leftovers(store, settings, Policy(checkpoint_days=30)))
    assert [path.name for path in files_of(young).checkpoints.iterdir()] == ["checkpoint-10"]
    assert [path.name for path in checkpoints(files_of(old).checkpoints)] == []
    assert len(checkpoints(files_of(just).checkpoints)) == 2, "its process may be clearing up"
    assert files_of(old).log.exists()
    assert files_of(old).adapter.is_dir()


def begin_and_fail(experiment: Experiment, store: Store, settings: Settings) -> None:
    """Retry it; it trains to the checkpoints that it had, and fails again."""
    control.retry(experiment.id, store)
    taken = store.queue.take(["cpu"], lease="b", worker="w", host="h", phase="")
    assert taken is not None
    store.change_status(experiment.id, S.FAILED, {S.RUNNING}, under="b", lease=None)


def resume(experiment: Experiment, store: Store, settings: Settings) -> None:
    control.resume(experiment.id, store)


def delete(experiment: Experiment, store: Store, settings: Settings) -> None:
    control.delete(experiment.id, store, settings)


@pytest.mark.parametrize("what", [begin_and_fail, resume, delete])
def test_what_begins_between_looking_and_deleting_is_not_touched(
    store: Store, settings: Settings, what: Any, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"artifacts": f"file://{tmp_path / 'copies'}"})
    one = recorded(store, settings, "one", S.FAILED, {5: True, 10: True})
    config = {"model": {"name": "m"}, "data": {"dataset_name": "d"}}
    change(store, one.id, config=config)
    one = replace(one, config=config)
    Mirror(ExperimentFolder(files_of(one).path, Copies.of(settings))).update()
    found = find_leftovers(store, settings, Policy())
    assert [Path(each.place).name for each in found] == ["checkpoint-5"] * 2  # here, and its copy
    what(one, store, settings)
    before = state_of(tmp_path)
    assert remove(found) == []
    after = state_of(tmp_path)
    for path in before.keys() | after.keys():
        assert "experiments.db" in path or before.get(path) == after.get(path), path


def test_copies_in_the_object_store_go_by_the_same_rules(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"artifacts": f"file://{tmp_path / 'copies'}"})
    copies = Copies(str(settings.artifacts))
    layout = {5: True, 10: True, 20: False}
    made = [recorded(store, settings, str(status), status, layout, best=5) for status in S]
    for one in made:
        Mirror(ExperimentFolder(files_of(one).path, copies)).update()
    before = {one.id: needed(one) for one in made}
    found = find_leftovers(store, settings, Policy())
    assert remove(found) == found
    for one in made:
        folder = files_of(one).path
        assert state_of(folder) == before[one.id]
        assert set(copies.files(folder.name)) == set(before[one.id])


def test_what_nobody_refers_to_goes_once_it_is_a_day_old_and_never_before(
    store: Store, settings: Settings
) -> None:
    one = recorded(store, settings, "kept", S.SUCCEEDED)
    results = settings.results_dir

    def make(path: str, text: str = "x") -> Path:
        file = settings.cache_dir / path if path.startswith("models/") else results / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    record = files_of(one).record.read_text()
    unknown = record.replace(one.id, "0" * 12)
    left_over = [
        make("begun_20260101_000000/config.yaml").parent,
        make("uploads/0123/upload").parent,
        make(".deleted-gone_20260101_000000/experiment.json", unknown).parent,
        make("data_reports/reviews/.report.json.partial"),
        make("models/.big.abc/weights").parent,
    ]
    needed_by_somebody = [
        files_of(one).path,
        make(".deleted-kept_20260101_000000/experiment.json", record).parent,
        make("lost_20260101_000000/experiment.json", unknown).parent,
        make("datasets/reviews/_delta_log/0.json").parent,
        make("data_reports/reviews/report.json"),
        make("my_own_folder/notes.txt").parent,
        make("models/big/weights").parent,
    ]
    assert find_leftovers(store, settings, Policy()) == []
    for path in (*left_over, *needed_by_somebody):
        age(path, 2)
    found = find_leftovers(store, settings, Policy())
    assert {Path(each.place) for each in found} == set(left_over)
    (left_over[0] / "config.yaml").write_text("somebody is about to record it")
    assert len(remove(found)) == len(left_over) - 1
    assert all(path.exists() for path in needed_by_somebody)


def test_folders_that_the_store_does_not_know_go_only_when_told_and_never_all_of_them(
    store: Store, settings: Settings
) -> None:
    lost = recorded(store, settings, "lost", S.SUCCEEDED)
    store.delete(lost.id)
    age(files_of(lost).path, 2)
    assert find_leftovers(store, settings, Policy()) == []
    with pytest.raises(StateError, match="holds no experiment: is it the right one"):
        find_leftovers(store, settings, Policy(unrecorded=True))
    recorded(store, settings, "other", S.SUCCEEDED)
    found = find_leftovers(store, settings, Policy(unrecorded=True))
    assert [one.kind for one in found] == [Kind.UNRECORDED]
    store.create(lost)
    assert remove(found) == [], "it was imported meanwhile"
    store.delete(lost.id)
    assert remove(found) == found
    assert not files_of(lost).path.exists()


def test_the_cache_loses_what_was_not_used_for_long_but_no_model_that_is_trained_on(
    store: Store, settings: Settings
) -> None:
    for name, days in {"adapters/old": 31, "adapters/young": 29, "models/old": 31}.items():
        folder = settings.cache_dir / name
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(10))
        age(folder, days)
    for name, days in {"old.jsonl": 31, "young.jsonl": 29}.items():
        rows = settings.cache_dir / "encoded" / name
        rows.parent.mkdir(exist_ok=True)
        rows.write_text("{}\n")
        age(rows, days)
    one = recorded(store, settings, "one", S.RUNNING)
    change(store, one.id, model_name="/models/llama.GGUF")
    found = find_leftovers(store, settings, Policy())
    assert [Path(one.place).name for one in found] == ["old", "old.jsonl"]
    change(store, one.id, model_name="m")
    found = find_leftovers(store, settings, Policy())
    assert len(remove(found)) == 3
    assert (settings.cache_dir / "adapters" / "young").exists()
    assert [file.name for file in (settings.cache_dir / "encoded").iterdir()] == ["young.jsonl"]
