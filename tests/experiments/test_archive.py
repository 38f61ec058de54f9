"""An experiment as one file: another machine takes it in and repeats it, to the byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import write_reviews

from tunesmith.config.yaml import read_draft
from tunesmith.errors import DataError, NotFoundError, StateError
from tunesmith.experiments.archives.manifest import MANIFEST
from tunesmith.experiments.archives.packing import export_experiment
from tunesmith.experiments.archives.unpacking import import_archive
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.submission import enqueue, submit
from tunesmith.experiments.questions.repetition import compare_repetition, prepare_again
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    """Settings of another machine."""
    folder = tmp_path / "there"
    return Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{folder / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=folder / "cache",
    )


@pytest.fixture
def their_store(there: Settings) -> Iterator[Store]:
    with Store(there.store_url) as opened:
        yield opened


@pytest.fixture
def trained(
    classification: dict[str, Any], settings: Settings, store: Store, tmp_path: Path
) -> Experiment:
    data = write_reviews(tmp_path / "mine.csv", 80)
    asked = {
        **classification,
        "data": {**classification["data"], "dataset_name": str(data), "eval_samples": 20},
        "training": {**classification["training"], "num_train_epochs": 1},
    }
    prepared = prepare(read_draft(asked), settings)
    return execute(submit(prepared, store, settings).id, store, settings, prepared=prepared)


def test_another_machine_takes_it_in_and_repeats_it_to_the_byte_from_the_rows_in_it(
    trained: Experiment,
    store: Store,
    settings: Settings,
    their_store: Store,
    there: Settings,
    tmp_path: Path,
) -> None:
    packed = export_experiment(trained, tmp_path / "one.zip", settings)
    assert packed.with_data
    (tmp_path / "mine.csv").unlink()  # that machine has no such file
    taken = import_archive(packed.path, their_store, there)
    assert import_archive(packed.path, their_store, there) == taken
    assert (taken.id, taken.metrics) == (trained.id, trained.metrics)
    assert their_store.metrics(taken.id) == store.metrics(trained.id)
    assert {p.name for p in Path(str(taken.directory)).iterdir()} == {
        ".archive", "artifacts", "config.yaml", "data_report.json", "experiment.json",
        "history.jsonl", "logs.txt", "metrics.json",
    }  # fmt: skip
    again = prepare_again(taken, there)
    assert again.dataset.name == "mine@1"
    done = execute(submit(again, their_store, there).id, their_store, there, prepared=again)
    found = compare_repetition(taken, done, their_store, there)
    assert found.matched
    assert found.same_adapter is True

    bare = export_experiment(trained, tmp_path / "bare.zip", settings, data=False)
    assert not bare.with_data
    _damage(packed.path, tmp_path)
    record = ExperimentFolder(Path(str(taken.directory))).record
    record.write_text(record.read_text().replace(taken.id, "0" * 12))
    with pytest.raises(DataError, match="is another experiment: move it"):
        import_archive(packed.path, their_store, there)
    assert sorted(p.name for p in there.results_dir.iterdir() if p.name[0] == ".") == []


def _damage(whole: Path, folder: Path) -> None:
    """Archives that aren't what they say, or lead out of their place, are refused."""
    with zipfile.ZipFile(whole) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries[MANIFEST])
    config = "experiment/config.yaml"
    cases: dict[str, dict[str, bytes | None]] = {
        "is not what was packed": {config: b"other"},
        f"{config} is missing": {config: None},
        "is not to be trusted": {
            MANIFEST: json.dumps({**manifest, "files": {"../evil": "0"}}).encode()
        },
        "is of another format": {MANIFEST: json.dumps({**manifest, "format": 2}).encode()},
        "is no archive of an experiment": {MANIFEST: b"[]"},
    }
    for number, (said, changes) in enumerate(cases.items()):
        path = folder / f"damaged-{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**entries, **changes}.items():
                if content is not None:
                    archive.writestr(name, content)
        settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=folder / "nowhere")
        with Store(f"sqlite:///{folder / 'nowhere.db'}") as store:
            with pytest.raises(DataError, match=said):
                import_archive(path, store, settings)
            assert not store.list()
        assert not any((folder / "nowhere").glob("*"))
    assert not (folder / "evil").exists()


def test_what_waits_and_what_is_nowhere_cant_be_packed(
    classification: dict[str, Any], settings: Settings, store: Store, tmp_path: Path
) -> None:
    waiting = enqueue(read_draft(classification), store, settings)
    with pytest.raises(StateError, match="wait until it has ended"):
        export_experiment(waiting, tmp_path / "one.zip", settings)
    store.change_status(waiting.id, ExperimentStatus.CANCELLED, {ExperimentStatus.QUEUED})
    ExperimentFolder(Path(str(waiting.directory))).record.unlink()
    with pytest.raises(NotFoundError, match="on the machine that trained it"):
        export_experiment(store.get(waiting.id), tmp_path / "one.zip", settings)
    assert not (tmp_path / "one.zip").exists()


