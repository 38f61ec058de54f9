"""What commands change is in the audit trail, with who typed them."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.api.serving import free_port

from tunesmith.cli.main import app
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Filters
from tunesmith.store.store import Store

CONFIG = """
experiment_name: reviews
task: text-classification
model: {name: some/model}
data: {dataset_name: reviews@1}
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("REDIS_PORT", str(free_port()))
    Path("config.yaml").write_text(CONFIG, encoding="utf-8")


def run(*arguments: str) -> None:
    CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_what_commands_do_to_experiments_is_written_down() -> None:
    me = f"local:{getpass.getuser()}"
    run("submit", "--config", "config.yaml", "--no-check")
    with Store(Settings.read().store_url) as store:
        (first,) = store.list()
        assert first.owner == me
    for command in ("front", "cancel", "resume", "cancel", "retry", "rerun"):
        run("experiments", command, first.id)
    run("experiments", "priority", first.id, "7")
    run("experiments", "cancel", first.id)
    run("experiments", "edit", first.id, "--note", "a secret")
    run("experiments", "delete", first.id, "--yes")
    with Store(Settings.read().store_url) as store:
        entries, _ = store.access.entries()
        (again,) = store.list(Filters())
    assert [entry.action.removeprefix("experiment.") for entry in reversed(entries)] == [
        "submit", "front", "cancel", "resume", "cancel", "retry", "rerun", "priority", "cancel",
        "edit", "delete",
    ]  # fmt: skip
    assert {(entry.actor, entry.target) for entry in entries} == {(me, first.id)}
    assert [dict(entry.details) for entry in entries[:5]] == [
        {"name": "reviews"}, {"changed": ["note"]}, {}, {"priority": 7}, {"new": again.id},
    ]  # fmt: skip
    # No token can be called so: nobody who holds one owns what was queued here.
    assert again.owner == me


def test_an_import_is_written_down() -> None:
    rows = "".join(f"this is review number {n},{n % 2}\n" for n in range(20))
    Path("reviews.csv").write_text("text,label\n" + rows, encoding="utf-8")
    run("data", "import", "reviews.csv", "--name", "reviews")
    with Store(Settings.read().store_url) as store:
        (entry,), _ = store.access.entries()
    assert (entry.action, entry.target) == ("dataset.import", "reviews@1")
    assert entry.details == {"new": True, "file": "reviews.csv"}
