"""`tunesmith rerun`: the same bytes on the same machine; else where it first differs, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.conftest import write_reviews
from tests.store.records import NOON, experiment

from tunesmith.cli.experiments.rerun import rerun
from tunesmith.config.yaml import read_draft
from tunesmith.errors import StateError
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.submission import enqueue, submit
from tunesmith.experiments.questions.repetition import Step, compare_repetition
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Metric
from tunesmith.store.store import Store

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    monkeypatch.setenv("TUNESMITH_DATABASE_URL", settings.store_url)
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", str(settings.cache_dir))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner(env={"COLUMNS": "120"}).invoke(rerun, arguments)


@pytest.mark.slow
def test_the_same_machine_gives_the_same_bytes_and_other_data_are_named(
    run: Run, classification: dict[str, Any], settings: Settings, store: Store, tmp_path: Path
) -> None:
    data = write_reviews(tmp_path / "mine.csv", 80)
    asked = {
        **classification,
        "data": {**classification["data"], "dataset_name": str(data), "eval_samples": 20},
        "training": {**classification["training"], "num_train_epochs": 1},
    }
    prepared = prepare(read_draft(asked), settings)
    before = execute(submit(prepared, store, settings).id, store, settings, prepared=prepared)
    done = run(before.id)
    assert done.exit_code == 0, done.output
    assert "It matched: the adapter is the same to the byte" in done.output

    write_reviews(data, 80, seed=1)
    done = run(before.id)
    assert done.exit_code == 1, done.output
    text = " ".join(done.output.split())
    assert "It did not match. They first differ at step" in text
    assert "splits.train.hash" in text


def test_what_did_not_succeed_cannot_be_compared(
    run: Run, classification: dict[str, Any], settings: Settings, store: Store
) -> None:
    waiting = enqueue(read_draft(classification), store, settings)
    done = run(waiting.id)
    assert isinstance(done.exception, StateError)
    assert f"tunesmith experiments rerun {waiting.id}" in str(done.exception)


def test_another_package_or_device_is_named_beside_the_first_step_that_differs(
    settings: Settings, store: Store
) -> None:
    before = experiment(
        environment={"packages": {"torch": "2.12.0"}}, plan={"device": "cpu"}, score=0.75
    )
    again = replace(
        experiment(score=0.75),
        environment={"packages": {"torch": "2.13.0"}},
        plan={"device": "cuda:0"},
    )
    for each, third in ((before, 0.5), (again, 0.25)):
        store.create(each)
        store.add_metrics(
            [
                *(Metric(each.id, step, "loss", 1 / step, 0.0, NOON) for step in (1, 2)),
                Metric(each.id, 3, "loss", third, 0.0, NOON),
                Metric(each.id, 3, "cpu_percent", 100 * third, 0.0, NOON),
            ]
        )
    found = compare_repetition(before, again, store, settings)
    assert not found.matched
    assert found.first_difference == Step("loss", 3, 0.5, 0.25)
    assert (found.steps, found.same_adapter, found.same_score) == (3, None, True)
    assert {each.field: each.values for each in found.environment} == {
        "packages.torch": ("2.12.0", "2.13.0"),
        "plan.device": ("cpu", "cuda:0"),
    }
