"""What is printed may lose its readers; what is done goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.store.store import Store

PRINTS = """
import sys
from tunesmith.cli.console.output import is_unread, outlive_readers
outlive_readers()
for number in range(20_000):
    print(number, "…")
    print(number, file=sys.stderr)
sys.stdout.flush()
open(sys.argv[1], "w").write(f"done {is_unread()}")
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_output_that_nobody_reads_ends_nothing(tmp_path: Path, encoding: str) -> None:
    done = tmp_path / "done"
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS, str(done)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    assert done.read_text() == "done True"


def test_a_training_goes_on_when_those_who_read_its_output_are_gone(
    tmp_path: Path, classification: dict[str, Any]
) -> None:
    config = tmp_path / "config.yaml"
    classification["training"] |= {"num_train_epochs": 1, "logging_steps": 1}
    config.write_text(yaml.safe_dump(classification))
    results = tmp_path / "results"
    variables = {**os.environ, "TUNESMITH_RESULTS_DIR": str(results)}
    with subprocess.Popen(
        [sys.executable, "-m", "tunesmith.cli", "train", "--config", str(config)],
        cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(240) == 0
    with Store(f"sqlite:///{results / 'experiments.db'}") as store:
        (experiment,) = store.list()
    assert experiment.status is ExperimentStatus.SUCCEEDED, experiment.reason
