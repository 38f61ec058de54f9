"""`tunesmith data` by the command's own entrance, and two versions of a dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import write_reviews

from tunesmith.cli.main import main


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `tunesmith data …` by the command's own entrance, in this test's folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("TUNESMITH_DATABASE_URL", "TUNESMITH_DATASETS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", "results")
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", "cache")

    def call(*arguments: str, columns: int = 120) -> Done:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["tunesmith", "data", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def ok(run: Run) -> Run:
    """`run` for commands that must succeed."""

    def call(*arguments: str, columns: int = 120) -> Done:
        done = run(*arguments, columns=columns)
        assert done.code == 0, done.err
        return done

    return call


@pytest.fixture
def two_versions(ok: Run, tmp_path: Path) -> Path:
    """reviews@1, and reviews@2 with one row relabelled and one more. The file of the second."""
    path = write_reviews(tmp_path / "reviews.csv", 40)
    ok("import", "reviews.csv", "--name", "reviews", "--description", "as it came")
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace(",good", ",bad")
    path.write_text("\n".join([*lines, "quite another review of it,good"]) + "\n")
    ok("import", "reviews.csv", "--name", "reviews")
    return path
