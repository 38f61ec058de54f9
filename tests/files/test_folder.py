"""Where an experiment's folder lies, and what is read of it: here, or what others copied."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import DataError, NotFoundError, StorageError
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import ABOUT, PREDICTIONS
from tunesmith.files.machine import this_machine
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment

NAME = "reviews_20260131_120000"
OURS: dict[str, Any] = {"host": platform.node(), "machine": this_machine()}
THEIRS: dict[str, Any] = {"host": "elsewhere", "machine": "0123456789abcdef"}
S = ExperimentStatus


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Machines share their files."""
    return Settings(_env_file=None, TUNESMITH_RESULTS_DIR=str(tmp_path / "results"))


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    """Machines share no files, but an object store."""
    return settings.model_copy(update={"artifacts": f"file://{tmp_path}/bucket"})


def made_in(folder: Path, **fields: Any) -> Experiment:
    """A recorded experiment whose folder was made in `folder`."""
    made = folder / NAME
    made.mkdir(parents=True)
    one = Experiment(
        name="reviews", task="sft", model_name="m", dataset_name="d", directory=str(made),
        **{"status": S.SUCCEEDED, **fields},
    )  # fmt: skip
    ExperimentFolder(made).write_record(one)
    return one


def place(one: Experiment, settings: Settings) -> Path:
    return ExperimentFolder.of(one, settings).path


def test_it_lies_where_it_was_made_wherever_that_is(settings: Settings, tmp_path: Path) -> None:
    one = made_in(tmp_path / "imported from", **THEIRS)
    assert place(one, settings) == tmp_path / "imported from" / NAME


def test_it_is_found_in_the_results_folder_that_it_was_moved_to(
    settings: Settings, tmp_path: Path
) -> None:
    one = replace(made_in(settings.results_dir), directory=f"/nowhere/{NAME}")
    assert place(one, settings) == settings.results_dir / NAME
    another = replace(one, id="0" * 12)
    assert place(another, settings) == Path(f"/nowhere/{NAME}")
    (settings.results_dir / NAME / "experiment.json").write_text("damaged")
    assert place(one, settings) == settings.results_dir / NAME


def test_machines_that_share_no_files_have_each_their_own(apart: Settings, tmp_path: Path) -> None:
    one = made_in(tmp_path / "theirs", **THEIRS)
    assert place(one, apart) == apart.results_dir / NAME
    assert place(replace(one, **OURS, status=S.QUEUED), apart) == apart.results_dir / NAME


def test_what_ended_here_is_where_it_was_made_beside_an_object_store_too(
    apart: Settings, tmp_path: Path
) -> None:
    one = made_in(tmp_path / "before the results folder was another", **OURS)
    assert place(one, apart) == Path(str(one.directory))
    assert ExperimentFolder.of(one, apart).is_here


def test_one_without_a_folder_has_no_files(apart: Settings) -> None:
    apart.results_dir.mkdir()
    (apart.results_dir / "logs.txt").write_text("of nobody")
    one = Experiment(name="reviews", task="sft", model_name="m", dataset_name="d")
    folder = ExperimentFolder.of(one, apart)
    assert (folder.files(), folder.find("logs.txt"), folder.read_log(0, 9)) == ({}, None, (b"", 0))
    with pytest.raises(NotFoundError, match=f"{one.id} has no file artifacts/predictions"):
        next(folder.read_predictions())


def test_what_another_machine_copied_is_newer_than_what_lies_here(
    apart: Settings, tmp_path: Path
) -> None:
    one = made_in(apart.results_dir, **THEIRS)
    here = ExperimentFolder(Path(str(one.directory)))
    here.log.write_text("old\n")
    here.config.write_text("a: 1\n")
    copies = Copies.of(apart)
    assert copies is not None
    copies.put(NAME, "logs.txt", b"old\nnew\n")
    folder = ExperimentFolder.of(one, apart)
    assert folder.read_log(0, 100) == (b"old\nnew\n", 8)
    assert folder.files()["logs.txt"] == 8
    found = folder.find("config.yaml")
    assert found is not None
    assert b"".join(found.read(3, found.size)) == b"1\n"
    ours = ExperimentFolder.of(replace(one, **OURS), apart)
    assert ours.read_log(0, 100) == (b"old\n", 4)


def test_predictions_are_read_by_line_whatever_pieces_they_come_in(
    apart: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_in(apart.results_dir, **THEIRS)
    copies = Copies.of(apart)
    assert copies is not None
    lines = [f'{{"row": {n}, "text": "é{"x" * 50}"}}'.encode() for n in range(50)]
    copies.put(NAME, PREDICTIONS, b"\n".join(lines))  # without a newline at the end
    assert list(ExperimentFolder.of(one, apart).read_predictions()) == lines
    here = ExperimentFolder(Path(str(one.directory)))
    here.predictions.parent.mkdir()
    here.predictions.write_bytes(b"\n".join(lines) + b"\n")
    monkeypatch.setattr("tunesmith.files.folder.PIECE", 7)
    assert list(here.read_predictions()) == lines


def test_predictions_that_can_not_be_read_are_an_error_of_the_data(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_in(settings.results_dir)
    folder = ExperimentFolder.of(one, settings)
    folder.predictions.parent.mkdir()
    folder.predictions.write_text("{}\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=f"of experiment {one.id} can't be read: Permission"):
        list(folder.read_predictions())


def test_what_people_say_goes_to_the_copy_and_to_a_folder_that_is_here(
    apart: Settings, tmp_path: Path
) -> None:
    here = made_in(apart.results_dir, note="good", **OURS)
    folder = ExperimentFolder.of(here, apart)
    folder.write_about(here)
    assert folder.about.read_bytes() == b"".join(Copies(str(apart.artifacts)).read(NAME, ABOUT))
    assert folder.read_record().note == "good"
    there = replace(here, directory=str(tmp_path / "there" / "other_20260131_120000"), **THEIRS)
    ExperimentFolder.of(there, apart).write_about(there)
    assert Copies(str(apart.artifacts)).size("other_20260131_120000", ABOUT)
    assert not (apart.results_dir / "other_20260131_120000").exists()


def test_only_plain_files_are_walked_over(settings: Settings, tmp_path: Path) -> None:
    folder = ExperimentFolder(Path(str(made_in(settings.results_dir).directory)))
    (tmp_path / "secret").write_text("elsewhere")
    (folder.path / ".hidden").mkdir()
    (folder.path / ".hidden" / "file").touch()
    (folder.path / ".logs.txt.0a.partial").touch()
    (folder.path / "link").symlink_to(tmp_path / "secret")
    (folder.path / "linked").symlink_to(tmp_path)
    (folder.path / "a b").write_text("ab")
    assert {path: status.st_size for path, status in folder.walk() if path == "a b"} == {"a b": 2}
    assert [path for path, _ in folder.walk() if path != "a b"] == ["experiment.json"]


def test_a_folder_that_can_not_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/one can't be made: Not a directory"):
        ExperimentFolder(tmp_path / "file" / "one").make()
