"""What a clone promises before anything runs: targets, pins, licences, layers, set-up."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import packages
from check_licenses import closure
from environment import Environment, SetupError
from pins import pins
from renew_pins import NOT_LISTED, comes_with_torch, parts

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
    for name in ("setup.py", "environment.py", "packages.py", "pins.py"):
        shutil.copy(ROOT / "scripts" / name, project / "scripts" / name)
    return project


# -- make -------------------------------------------------------------------------------------


def test_make_alone_lists_every_promised_target_with_one_line() -> None:
    listed = run("make", "--no-print-directory", env={"MAKEFLAGS": ""})
    assert listed.returncode == 0, listed.stderr
    described = dict(re.findall(r"^  ([a-z0-9-]+) +(\S.*)$", listed.stdout, re.MULTILINE))
    assert set(PROMISED_TARGETS) <= described.keys()
    assert all(len(line) < 100 for line in listed.stdout.splitlines())


@pytest.fixture
def runs_ci(tmp_path: Path) -> Callable[[str], tuple[int, list[str]]]:
    """Runs `.ci/run` of a copy with a browser at hand and a `make` whose one target fails."""
    script = tmp_path / "clone" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", script)
    (programs := tmp_path / "programs").mkdir()

    def ci(failing: str) -> tuple[int, list[str]]:
        asked = tmp_path / "asked"
        asked.write_text("")
        for name, line in {
            "chromium": "",
            "make": f'echo "$1" >> {asked}; [ "$1" != {failing} ]',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{line}\n")
            (programs / name).chmod(0o755)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return run(script, env={"PATH": path}).returncode, asked.read_text().split()

    return ci


@pytest.mark.parametrize("failing", ["test", "lint", "nothing"])
def test_continuous_integration_tests_and_lints_and_fails_with_either(
    runs_ci: Callable[[str], tuple[int, list[str]]], failing: str
) -> None:
    assert runs_ci(failing) == (0 if failing == "nothing" else 1, ["test", "lint"])


def test_continuous_integration_brings_the_browser_that_the_tests_drive() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "apt-get install" in text
    assert "chromium" in text


def test_lint_checks_style_types_imports_licences_and_translations() -> None:
    shown = run("make", "--no-print-directory", "-n", "lint", env={"MAKEFLAGS": ""}).stdout
    for command in (
        "ruff check .", "ruff format --check .", "mypy", "lint-imports",
        "scripts/check_licenses.py", "scripts/translations.py --check",
    ):  # fmt: skip
        assert f"{command}\n" in shown, command


# -- what is installed ------------------------------------------------------------------------


def test_every_starter_package_is_pinned_and_carries_a_hash() -> None:
    text = (ROOT / "requirements-starter.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+(\s+--hash=sha256:[0-9a-f]{64})+", line)


def test_every_pinned_package_but_pytorch_carries_hashes() -> None:
    hashed = re.compile(r"\S+==\S+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")
    assert [pin.name for pin in pins() if not hashed.fullmatch(pin.requirement)] == ["torch"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(pins()) == sum("==" in line for line in lines if not line.startswith((" ", "#")))


def test_every_dependency_is_pinned_once_within_its_bounds() -> None:
    versions = {canonicalize_name(pin.name): pin.version for pin in pins()}
    assert len(versions) == len(pins())
    for text in {line for lines in parts().values() for line in lines}:
        wanted = Requirement(text)
        assert str(wanted.specifier).startswith(">="), text
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


@pytest.mark.parametrize("group", sorted(parts()))
def test_the_packages_of_a_group_are_listed_with_what_they_need(group: str) -> None:
    is_extra = group in PROJECT["project"]["optional-dependencies"]
    within = {group, "base"} if is_extra else {group}
    listed = {canonicalize_name(pin.name) for pin in pins() if pin.groups & within}
    needed = {item.name for item in closure(parts()[group]) if not comes_with_torch(item.name)}
    assert needed <= listed


def test_an_extra_is_pinned_or_it_is_said_why_not() -> None:
    assert parts().keys() | NOT_LISTED.keys() >= PROJECT["project"]["optional-dependencies"].keys()
    assert parts().keys().isdisjoint(NOT_LISTED)


@pytest.fixture
def one_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in a folder that is all that pip sees; it installs into another folder."""
    wheel = tmp_path / "index" / "madeup-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as made:
        about = "madeup-1.0.dist-info"
        made.writestr("madeup.py", "")
        made.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: madeup\nVersion: 1.0\n")
        made.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        made.writestr(f"{about}/RECORD", "")
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_TARGET": str(tmp_path / "installed"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pins.FILE", tmp_path / "constraints.txt")
    return wheel


