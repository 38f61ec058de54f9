"""Who may read what Tunesmith writes: one rule for all of it, which a setting changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from tests.accounts import other_account, run_as_nobody
from tests.cli.conftest import Here


def modes(*places: Path) -> dict[str, str]:
    """Every file and folder at and under `places` → its mode."""
    found = [each for place in places for each in (place, *place.rglob("*"))]
    return {str(each): f"{each.stat().st_mode & 0o777:o}" for each in found}


@pytest.mark.parametrize(
    ("access", "file", "folder"), [("owner", "600", "700"), ("group", "640", "750")]
)
def test_every_file_of_a_training_and_an_export_has_the_same_mode(
    here: Here, classification: dict[str, object], tmp_path: Path,
    access: str, file: str, folder: str,
) -> None:  # fmt: skip
    os.umask(0o022)
    training = classification["training"]
    assert isinstance(training, dict)
    training["max_steps"] = 2
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(classification), encoding="utf-8")
    for command in (
        ["train", "--config", "c.yaml"],
        ["export", "latest", "--to", "merged", "-o", "merged"],
    ):
        done = here(*command, TUNESMITH_FILE_ACCESS=access)
        assert done.returncode == 0, done.stderr
    written = modes(*(tmp_path / name for name in ("results", "cache", "merged")))
    assert any(name.endswith("adapter_model.safetensors") for name in written)
    wrong = {
        name: mode
        for name, mode in written.items()
        if mode != (folder if Path(name).is_dir() else file)
    }
    assert not wrong


@other_account
def test_another_account_reads_nothing_unless_it_is_shared(here: Here, tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    store = tmp_path / "results" / "experiments.db"
    assert here("db", "upgrade").returncode == 0
    assert "ermission denied" in run_as_nobody("head", "-c1", str(store))
    shared = {"TUNESMITH_FILE_ACCESS": "all", "TUNESMITH_RESULTS_DIR": "all"}
    assert here("db", "upgrade", **shared).returncode == 0
    assert "ermission" not in run_as_nobody("head", "-c1", str(tmp_path / "all/experiments.db"))


def test_results_of_an_older_version_are_closed_to_strangers_and_it_is_said(
    here: Here, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    (results / ".tunesmith").mkdir(parents=True)
    results.chmod(0o775)
    assert "TUNESMITH_FILE_ACCESS" in here("db", "upgrade").stderr
    assert results.stat().st_mode & 0o777 == 0o700
    assert "TUNESMITH_FILE_ACCESS" not in here("db", "upgrade").stderr
    results.chmod(0o775)
    assert here("db", "upgrade", TUNESMITH_FILE_ACCESS="group").returncode == 0
    assert results.stat().st_mode & 0o777 == 0o770
