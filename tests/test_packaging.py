"""What a clone promises before anything runs: targets, pins, licences, layers, set-up."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROMISED_TARGETS = (
    "help", "setup", "setup-conda", "run-local", "logs-local", "db-list", "analyze-metrics",
    "analyze-by-model", "analyze-by-dataset", "test", "lint", "format",
    "start-services", "stop-services", "restart-services", "logs-services", "k8s-quick-deploy",
    "k8s-port-forward", "k8s-dashboard", "k8s-status", "k8s-logs", "k8s-scale", "k8s-cleanup",
)  # fmt: skip


def run(
    *command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `env` is added to the environment."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def check_licences(
    *roots: str, installed_in: Path | None = None
) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(installed_in)} if installed_in else None
    return run(sys.executable, ROOT / "scripts" / "check_licenses.py", *roots, env=env)


def make_distribution(
    folder: Path, name: str, *, licence: str, requires: tuple[str, ...] = ()
) -> None:
    """Write the metadata of an installed distribution into `folder`."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", licence]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (about / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")


def bare_project(folder: Path) -> Path:
    """A copy of what set-up reads, without an environment."""
    project = folder / "project"
    (project / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "requirements-starter.txt"):
        shutil.copy(ROOT / name, project / name)
    for name in ("setup.py", "environment.py", "packages.py"):
        shutil.copy(ROOT / "scripts" / name, project / "scripts" / name)
    return project


# -- make -------------------------------------------------------------------------------------


def test_make_alone_lists_every_promised_target_with_one_line() -> None:
    listed = run("make", "--no-print-directory", env={"MAKEFLAGS": ""})
    assert listed.returncode == 0, listed.stderr
    described = dict(re.findall(r"^  ([a-z0-9-]+) +(\S.*)$", listed.stdout, re.MULTILINE))
    assert set(PROMISED_TARGETS) <= described.keys()
    assert all(len(line) < 100 for line in listed.stdout.splitlines())


def test_continuous_integration_runs_make_test_with_a_browser_at_hand() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert text.rstrip().endswith("\nmake test")
    assert "apt-get install" in text
    assert "chromium" in text


# -- what is installed ------------------------------------------------------------------------


def test_every_starter_package_is_pinned_and_carries_a_hash() -> None:
    text = (ROOT / "requirements-starter.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+(\s+--hash=sha256:[0-9a-f]{64})+", line)


def test_every_dependency_is_pinned_once_within_its_bounds() -> None:
    requirement = pytest.importorskip("packaging.requirements").Requirement
    canonical = pytest.importorskip("packaging.utils").canonicalize_name
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    pins = {canonical(name): version for name, version in pairs}
    assert len(pins) == len(pairs)
    extras = PROJECT["project"]["optional-dependencies"].values()
    for text in [
        *PROJECT["project"]["dependencies"],
        *(line for extra in extras for line in extra),
    ]:
        wanted = requirement(text)
        assert str(wanted.specifier).startswith(">="), text
        assert wanted.specifier.contains(pins[canonical(wanted.name)]), text


# -- licences ---------------------------------------------------------------------------------


def test_everything_needed_at_run_time_has_a_permissive_licence() -> None:
    checked = check_licences()
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "licence",
    [
        "License-Expression: GPL-3.0-only",
        "License-Expression: MIT AND AGPL-3.0-or-later",
        "License: GPLv3",
        "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
        "Classifier: License :: OSI Approved",
        "License: ask the author",
        "Summary: says nothing of its licence",
    ],
)
def test_a_dependency_without_a_permissive_licence_is_named_with_its_path(
    tmp_path: Path, licence: str
) -> None:
    make_distribution(tmp_path, "madeup-top", licence="License: MIT", requires=("madeup-deep",))
    make_distribution(tmp_path, "madeup-deep", licence=licence)
    checked = check_licences("madeup-top", installed_in=tmp_path)
    assert checked.returncode == 1
    offenders = checked.stdout.splitlines()[1:]
    assert len(offenders) == 1
    assert offenders[0].startswith("madeup-top → madeup-deep: ")


@pytest.mark.parametrize(
    "licence",
    [
        "License-Expression: GPL-2.0-only OR MIT",
        "License-Expression: Apache-2.0 WITH LLVM-exception AND BSD-3-Clause",
        "License: Apache 2.0 License",
        "Classifier: License :: OSI Approved :: MIT License",
    ],
)
def test_a_permissive_licence_is_recognised_wherever_it_is_stated(
    tmp_path: Path, licence: str
) -> None:
    make_distribution(tmp_path, "madeup-top", licence=licence)
    checked = check_licences("madeup-top", installed_in=tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_only_an_optional_dependency_may_be_absent(tmp_path: Path) -> None:
    requires = ("madeup-absent; extra == 'more'",)
    make_distribution(tmp_path, "madeup-top", licence="License: MIT", requires=requires)
    optional = check_licences("madeup-top[more]", installed_in=tmp_path)
    assert optional.returncode == 0
    assert "not checked: madeup-absent" in optional.stdout
    missing = check_licences("madeup-absent", installed_in=tmp_path)
    assert missing.returncode == 1


# -- layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "package"), [(0, "tunesmith"), (1, "tunesmith/data")])
def test_the_import_layers_list_every_room(number: int, package: str) -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][number]
    assert contract["exhaustive"]
    assert contract["containers"] == [package.replace("/", ".")]
    listed = {room for layer in contract["layers"] for room in re.split(r"[|:\s]+", layer)}
    folder = ROOT / "src" / package
    rooms = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert rooms == listed


# -- set-up -----------------------------------------------------------------------------------


def test_set_up_names_the_extras_there_are_when_asked_for_another(tmp_path: Path) -> None:
    project = bare_project(tmp_path)
    asked = run(sys.executable, "scripts/setup.py", "--extras", "develop", cwd=project)
    assert asked.returncode == 2
    assert "develop" in asked.stderr
    assert "dev" in asked.stderr.split("there are")[1]
    assert not (project / ".venv").exists()


def test_set_up_says_how_to_get_conda_where_there_is_none(tmp_path: Path) -> None:
    project = bare_project(tmp_path)
    nothing = {"PATH": str(tmp_path), "CONDA_EXE": ""}
    asked = run(sys.executable, "scripts/setup.py", "--conda", cwd=project, env=nothing)
    assert asked.returncode == 2
    assert "Miniforge" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_set_up_leaves_a_folder_alone_that_is_no_environment(tmp_path: Path) -> None:
    project = bare_project(tmp_path)
    precious = project / ".venv" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("three years of work", encoding="utf-8")
    asked = run(sys.executable, "scripts/setup.py", cwd=project)
    assert asked.returncode == 2
    assert "holds other things" in asked.stderr
    assert precious.exists()


@pytest.mark.slow
def test_a_failed_installation_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    project = bare_project(tmp_path)
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    for _ in range(2):
        asked = run(sys.executable, "scripts/setup.py", cwd=project, env=nowhere)
        assert asked.returncode == 1
        assert "No matching distribution found for torch" in asked.stderr
        assert "Traceback" not in asked.stderr
        assert not (project / ".venv" / "tunesmith-setup.json").exists()


def test_the_first_file_of_set_up_can_answer_an_old_python() -> None:
    source = (ROOT / "scripts" / "setup.py").read_text(encoding="utf-8")
    assert ast.parse(source, feature_version=(3, 6)).body  # SyntaxError where it can't
