"""What docs/operations.md promises: its table is that of the settings, and its commands work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.settings_table import PAGE, with_table

from tunesmith.api.http import prometheus
from tunesmith.cli.main import app
from tunesmith.files.folder import ExperimentFolder
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store

TEXT = PAGE.read_text(encoding="utf-8")


COMMAND = """#!/bin/bash
printf '%s\\0' "${TUNESMITH_DATABASE_URL-}" "$@" > bin/asked
read -r code < bin/answered
cat bin/said
exit "$code"
"""
"""Stands for `tunesmith`: hands its arguments to this process, which has all imported already."""


def run_in_bash(script: str) -> tuple[int, str]:
    """Run `script` in bash, in this folder: its exit code, and all that it printed."""
    commands, output = Path("bin").absolute(), Path("output.txt")
    commands.mkdir()
    asked, answered = commands / "asked", commands / "answered"
    os.mkfifo(asked)
    os.mkfifo(answered)
    (commands / "tunesmith").write_text(COMMAND)
    (commands / "tunesmith").chmod(0o755)
    with output.open("wb") as stream:
        bash = subprocess.Popen(
            ["bash", "-euxo", "pipefail", "-c", f"trap 'printf end > bin/asked' EXIT\n{script}"],
            env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
            stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
    while (words := asked.read_text()) != "end":
        url, *arguments, _ = words.split("\0")
        result = CliRunner().invoke(app, arguments, env={"TUNESMITH_DATABASE_URL": url or None})
        (commands / "said").write_text(f"{result.output}{result.exception or ''}")
        answered.write_text(f"{result.exit_code}\n")
    return bash.wait(), output.read_text()


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert with_table(TEXT) == TEXT, "python -m tests.settings_table writes it anew"


def test_each_setting_and_each_metric_that_is_named_exists() -> None:
    settings = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert not set(re.findall(r"\bTUNESMITH_[A-Z_]+", TEXT)) - settings
    metrics = Path(str(prometheus.__file__)).read_text(encoding="utf-8")
    for name in re.findall(r"\btunesmith_[a-z_]+", TEXT.partition("## Monitoring")[2]):
        assert f'"{name.removesuffix("_total")}"' in metrics, name


def test_its_commands_do_what_they_say_in_the_order_in_which_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    with Store(f"sqlite:///{results / 'experiments.db'}") as store:
        experiment = Experiment(
            name="reviews", status=ExperimentStatus.FAILED, task="text-classification",
            model_name="m", dataset_name="reviews.csv", finished_at=utc_now(),
            directory=str(results / "reviews_20260131_120000"),
        )  # fmt: skip
        store.create(experiment)
    files = ExperimentFolder(Path(str(experiment.directory)))
    files.path.mkdir()
    files.write_record(experiment)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TUNESMITH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    ran, said = run_in_bash("\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)))
    assert ran == 0, said
    assert re.search(r"monday\.db  [\d,]+ bytes, schema \d{4}\n +1  experiments", said)
    assert "restored from backups/monday.db" in said
    assert "nothing would go" in said
    assert "is at schema" in said
    backups = {path.name for path in (tmp_path / "backups").iterdir()}
    assert {"monday.db", "before-upgrade.db"} < backups
    with Store(f"sqlite:///{tmp_path / 'restored' / 'experiments.db'}") as store:
        assert store.list() == [experiment]
        assert [state.name for state in store.queue.states() if state.paused] == []
