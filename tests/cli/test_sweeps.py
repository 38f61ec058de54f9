"""`tunesmith sweep` and `tunesmith sweeps`, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tunesmith.cli.main import app
from tunesmith.experiments.sweeps.driving import tag_of
from tunesmith.schemas.enums import ExperimentStatus, TrialState
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.store import Store

S = ExperimentStatus


def run(*arguments: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.fixture(autouse=True)
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("REDIS_PORT", "1")
    monkeypatch.setenv("COLUMNS", "200")


def finish(one: Experiment, store: Store, value: float) -> None:
    """Record the end of its training."""
    interval = {"low": value - 0.05, "high": value + 0.05, "method": "Wilson", "rows": 40}
    score = {"metric": "accuracy", "value": value, "interval": interval}
    metrics = {"eval_accuracy": value, "score": score}
    store.change_status(one.id, S.SUCCEEDED, {S.QUEUED}, metrics=metrics, score=value)


def test_a_sweep_is_begun_once_shown_with_the_best_and_its_interval_and_cancelled(
    classification: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(classification))
    file = tmp_path / "sweep.yaml"
    asked = {
        "sweep_name": "ranks",
        "base": "base.yaml",
        "parameters": {"lora.r": {"choices": [4, 8, 16]}},
        "sampler": "grid",
        "parallel": 2,
    }
    file.write_text(yaml.safe_dump(asked))
    said = run("sweep", str(file), "--detach").output
    (sweep,) = store.sweeps.list()
    assert f"ranks  sweep {sweep.id}, detached" in said
    assert "no worker runs" in said
    run("sweep", str(file), "--detach")
    assert len(store.sweeps.list()) == 1  # the same file goes on with what runs
    (first,) = store.list()
    assert (first.name, first.tags) == ("ranks-0", (tag_of(sweep.id),))
    finish(first, store, 0.75)
    (trial,) = store.sweeps.trials(sweep.id)
    store.sweeps.end_trial(trial, TrialState.SUCCEEDED, value=0.75)
    said = run("sweeps", "show", "ranks").output
    assert "1 of 3 trials: 1 succeeded" in said
    assert "best: trial 0  0.750  0.700 to 0.800" in said
    assert sweep.id in run("sweeps", "list").output
    report = json.loads(run("sweeps", "show", sweep.id[:6], "--json").output)
    assert report["trials"][0]["parameters"] == {"lora.r": 8}
    assert "is cancelled" in run("sweeps", "cancel", "latest").output
    assert "cancelled" in run("sweeps", "list").output


def test_what_is_wrong_with_data_or_model_is_told_before_a_sweep_is_begun(
    classification: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    wrong = {**classification, "data": {"dataset_name": str(tmp_path / "nowhere.csv")}}
    asked = {"base": wrong, "parameters": {"lora.r": {"choices": [4]}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(asked))
    with pytest.raises(Exception, match=r"nowhere\.csv"):
        run("sweep", str(tmp_path / "sweep.yaml"), "--detach")
    assert store.sweeps.list() == []
