"""`tunesmith queue`, and what other commands say of an experiment that waits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tunesmith.cli.console.waiting import position
from tunesmith.cli.main import app
from tunesmith.config.yaml import read_draft
from tunesmith.errors import NotFoundError
from tunesmith.experiments.lifecycle.states import new_lease, this_process
from tunesmith.experiments.lifecycle.submission import enqueue, with_absolute_paths
from tunesmith.files.folder import ExperimentFolder
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.entities.service import Worker
from tunesmith.store.store import Store

Queue = Callable[..., Experiment]
WORKER = Worker(
    name="w-1", host="h", pid=1, devices=("cpu",), queues=("cpu",), slots=2, version="1"
)


@pytest.fixture(autouse=True)
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of this test, which the commands find in their environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("LOGNAME", "ana")
    monkeypatch.setenv("REDIS_PORT", "1")
    monkeypatch.setenv("COLUMNS", "200")
    return settings


@pytest.fixture
def queue(classification: dict[str, Any], store: Store, settings: Settings) -> Queue:
    """Queues an experiment of this name."""

    def put(name: str, after: str | None = None, **job: Any) -> Experiment:
        draft = read_draft({**classification, "experiment_name": name, "job": job})
        return enqueue(draft, store, settings, runs_after=after)

    return put


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed, catch_exceptions=False)


def take(store: Store) -> Experiment:
    taken = store.queue.take(
        ["cpu"], lease=new_lease(), worker="w-1", phase="training", **this_process()
    )
    assert taken is not None
    return taken


def test_the_queues_what_waits_and_who_trains_are_shown(store: Store, queue: Queue) -> None:
    assert "No worker; tunesmith up starts one" in run("queue").stdout
    store.queue.register(WORKER)
    store.queue.register(replace(WORKER, name="w-2", seen_at=utc_now() - timedelta(minutes=5)))
    first = queue("first")
    take(store)
    second, third = queue("second", after=first.id), queue("third", queue="gpu")
    shown = run("queue").stdout.splitlines()
    found = {id_: next(line for line in shown if id_ in line) for id_ in (second.id, third.id)}
    assert f"it runs after {first.id} (first), which is running" in found[second.id]
    assert found[second.id].split()[:2] == ["cpu", "1"]
    assert "no worker with a GPU takes from it" in found[third.id]
    trains = {line.split()[0]: line for line in shown if line.startswith("w-")}
    assert f"{first.id} first, training, 0%" in trains["w-1"]
    assert "no heartbeat for 0:05:0" in trains["w-2"]
    assert "2 of 2" not in "\n".join(shown)
    assert "1 of 2; --limit shows more" in run("queue", "--limit", "1").stdout


def test_a_queue_is_paused_and_continued_and_that_is_recorded(store: Store, queue: Queue) -> None:
    store.queue.register(WORKER)
    waiting = queue("mine")
    assert run("queue", "pause", "cpu").stdout == "cpu is paused; what runs goes on\n"
    assert "paused by ana" in run("queue").stdout
    shown = run("experiments", "show", waiting.id).stdout
    assert "number 1 in queue cpu; the queue is paused by ana" in shown
    assert "paused by ana" in run("experiments", "priority", waiting.id, "3").stdout
    assert store.queue.takeable(["cpu"]) == 0
    assert run("queue", "continue", "cpu").stdout == "cpu continues\n"
    assert "is paused by" not in run("experiments", "show", waiting.id).stdout
    assert store.queue.takeable(["cpu"]) == 1
    entries = [(e.actor, e.action, e.target) for e in store.access.entries()[0]]
    assert ("local:ana", "queue.pause", "cpu") in entries
    with pytest.raises(NotFoundError, match="did you mean cpu"):
        run("queue", "pause", "cpus")


def test_name_note_and_tags_are_changed_shown_and_listed(store: Store, queue: Queue) -> None:
    one, other = queue("mine"), queue("other")
    edit = ("experiments", "edit")
    run(*edit, other.id, "--tag", "b")
    said = run(*edit, "mine", "--name", "yours", "--note", "Why?", "--tag", "Gold", "--tag", "b")
    assert said.stdout == f"{one.id}  yours  queued, tagged b, Gold\n"
    assert run(*edit, "yours", "--untag", "gold").stdout.endswith(", tagged b\n")
    assert store.get(one.id).tags == ("b",)
    assert store.get(one.id).directory == one.directory
    run(*edit, one.id, "--tag", "c", "--note", "-", typed="line 1\nline 2\n")
    shown = run("experiments", "show", one.id).stdout
    assert "  tags c\n  note line 1\n       line 2\n" in shown
    listed = run("experiments", "list", "--tag", "C").stdout
    assert one.id in listed
    assert other.id not in listed
    assert "No experiment matches" in run("experiments", "list", "--tag", "none").stdout
    assert "nothing to change" in run(*edit, one.id).stderr
    with pytest.raises(NotFoundError, match="no tag 'd'"):
        run(*edit, one.id, "--untag", "d")


def test_a_place_that_was_just_left_has_no_number(store: Store, queue: Queue) -> None:
    waiting = queue("mine")
    take(store)
    assert position(waiting, store) == "in queue cpu"


def test_what_is_submitted_relative_to_a_folder_is_found_from_any_other(
    classification: dict[str, Any], store: Store, reviews: Path, tmp_path: Path
) -> None:
    shutil.copy(reviews, tmp_path / "mine.csv")
    shutil.copytree(classification["model"]["name"], tmp_path / "base")
    data = {**classification["data"], "dataset_name": "mine.csv"}
    config = {**classification, "data": data, "model": {"name": "./base"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    ended = run("submit", "--config", "config.yaml")
    assert "it waits: no worker takes from it" in ended.stdout
    (queued,) = store.list()
    assert (
        queued.dataset_name == queued.config["data"]["dataset_name"] == str(tmp_path / "mine.csv")
    )
    assert queued.model_name == str(tmp_path / "base")


@pytest.mark.parametrize("name", ["glue", "reviews@3", "package:some/data.csv", "gone.csv"])
def test_names_of_what_lies_nowhere_here_stay_as_they_are(
    name: str, classification: dict[str, Any], tmp_path: Path
) -> None:
    draft = read_draft(
        {**classification, "data": {"dataset_name": name}, "model": {"name": "org/model"}}
    )
    config = with_absolute_paths(draft).config()
    assert (config.data.dataset_name, config.model.name) == (name, "org/model")


def test_logs_beyond_the_object_store_are_shown(
    store: Store, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_ARTIFACTS", f"file://{tmp_path / 'bucket'}")
    waiting = queue("mine")
    assert waiting.directory is not None
    taken = take(store)
    assert taken.lease is not None
    store.queue.write(waiting.id, taken.lease, host="elsewhere", machine="0123456789abcdef")
    with pytest.raises(NotFoundError, match=r"no log yet \(.*bucket\)"):
        run("experiments", "logs", waiting.id)
    copy = ExperimentFolder(tmp_path / "bucket" / Path(waiting.directory).name)
    copy.path.mkdir(parents=True)
    copy.log.write_text("one\ntwo\nthrée\n")
    assert run("experiments", "logs", waiting.id, "-n", "2").stdout == "two\nthrée\n"


def test_following_one_that_waits_says_what_it_waits_for(store: Store, queue: Queue) -> None:
    waiting = queue("mine")
    store.queue.pause("cpu", "ana")
    following = subprocess.Popen(
        [sys.executable, "-m", "tunesmith.cli", "experiments", "logs", waiting.id, "-f"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert following.stderr is not None
    said = following.stderr.readline()
    assert said.startswith("mine  number 1 in queue cpu; the queue is paused by ana; no worker")
    ExperimentFolder(Path(str(waiting.directory))).log.write_text("begun\n")
    run("experiments", "cancel", waiting.id)
    output, _ = following.communicate(timeout=60)
    assert output == "begun\n"
    assert following.returncode == 0
