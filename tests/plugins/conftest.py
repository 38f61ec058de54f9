"""Packages of somebody else, as pip leaves them: modules, and the metadata of a distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tunesmith.jobs.services.ports import free_port

TOY = Path(__file__).with_name("toy") / "toy_tunesmith"
ENTRY_POINTS = {
    "tunesmith.tasks": {"toy-share": "toy_tunesmith.share:Share"},
    "tunesmith.rules": {"toy_shouting": "toy_tunesmith.shouting:Shouting"},
    "tunesmith.exporters": {"toy-arrays": "toy_tunesmith.arrays:Arrays"},
}

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """The metadata of a distribution `name` 1.0, with these entry points, in `folder`."""
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
            for group, named in points.items()
        )
    )


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the toy package installed in it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(TOY, folder / TOY.name, ignore=shutil.ignore_patterns("__pycache__"))
    install(folder, "toy-tunesmith", ENTRY_POINTS)
    return folder


def environment(folder: Path, *sites: Path) -> dict[str, str]:
    """Where a command finds the packages in `sites`, and keeps everything in `folder`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "HF_"))}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, sites)),
        "TUNESMITH_RESULTS_DIR": str(folder / "results"),
        "TUNESMITH_CACHE_DIR": str(folder / "cache"),
        "REDIS_PORT": str(free_port()),
        "API_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


def commands(folder: Path, *sites: Path) -> Command:
    """Runs `tunesmith` in `folder`; it must succeed, unless `fails` is given."""
    variables = environment(folder, *sites)

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tunesmith.cli", *arguments],
            cwd=folder, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    return run
