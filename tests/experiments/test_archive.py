"""An experiment as one file: another machine takes it in and repeats it, to the byte."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import write_reviews

from tunesmith.config.yaml import read_draft
from tunesmith.errors import DataError, NotFoundError, StateError
from tunesmith.experiments.archive import MANIFEST, export_experiment, import_archive
from tunesmith.experiments.execution import execute
from tunesmith.experiments.prepare import prepare
from tunesmith.experiments.repetition import compare_repetition, prepare_again
from tunesmith.experiments.submission import enqueue, submit
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus
from tunesmith.tracking.files import ExperimentFiles
from tunesmith.tracking.store import Store


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
        "artifacts", "config.yaml", "data_report.json", "experiment.json", "history.jsonl",
        "logs.txt", "metrics.json",
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
    record = ExperimentFiles(Path(str(taken.directory))).record
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
    ExperimentFiles(Path(str(waiting.directory))).record.unlink()
    with pytest.raises(NotFoundError, match="on the machine that trained it"):
        export_experiment(store.get(waiting.id), tmp_path / "one.zip", settings)
    assert not (tmp_path / "one.zip").exists()
