"""What people say of an experiment: changed, kept in its folder, and come back from there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import add_experiment

from tunesmith.errors import ConfigError, NotFoundError
from tunesmith.experiments.archives.importing import import_folder
from tunesmith.experiments.lifecycle import control
from tunesmith.experiments.lifecycle.edits import differences, read_edit, without
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import ABOUT
from tunesmith.files.writing import write_text
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

EDIT = {"name": "other", "note": "Why?\nBecause.", "tags": ["Gold", " team a ", "gold"]}


def folder_of(experiment: Experiment) -> Path:
    return Path(str(experiment.directory))


def said(experiment: Experiment) -> tuple[str, str, tuple[str, ...]]:
    return experiment.name, experiment.note, experiment.tags


def test_every_problem_of_an_edit_is_told_with_its_path() -> None:
    wrong = {"name": "a b", "note": "\x1b[2J", "tags": ["fine", " ", "x" * 51, "a\nb", 5], "tag": 1}
    with pytest.raises(ConfigError) as caught:
        read_edit(wrong)
    problems = {problem.field: problem for problem in caught.value.problems}
    assert list(problems) == ["name", "note", "tags.1", "tags.2", "tags.3", "tags.4", "tag"]
    assert "1 to 100 letters" in str(problems["name"])
    assert problems["tag"].suggestion == "tags"
    for one in ({"name": "影" * 80}, {"note": "a" * 10_001}, {"tags": [str(n) for n in range(21)]}):
        with pytest.raises(ConfigError, match=next(iter(one))):
            read_edit(one)
    assert read_edit({"note": "a" * 10_000, "tags": []}).tags == []


def test_a_tag_that_is_not_there_can_not_be_taken_off() -> None:
    assert without(["GOLD"], ["gold", "b"]) == ("b",)
    with pytest.raises(NotFoundError, match="did you mean gold"):
        without(["golt"], ["gold", "b"])


def test_what_was_said_outlives_the_database_and_what_trains(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    before = add_experiment(store, settings, status=ExperimentStatus.RUNNING)
    edited = control.edit(before.id, store, settings, read_edit(EDIT))
    assert edited == replace(before, name="other", note="Why?\nBecause.", tags=("Gold", "team a"))
    assert differences(before, edited) == {
        "changed": ["name", "note", "tags"], "name": "other", "was": before.name,
    }  # fmt: skip
    folder = folder_of(edited)
    assert folder.is_dir()
    ExperimentFolder(folder).write_record(replace(before, status=ExperimentStatus.FAILED))
    with Store(f"sqlite:///{tmp_path / 'new.db'}") as new:
        for _ in range(2):
            assert said(import_folder(folder, new)) == said(edited)
            assert said(new.get(before.id)) == said(edited)


def test_importing_a_folder_that_holds_nothing_said_keeps_what_the_store_says(
    store: Store, settings: Settings
) -> None:
    before = add_experiment(store, settings)
    edited = store.edit(before.id, name="other", note="why", tags=["a"])
    import_folder(folder_of(before), store)
    assert store.get(before.id) == edited


def test_of_two_edits_at_once_the_folder_holds_what_the_store_does(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = add_experiment(store, settings)
    written: list[Path] = []

    def overtaken(path: Path, text: str) -> None:
        if not written:
            store.edit(one.id, note="the later one")
        written.append(path)
        write_text(path, text)

    monkeypatch.setattr("tunesmith.files.folder.write_text", overtaken)
    now = control.edit(one.id, store, settings, read_edit({"note": "the earlier one"}))
    assert now.note == "the later one"
    assert json.loads((folder_of(one) / ABOUT).read_text())["note"] == "the later one"


def test_what_is_said_on_a_machine_without_the_folder_goes_to_the_copy(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    address = f"file://{tmp_path / 'artifacts'}"
    here = settings.model_copy(update={"artifacts": address, "results_dir": tmp_path / "here"})
    one = add_experiment(store, settings)
    values: dict[str, Any] = {**EDIT, "name": None}
    control.edit(one.id, store, here, read_edit(values))
    copied = b"".join(Copies(address).read(folder_of(one).name, ABOUT))
    assert json.loads(copied) == {
        "name": one.name, "note": EDIT["note"], "tags": ["Gold", "team a"],
    }  # fmt: skip
    assert not (folder_of(one) / ABOUT).exists()
