"""Labels judged by trainings that left their rows out: the whole set, and its file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.conftest import write_reviews

from tunesmith.cli.main import app
from tunesmith.config.yaml import read_draft
from tunesmith.errors import ConfigError
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.experiments.questions.label_errors import judge_labels
from tunesmith.settings import Settings


def test_other_tasks_than_classification_are_refused(
    chat: dict[str, Any], settings: Settings
) -> None:
    with pytest.raises(ConfigError, match="labels are judged where each row has one of several"):
        judge_labels(prepare(read_draft(chat), settings), 2, settings)


@pytest.mark.slow
def test_every_row_is_judged_by_a_training_without_it(
    classification: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    path = write_reviews(tmp_path / "flipped.csv", 400)
    lines = path.read_text().splitlines()
    wrong = set(range(7, 400, 16))  # lines count from 0, with a header: as rows from 1
    for number in wrong:
        text, _, label = lines[number].rpartition(",")
        lines[number] = f"{text},{'good' if label == 'bad' else 'bad'}"
    path.write_text("\n".join(lines) + "\n")
    steady = {"num_train_epochs": 6, "load_best_model_at_end": True}
    asked = {**classification, "training": {**classification["training"], **steady}}
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump(asked))
    output = tmp_path / "found.csv"
    arguments = ["data", "label-errors", str(path), "-c", str(tmp_path / "asked.yaml")]
    done = CliRunner().invoke(
        app, [*arguments, "--folds", "3", "--output", str(output), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rows_judged"] == 400
    assert found["wrong_share"]["low"] <= len(wrong) / 400 <= found["wrong_share"]["high"]
    with output.open(newline="") as stream:
        rows = [int(row["row"]) for row in csv.DictReader(stream)]
    assert len(rows) == found["found"]
    assert len(wrong.intersection(rows)) >= 0.8 * len(wrong)
    assert found["precision"]["low"] <= len(wrong.intersection(rows)) / len(rows)
    assert len(wrong.intersection(rows)) / len(rows) <= found["precision"]["high"]
