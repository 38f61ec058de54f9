"""Copies of experiments' folders: in a folder, and in an S3 bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.s3_server import call, s3_server

from tunesmith.errors import NotFoundError, StorageError, UserError
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.layout import ABOUT, LAST_OF_CHECKPOINT
from tunesmith.files.mirror import Mirror
from tunesmith.training.trainer import PROGRESS_FILE


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(params=["file", "s3"])
def copies(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Copies:
    if request.param == "file":
        return Copies(f"file://{tmp_path / 'copies'}")
    server = request.getfixturevalue("server")
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNNTESTING",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    call("POST", f"{server}/moto-api/reset")
    call("PUT", f"{server}/bucket")
    return Copies("s3://bucket/some/experiments")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "reviews_1"
    (folder / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (folder / "logs.txt").write_text("one\n")
    (folder / "checkpoints" / "checkpoint-5" / "weights").write_bytes(bytes(3_000_000))
    (folder / "checkpoints" / "checkpoint-5" / LAST_OF_CHECKPOINT).write_text("{}")
    (folder / ".logs.txt.partial").write_text("half")
    return folder


def test_a_folder_is_copied_and_brought_to_another_machine(
    copies: Copies, folder: Path, tmp_path: Path
) -> None:
    Mirror(ExperimentFolder(folder, copies)).update()
    there = tmp_path / "there" / "reviews_1"
    copies.fetch("reviews_1", there)
    assert copies.size("reviews_1", "logs.txt") == 4
    assert copies.size("reviews_1", "nothing.txt") is None
    assert b"".join(copies.read("reviews_1", "logs.txt", 1, 3)) == b"ne"
    assert copies.files("reviews_1") == {
        "logs.txt": 4,
        "checkpoints/checkpoint-5/weights": 3_000_000,
        f"checkpoints/checkpoint-5/{LAST_OF_CHECKPOINT}": 2,
    }
    assert (there / "logs.txt").read_text() == "one\n"
    assert (there / "checkpoints/checkpoint-5/weights").stat().st_size == 3_000_000
    assert not (there / ".logs.txt.partial").exists()


def test_what_changed_is_copied_again_and_what_is_gone_is_deleted(
    copies: Copies, folder: Path, tmp_path: Path
) -> None:
    mirror = Mirror(ExperimentFolder(folder, copies))
    mirror.update()
    with (folder / "logs.txt").open("a") as stream:
        stream.write("two\n")
    for path in (folder / "checkpoints" / "checkpoint-5").iterdir():
        path.unlink()
    mirror.update()
    assert copies.files("reviews_1") == {"logs.txt": 8}
    there = tmp_path / "there" / "reviews_1"
    there.mkdir(parents=True)
    (there / "logs.txt").write_text("one\n")  # as this machine knew it before
    copies.fetch("reviews_1", there)
    assert (there / "logs.txt").read_text() == "one\ntwo\n"


def test_what_another_mirror_copied_is_deleted_when_it_is_gone(
    copies: Copies, folder: Path, tmp_path: Path
) -> None:
    Mirror(ExperimentFolder(folder, copies)).update()  # its process was killed
    there = tmp_path / "there" / "reviews_1"
    next_one = Mirror(ExperimentFolder(there, copies), copies.fetch("reviews_1", there))
    shutil.rmtree(there / "checkpoints")
    next_one.update()
    assert copies.files("reviews_1") == {"logs.txt": 4}


def test_what_another_mirror_made_later_is_not_deleted(copies: Copies, folder: Path) -> None:
    lost_its_lease = Mirror(ExperimentFolder(folder, copies), copies.fetch("reviews_1", folder))
    new = folder.parent / "elsewhere" / "reviews_1"
    new.mkdir(parents=True)
    (new / "metrics.json").write_text("{}")
    Mirror(ExperimentFolder(new, copies)).update()
    lost_its_lease.update()
    assert "metrics.json" in copies.files("reviews_1")


def test_what_people_say_of_it_comes_anew_and_is_never_copied_back(
    copies: Copies, folder: Path
) -> None:
    (folder / ABOUT).write_text('{"note": "the older one"}')
    Mirror(ExperimentFolder(folder, copies)).update()
    assert ABOUT not in copies.files("reviews_1")
    copies.put("reviews_1", ABOUT, b"{}")
    mirror = Mirror(ExperimentFolder(folder, copies), copies.fetch("reviews_1", folder))
    assert (folder / ABOUT).read_text() == "{}"
    copies.put("reviews_1", ABOUT, b"[]")
    mirror.update()
    assert b"".join(copies.read("reviews_1", ABOUT)) == b"[]"


def test_two_mirrors_may_delete_the_same_file(copies: Copies, folder: Path) -> None:
    one = Mirror(ExperimentFolder(folder, copies))
    one.update()
    other = Mirror(ExperimentFolder(folder, copies), copies.files("reviews_1"))
    (folder / "logs.txt").unlink()
    one.update()
    other.update()
    assert "logs.txt" not in copies.files("reviews_1")


@pytest.mark.parametrize("lost", ["weights", LAST_OF_CHECKPOINT])
def test_a_checkpoint_that_is_deleted_while_it_is_fetched_is_left_out(
    copies: Copies, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    Mirror(ExperimentFolder(folder, copies)).update()
    listed = copies.files

    def then_deleted(name: str) -> dict[str, int]:
        files = listed(name)
        copies.remove(name, [f"checkpoints/checkpoint-5/{lost}"])
        return files

    monkeypatch.setattr(copies, "files", then_deleted)
    there = tmp_path / "there" / "reviews_1"
    copies.fetch("reviews_1", there)
    assert (there / "logs.txt").read_text() == "one\n"
    assert not (there / "checkpoints" / "checkpoint-5" / LAST_OF_CHECKPOINT).exists()


def test_a_log_that_is_deleted_while_it_is_fetched_stays_here(
    copies: Copies, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there" / "reviews_1"
    there.mkdir(parents=True)
    (there / "logs.txt").write_text("on")
    monkeypatch.setattr(copies, "files", lambda name: {"logs.txt": 4})
    copies.fetch("reviews_1", there)
    assert (there / "logs.txt").read_text() == "on"


def test_a_deleted_folder_is_gone_and_others_stay(copies: Copies, folder: Path) -> None:
    other = folder.with_name("reviews_10")
    other.mkdir()
    (other / "logs.txt").write_text("other")
    for each in (folder, other):
        Mirror(ExperimentFolder(each, copies)).update()
    assert copies.delete("reviews_1", "0123456789ab")
    assert not copies.delete("reviews_1", "0123456789ab")
    assert copies.files("reviews_1") == {}
    assert copies.deleted() == [("reviews_1", "0123456789ab")]
    assert b"".join(copies.read("reviews_10", "logs.txt")) == b"other"
    with pytest.raises(NotFoundError):
        list(copies.read("reviews_1", "logs.txt"))


def test_an_address_that_can_not_be_one_is_refused_without_repeating_it() -> None:
    with pytest.raises(UserError, match="TUNESMITH_ARTIFACTS") as caught:
        Copies("gopher://user:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNNTESTING")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    call("POST", f"{server}/moto-api/reset")
    with pytest.raises(StorageError, match=r"can't be listed in s3://none: .*NoSuchBucket"):
        Copies("s3://none").files("reviews_1")


def test_the_file_that_makes_a_checkpoint_whole_is_the_one_that_training_writes_last() -> None:
    assert LAST_OF_CHECKPOINT == PROGRESS_FILE
