"""What is refused before a training, and how an experiment comes back from its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import write_reviews
from tests.experiments.lifecycle.test_life import Asked

import tunesmith
from tunesmith.config.yaml import read_draft
from tunesmith.errors import (
    ConfigError,
    DataError,
    StateError,
)
from tunesmith.experiments.archives.importing import import_folder
from tunesmith.experiments.lifecycle.execution import execute
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.lifecycle.reconcile import reconcile
from tunesmith.experiments.lifecycle.resuming import resumable
from tunesmith.experiments.lifecycle.submission import submit
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.store import Store


def test_an_experiment_comes_back_from_its_folder_when_the_database_is_lost(
    classification: Asked, settings: Settings, tmp_path: Path
) -> None:
    trained = tunesmith.train(classification, settings=settings)
    with Store(settings.store_url) as store:
        before = store.get(trained.id)
        history = store.metrics(trained.id)
    with Store(f"sqlite:///{tmp_path / 'new.db'}") as store:
        for _ in range(2):  # twice does no harm
            import_folder(trained.path, store)
        assert store.get(trained.id) == before
        assert store.metrics(trained.id) == history


def test_a_folder_without_an_experiment_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no experiment"):
        import_folder(tmp_path, store)


def test_an_experiment_whose_process_is_gone_is_failed_with_the_way_to_resume_it(
    classification: Asked, settings: Settings, store: Store
) -> None:
    experiment = submit(prepare(read_draft(classification), settings), store, settings)
    store.change_status(
        experiment.id, ExperimentStatus.RUNNING, {ExperimentStatus.QUEUED},
        pid=2**22 + 1, host=__import__("platform").node(), process_started=1.0,
    )  # fmt: skip
    (ended,) = reconcile(store, settings)
    assert ended.status is ExperimentStatus.FAILED
    assert f"tunesmith train --resume {experiment.id}" in str(ended.reason)
    assert reconcile(store, settings) == []


def test_resuming_is_refused_after_success_and_when_data_or_configuration_changed(
    classification: Asked, settings: Settings, store: Store, tmp_path: Path
) -> None:
    data = write_reviews(tmp_path / "mine.csv", 100)
    asked = {**classification, "data": {**classification["data"], "dataset_name": str(data)}}
    experiment = submit(prepare(read_draft(asked), settings), store, settings)
    with pytest.raises(StateError, match="waits in the queue"):
        resumable(experiment, settings)
    cancelled = store.change_status(
        experiment.id, ExperimentStatus.CANCELLED, {ExperimentStatus.QUEUED}
    )
    assert resumable(cancelled, settings).dataset.hash == experiment.dataset_hash
    original = data.read_text()
    data.write_text(original + "one more story,good\n")
    with pytest.raises(StateError, match="was changed"):
        resumable(cancelled, settings)
    data.write_text(original)
    config = Path(str(experiment.directory)) / "config.yaml"
    assert "  report_to: []\n" in config.read_text()
    config.write_text(config.read_text().replace("  report_to: []\n", ""))
    training = {k: v for k, v in experiment.config["training"].items() if k != "report_to"}
    of_before = replace(cancelled, config={**experiment.config, "training": training})
    assert resumable(of_before, settings).dataset.hash == experiment.dataset_hash
    config.write_text(config.read_text().replace("seed: 42", "seed: 43"))
    with pytest.raises(StateError, match=r"its config\.yaml was changed"):
        resumable(cancelled, settings)


def test_a_succeeded_experiment_is_not_run_again(
    classification: Asked, settings: Settings, store: Store
) -> None:
    trained = tunesmith.train(classification, settings=settings, epochs=1)
    with pytest.raises(StateError, match="succeeded and can't become running"):
        execute(trained.id, store, settings)


def test_what_is_wrong_with_fields_data_and_model_is_told_together(
    classification: Asked, settings: Settings
) -> None:
    asked = {
        **classification,
        "model": {"name": classification["model"]["name"], "num_labels": 3},
        "lora": {"r": 0, "target_modules": ["q_lin", "v_ln"]},
        "data": {**classification["data"], "max_length": 999},
        "trainig": {"seed": 1},
    }
    with pytest.raises(ConfigError) as caught:
        tunesmith.train(asked, settings=settings)
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {
        "lora.r", "trainig", "model.num_labels", "lora.target_modules", "data.max_length",
    }  # fmt: skip
    assert "did you mean v_lin?" in str(caught.value)


@pytest.mark.parametrize("separator", [None, ";"])
def test_a_label_nobody_named_is_refused_or_dropped_among_several_too(
    separator: str | None, classification: Asked, settings: Settings, tmp_path: Path
) -> None:
    labels: list[Any] = [["good"], ["bad"], ["good", "bad"], ["odd", "good"]]
    rows = [
        {"text": f"film number {i}", "label": (separator or "").join(kinds) if separator else kinds}
        for i in range(40)
        for kinds in [labels[i % 4]]
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"multi_label": True, "labels": ["good", "bad"], "label_separator": separator or ","}
    asked = {
        **classification,
        "task": {"name": "text-classification", **task},
        "data": {"dataset_name": str(path), "eval_samples": 8, "max_length": 32},
    }
    with pytest.raises(ConfigError, match=r"10 rows .*odd.*unknown_labels: drop"):
        prepare(read_draft(asked), settings)
    dropped = prepare(
        read_draft(asked, assignments=["data.validation_rules.unknown_labels=drop"]), settings
    )
    assert dropped.dataset.report.counts["unknown_labels"] == 10
    assert dropped.config.model.num_labels == 2
