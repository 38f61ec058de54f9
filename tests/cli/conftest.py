"""The command by its own entrance, in the tests' process: libraries are loaded once for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tunesmith.cli.main import main
from tunesmith.jobs.services.ports import free_port


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


Here = Callable[..., Done]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    """Run `tunesmith` with arguments, and variables as keywords, in this test's folder."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("TUNESMITH_", "HF_", "REDIS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("TUNESMITH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("REDIS_PORT", str(free_port()))
    monkeypatch.setenv("API_PORT", str(free_port()))
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str, **variables: str) -> Done:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tunesmith", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call
