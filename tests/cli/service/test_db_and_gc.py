"""`tunesmith db` and `tunesmith gc`, as an operator types them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tunesmith.cli.main import app
from tunesmith.errors import DataError, StateError
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.database.schema import HEAD
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", "results")
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", str(tmp_path / "cache"))
    results = tmp_path / "results"
    results.mkdir()
    (results / "experiments.db").write_bytes(migrated_sqlite.read_bytes())


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=answer, catch_exceptions=False)


def opened() -> Store:
    return Store(Settings.read().store_url)


def record(name: str, *steps: int) -> Experiment:
    """An experiment that failed two hours ago, with whole checkpoints of a kilobyte."""
    folder = Path("results") / f"{name}_20260131_120000"
    experiment = Experiment(
        name=name, status=ExperimentStatus.FAILED, task="t", model_name="m", dataset_name="d",
        directory=str(folder.absolute()), finished_at=utc_now() - timedelta(hours=2),
    )  # fmt: skip
    for step in steps:
        checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(bytes(1000))
        (checkpoint / "trainer_state.json").write_text("{}")
        (checkpoint / "progress.json").write_text("{}")
    folder.mkdir(exist_ok=True)
    ExperimentFolder(folder).write_record(experiment)
    with opened() as store:
        store.create(experiment)
    return experiment


def actions() -> list[str]:
    with opened() as store:
        return [entry.action for entry in store.access.entries()[0]]


def test_a_backup_says_what_it_holds_and_what_it_does_not() -> None:
    record("one")
    said = run("db", "backup", "backups/store.db").stdout
    assert f"schema {HEAD}" in said
    assert "        1  experiments\n" in said
    assert f"experiments' files  {Path.cwd() / 'results'}" in said
    assert f"dataset versions    {Path.cwd() / 'results' / 'datasets'}" in said
    assert actions() == ["store.backup"]
    with pytest.raises(StateError, match="there already"):
        run("db", "backup", "backups/store.db")


def test_restoring_over_experiments_asks_first_and_keeps_what_was_there() -> None:
    first = record("first")
    run("db", "backup", "store.db")
    second = record("second")
    refused = run("db", "restore", "store.db", answer="n\n")
    assert "holds 2 experiments. Replace them all by store.db?" in refused.stdout
    assert refused.exit_code != 0
    with opened() as store:
        assert store.count() == 2
    said = run("db", "restore", "store.db", "--yes").stdout
    (kept,) = Path("results").glob("replaced-*.db")
    assert f"What it held is in {kept}" in said
    with opened() as store, Store(f"sqlite:///{kept}") as before:
        assert store.list() == [first]
        assert {one.id for one in before.list()} == {first.id, second.id}
    assert actions() == ["store.restore"]


@pytest.mark.parametrize("how", ["its head", "its pages", "no database"])
def test_a_backup_is_restored_over_a_damaged_store_which_is_kept_beside(how: str) -> None:
    first = record("first")
    run("db", "backup", "store.db")
    store_file = Path("results/experiments.db")
    whole = store_file.read_bytes()
    damaged = {
        "its head": b"\0" * 100 + whole[100:],
        "its pages": whole[:8192] + b"\xff" * (len(whole) - 8192),
        "no database": b"not a database" * 1000,
    }[how]
    for end in ("-wal", "-shm"):
        store_file.with_name(store_file.name + end).unlink(missing_ok=True)
    store_file.write_bytes(damaged)
    Path("bad.db").write_bytes(damaged)
    with pytest.raises(DataError):
        run("db", "restore", "bad.db", "--yes")
    assert store_file.read_bytes() == damaged
    asked = run("db", "restore", "store.db", answer="n\n")
    assert "The store is damaged" in asked.stdout
    assert asked.exit_code != 0
    assert store_file.read_bytes() == damaged
    said = run("db", "restore", "store.db", "--yes").stdout
    (kept,) = Path("results").glob("damaged-*.db")
    assert f"The damaged file is {kept}" in said
    assert kept.read_bytes() == damaged
    with opened() as store:
        assert store.list() == [first]
    assert actions() == ["store.restore"]


def test_upgrading_says_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"is at schema {HEAD} already" in run("db", "upgrade").stdout
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", "sqlite:///new.db")
    assert f"nothing → schema {HEAD}" in run("db", "upgrade").stdout


def test_what_is_left_over_is_shown_with_its_size_and_goes_only_when_told() -> None:
    record("one", 5, 10)
    shown = run("gc")
    spare = Path.cwd() / "results/one_20260131_120000/checkpoints/checkpoint-5"
    assert "checkpoint" in shown.stdout
    assert "1 thing, 1.0 kB, would go; tunesmith gc --delete deletes it" in shown.stderr
    assert spare.is_dir()
    assert actions() == []
    (line,) = run("gc", "--json").stdout.splitlines()
    assert json.loads(line) == {
        "kind": "checkpoint", "place": str(spare), "bytes": 1004, "why": "newer ones are whole",
    }  # fmt: skip
    assert "1 thing, 1.0 kB, deleted" in run("gc", "--delete").stderr
    assert not spare.exists()
    assert spare.with_name("checkpoint-10").is_dir()
    assert actions() == ["storage.gc"]
    assert "nothing would go" in run("gc", "--keep-checkpoints", "2").stderr