def pin_to(digest: str, folder: Path) -> None:
    text = f"# a list\nmadeup==1.0 \\\n    --hash=sha256:{digest}\n    # base\n"
    (folder / "constraints.txt").write_text(text, encoding="utf-8")


def test_a_package_with_the_listed_hash_is_installed(one_package: Path, tmp_path: Path) -> None:
    pin_to(hashlib.sha256(one_package.read_bytes()).hexdigest(), tmp_path)
    packages.install_pinned(Environment(Path(sys.prefix), conda=False), set())
    assert (tmp_path / "installed" / "madeup.py").exists()


def test_a_package_with_another_hash_is_refused_and_it_is_said_what_to_do(
    one_package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin_to("0123456789abcdef" * 4, tmp_path)
    with pytest.raises(SetupError, match=r"pip config list.*renew_pins"):
        packages.install_pinned(Environment(Path(sys.prefix), conda=False), set())
    assert "madeup==1.0" in capsys.readouterr().err
    assert not (tmp_path / "installed").exists()


def test_a_need_that_no_list_names_stops_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (tmp_path / "backend.py").write_text(
        "import pathlib\n"
        "def build_editable(*arguments): raise AssertionError\n"
        "def prepare_metadata_for_build_editable(folder, settings=None):\n"
        "    about = pathlib.Path(folder, 'madeup-1.0.dist-info')\n"
        "    about.mkdir()\n"
        "    text = 'Metadata-Version: 2.1|Name: madeup|Version: 1.0|Requires-Dist: absent'\n"
        "    (about / 'METADATA').write_text(text.replace('|', '\\n'))\n"
        "    return about.name\n"
    )
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    with pytest.raises(packages.NoSuchBuildError, match=r"absent.*renew_pins"):
        packages.install_project(Environment(Path(sys.prefix), conda=False), set())


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


CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
LAYERS = {
    contract["containers"][0]: contract for contract in CONTRACTS if contract["type"] == "layers"
}
ALLOWED = {
    "ui": {"client", "schemas", "network", "errors", "messages", "names", "settings", "values"},
    "client": {"schemas", "errors", "messages"},
}
"""What of ours the page and the client may import."""


def test_every_room_with_several_parts_has_an_order_of_its_own() -> None:
    rooms = [path.parent.name for path in (ROOT / "src" / "tunesmith").glob("*/__init__.py")]
    flat = {"network", "schemas"}  # modules beside one another
    assert {f"tunesmith.{room}" for room in rooms if room not in flat} == {*LAYERS} - {"tunesmith"}


@pytest.mark.parametrize("package", LAYERS)
def test_the_import_layers_list_every_room(package: str) -> None:
    contract = LAYERS[package]
    assert contract["exhaustive"]
    listed = {room for layer in contract["layers"] for room in re.split(r"[|:\s]+", layer)}
    folder = ROOT / "src" / package.replace(".", "/")
    rooms = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert rooms == listed


@pytest.mark.parametrize("room", ALLOWED)
def test_the_page_and_the_client_may_import_what_travels_and_no_room_behind_the_api(
    room: str,
) -> None:
    known = [one for one in CONTRACTS if one.get("source_modules") == [f"tunesmith.{room}"]]
    rooms = {one for layer in LAYERS["tunesmith"]["layers"] for one in layer.split(" | ")}
    forbidden = {f"tunesmith.{one}" for one in rooms - ALLOWED[room] - {room}}
    assert [set(contract["forbidden_modules"]) for contract in known] == [forbidden]
    assert known[0]["type"] == "forbidden"


def test_every_import_contract_holds() -> None:
    checked = run(Path(sys.executable).with_name("lint-imports"))
    assert checked.returncode == 0, checked.stdout


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
        assert "No matching distribution found for " in asked.stderr
        assert "Traceback" not in asked.stderr
        assert not (project / ".venv" / "tunesmith-setup.json").exists()


def test_the_first_file_of_set_up_can_answer_an_old_python() -> None:
    source = (ROOT / "scripts" / "setup.py").read_text(encoding="utf-8")
    assert ast.parse(source, feature_version=(3, 6)).body  # SyntaxError where it can't
