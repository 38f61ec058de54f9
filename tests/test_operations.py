"""What docs/operations.md promises: its table is that of the settings, and its commands work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.settings_table import PAGE, with_table

from tunesmith.api import prometheus
from tunesmith.settings import Settings
from tunesmith.tracking.entities import Experiment, ExperimentStatus, utc_now
from tunesmith.tracking.files import ExperimentFiles
from tunesmith.tracking.store import Store

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert with_table(TEXT) == TEXT, "python -m tests.settings_table writes it anew"


def test_each_setting_and_each_metric_that_is_named_exists() -> None:
    settings = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert not set(re.findall(r"\bTUNESMITH_[A-Z_]+", TEXT)) - settings
    metrics = Path(str(prometheus.__file__)).read_text(encoding="utf-8")
    for name in re.findall(r"\btunesmith_[a-z_]+", TEXT):
        assert f'"{name.removesuffix("_total")}"' in metrics, name


def test_its_commands_do_what_they_say_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with Store(f"sqlite:///{results / 'experiments.db'}") as store:
        experiment = Experiment(
            name="reviews", status=ExperimentStatus.FAILED, task="text-classification",
            model_name="m", dataset_name="reviews.csv", finished_at=utc_now(),
            directory=str(results / "reviews_20260131_120000"),
        )  # fmt: skip
        store.create(experiment)
    files = ExperimentFiles(Path(str(experiment.directory)))
    files.folder.mkdir()
    files.write_record(experiment)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "tunesmith").write_text(f'#!/bin/sh\nexec {sys.executable} -m tunesmith.cli "$@"\n')
    (commands / "tunesmith").chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "REDIS"))}
    path = f"{commands}:{os.environ['PATH']}"
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    ran = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path, env={**kept, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"monday\.db  [\d,]+ bytes, schema \d{4}\n +1  experiments", ran.stdout)
    assert "restored from backups/monday.db" in ran.stdout
    assert "nothing would go" in ran.stderr
    assert "is at schema" in ran.stdout
    backups = {path.name for path in (tmp_path / "backups").iterdir()}
    assert {"monday.db", "before-upgrade.db"} < backups
    with Store(f"sqlite:///{tmp_path / 'restored' / 'experiments.db'}") as store:
        assert store.list() == [experiment]
        assert [state.name for state in store.jobs.states() if state.paused] == []