def _packed(
    at: Path, record: dict[str, Any], *, files: dict[str, bytes] | None = None, **manifest: Any
) -> Path:
    """An archive as anybody could write it, with an experiment of 12 zeros."""
    whole = {
        "id": "0" * 12, "name": "reviews", "status": "succeeded", "task": "text-classification",
        "model_name": "m", "dataset_name": "d", "created_at": "2026-11-01T00:00:00+00:00",
        "config": {"task": {"name": "text-classification"}, "model": {"name": "m"},
                   "data": {"dataset_name": "d"}},
        **record,
    }  # fmt: skip
    entries = {"experiment/experiment.json": json.dumps(whole).encode(), **(files or {})}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in entries.items()}
    told = {"format": 1, "experiment": "0" * 12, "folder": "reviews_1", "files": hashes, **manifest}
    path = at / f"{len(list(at.iterdir()))}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(told))
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_an_archive_gives_no_leave_to_run_code_and_says_not_whose_it_is(
    their_store: Store, there: Settings, tmp_path: Path
) -> None:
    config = {
        "task": {"name": "text-classification"}, "data": {"dataset_name": "d"},
        "model": {"name": "results/reviews_1/model", "trust_remote_code": True},
    }  # fmt: skip
    about = json.dumps({"name": "other", "owner": "root", "id": "1" * 12}).encode()
    evil = _packed(
        tmp_path,
        {"owner": "alice", "config": config, "queue": "cpu", "priority": 100},
        files={
            "experiment/config.yaml": yaml.safe_dump(config).encode(),
            "experiment/about.json": about,
        },
    )
    taken = import_archive(evil, their_store, there)
    assert (taken.owner, taken.queue, taken.priority, taken.id) == ("", None, 0, "0" * 12)
    assert taken.name == "other"
    assert taken.config["model"]["trust_remote_code"] is False
    written = yaml.safe_load((Path(str(taken.directory)) / "config.yaml").read_text())
    assert written["model"]["trust_remote_code"] is False
    assert import_archive(evil, their_store, there).id == taken.id, "twice is harmless"


@pytest.mark.parametrize("readable", [True, False])
def test_the_configuration_in_the_folder_is_that_of_the_record_whatever_was_sent(
    their_store: Store, there: Settings, tmp_path: Path, *, readable: bool
) -> None:
    sent = {
        "task": {"name": "text-classification"}, "data": {"dataset_name": "other"},
        "model": {"name": "somebody/else", "trust_remote_code": True},
    }  # fmt: skip
    config = {
        "task": {"name": "text-classification"}, "data": {"dataset_name": "d"},
        "model": {"name": "m", "trust_remote_code": False, **({} if readable else {"nme": "x"})},
    }  # fmt: skip
    evil = _packed(
        tmp_path,
        {"config": config},
        files={"experiment/config.yaml": yaml.safe_dump(sent).encode()},
    )
    taken = import_archive(evil, their_store, there)
    written = Path(str(taken.directory)) / "config.yaml"
    if readable:
        assert read_draft(written).config() == read_draft(taken.config).config()
        assert "somebody" not in written.read_text()
    else:
        assert not written.exists()
    assert import_archive(evil, their_store, there).id == taken.id, "twice is harmless"


def test_other_content_under_a_known_id_is_refused(
    their_store: Store, there: Settings, tmp_path: Path
) -> None:
    first = import_archive(_packed(tmp_path, {}), their_store, there)
    for other in (
        _packed(tmp_path, {"metrics": {"eval_accuracy": 1.0}}),
        _packed(tmp_path, {"metrics": {"eval_accuracy": 1.0}}, folder="reviews_2"),
    ):
        with pytest.raises(DataError, match="known here with other content"):
            import_archive(other, their_store, there)
    assert their_store.get(first.id).metrics == {}


def test_what_an_archive_may_not_be_is_refused_and_leaves_nothing(
    their_store: Store, there: Settings, tmp_path: Path
) -> None:
    whole = _packed(tmp_path, {})
    linked, twice, bomb = (tmp_path / f"{name}.zip" for name in ("linked", "twice", "bomb"))
    for path in (linked, twice, bomb):
        shutil.copy(whole, path)
    with zipfile.ZipFile(linked, "a") as archive:
        link = zipfile.ZipInfo("experiment/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(MANIFEST, "{}")
    with (
        zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("experiment/zeros", "w", force_zip64=True) as stream,
    ):
        for _ in range(70):
            stream.write(bytes(16 << 20))
    cases = {
        linked: "no plain file",
        twice: "names a file twice",
        bomb: "made to fill a disk",
        _packed(tmp_path, {}, files={"data/" + "x" * 2000: b""}): "names a file",
        _packed(tmp_path, {}, files={"experiment/.hidden": b""}): "names a file",
        _packed(tmp_path, {}, files={"elsewhere/a": b""}): "names a file",
        _packed(tmp_path, {}, files={"experiment/a\nb": b""}): "names a file",
        _packed(tmp_path, {}, folder="a\nb"): "names a folder",
        _packed(tmp_path, {}, experiment="../../etc"): "is no experiment's id",
        _packed(tmp_path, {}, experiment="1" * 12): "names another experiment",
        _packed(tmp_path, {}, padding="x" * (5 << 20)): "is larger than 4 MiB",
        _packed(tmp_path, {"status": "running"}): "has not ended",
        _packed(tmp_path, {"name": {"a": 1}}): "can't be read",
    }
    for path, said in cases.items():
        with pytest.raises(DataError, match=said):
            import_archive(path, their_store, there)
    assert not their_store.list()
    assert not there.results_dir.exists() or not list(there.results_dir.iterdir())
