"""A store, folders, a registry and an archive that version 0.1 left open as before."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from tests.cli.conftest import Here

LEFT_BY_0_1 = Path(__file__).parent.parent / "kept" / "tunesmith-0.1.zip"
CLASSIFIER, CHAT, FAILED = "466497f91453", "c640fd3c25cf", "6008215fe746"
SWEEP = "9d57b5c39566"
REVIEW = "the plot is superb"


@pytest.fixture
def left(here: Here, tmp_path: Path) -> Here:
    """The command in a folder with everything that 0.1 left, moved from where it was made."""
    with zipfile.ZipFile(LEFT_BY_0_1) as packed:
        packed.extractall(tmp_path)
    return here


def test_its_store_lists_every_experiment_with_its_score(left: Here) -> None:
    done = left("experiments", "list", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["id"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert {one["status"] for one in found.values()} == {"succeeded", "failed"}
    assert found[CLASSIFIER]["score"] == 0.5
    assert found[CHAT]["score"] == pytest.approx(0.583, abs=1e-3)
    assert found[CHAT]["tags"] == ["kept"]


@pytest.mark.parametrize("experiment", [CLASSIFIER, CHAT, FAILED])
def test_each_of_its_experiments_is_shown(left: Here, experiment: str) -> None:
    done = left("experiments", "show", experiment)
    assert done.returncode == 0, done.stderr
    assert experiment in done.stdout


def test_its_experiments_are_compared(left: Here) -> None:
    done = left("compare", "rates-0", "rates-1")
    assert done.returncode == 0, done.stderr


def test_its_sweep_registry_and_dataset_versions_are_shown(left: Here) -> None:
    swept = left("sweeps", "show", SWEEP)
    assert swept.returncode == 0, swept.stderr
    assert "93153606f49e" in swept.stdout
    registered = left("adapters", "show", "support")
    assert registered.returncode == 0, registered.stderr
    assert "staging" in registered.stdout
    assert "reviews" in left("data", "versions").stdout


def test_its_folders_are_taken_in_where_they_lie_now_and_their_adapters_answer(left: Here) -> None:
    taken = left("experiments", "import", "results")
    assert taken.returncode == 0, taken.stderr
    said = left("predict", CLASSIFIER, "--text", REVIEW)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["answer"] in ("good", "bad")
    said = left("predict", "support@staging", "--text", REVIEW)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["answer"]


def test_its_archive_is_taken_in_by_an_empty_store(left: Here, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    taken = left("experiments", "import", "chat.zip", TUNESMITH_RESULTS_DIR=elsewhere)
    assert taken.returncode == 0, taken.stderr
    shown = left("experiments", "show", CHAT)
    assert shown.returncode == 0, shown.stderr


def test_its_configuration_trains_again(left: Here) -> None:
    (config,) = Path("results").glob("reviews_*/config.yaml")
    done = left("train", "--config", str(config), "training.max_steps=2")
    assert done.returncode == 0, done.stderr
