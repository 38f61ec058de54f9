"""The environment that set-up makes: where it is, whether it is whole, what it was made from."""

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pins import FILE as PINS
from pins import groups

OLDEST_PYTHON = (3, 11)
CONDA_PYTHON = "3.11"
ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
STARTER = ROOT / "requirements-starter.txt"
SCRIPTS = tuple(
    ROOT / "scripts" / name for name in ("setup.py", "environment.py", "packages.py", "pins.py")
)


class SetupError(Exception):
    """Raised when an installation failed; trying again may help. Exit code 1."""

    exit_code = 1


class MissingError(SetupError):
    """Raised when the machine lacks something that only its owner can put there. Exit code 2."""

    exit_code = 2


@dataclass(frozen=True)
class Environment:
    """A virtual environment, or a Conda environment, of this project."""

    folder: Path
    conda: bool

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / "tunesmith-setup.json"

    def python_version(self) -> tuple[int, ...]:
        """Major and minor version of its Python, read from its folders; empty without one."""
        for library in self.folder.glob("lib/python3.*"):
            return tuple(int(part) for part in library.name.removeprefix("python").split("."))
        return ()

    def is_sound(self) -> bool:
        """Whether it was made whole, at this place: a moved environment points to where it was."""
        try:
            head = (self.folder / "bin" / "pip").read_bytes()[:1000]
        except OSError:
            return False
        here = os.fsencode(self.folder / "bin")
        return here in head and self.python.exists() and self.python_version() >= OLDEST_PYTHON


def say(text: str) -> None:
    print(text, flush=True)


def accelerator_hint() -> str:
    """What the device depends on, seen without starting anything: a change means look again."""
    signs = [name for name in ("/dev/nvidiactl", "/dev/dxg") if Path(name).exists()]
    return " ".join([sys.platform, platform.machine(), shutil.which("nvidia-smi") or "", *signs])


def detect_device() -> str:
    """`cuda`, `mps` or `cpu`: what this machine can train on."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
        )
        if listed.returncode == 0 and "GPU " in listed.stdout:
            return "cuda"
    return "cpu"


def known_extras() -> set[str]:
    """The optional parts whose packages are pinned."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return groups() & set(project.get("optional-dependencies", {}))


def fingerprint(environment: Environment) -> str:
    """Hash of everything that decides what is installed, except the extras."""
    document = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    deciding = {key: document.get(key) for key in ("project", "build-system")}
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode())
    for file in (PINS, STARTER, *SCRIPTS):
        digest.update(file.read_bytes())
    digest.update(repr((environment.python_version(), accelerator_hint())).encode())
    return digest.hexdigest()


def read_stamp(environment: Environment) -> dict[str, Any]:
    try:
        stamp = json.loads(environment.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(environment: Environment, extras: set[str]) -> None:
    text = json.dumps({"fingerprint": fingerprint(environment), "extras": sorted(extras)})
    beside = environment.stamp.with_suffix(".new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(environment.stamp)


def is_up_to_date(environment: Environment, extras: set[str]) -> bool:
    """Whether all that is wanted is there; more extras than wanted are no reason to install."""
    stamp = read_stamp(environment)
    return (
        extras <= set(stamp.get("extras", ()))
        and environment.is_sound()
        and stamp.get("fingerprint") == fingerprint(environment)
    )


def find_conda() -> str:
    for name in (os.environ.get("CONDA_EXE"), "conda", "mamba", "micromamba"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise MissingError(
        "No conda, mamba or micromamba is installed. Miniforge brings conda with free packages "
        "(look for 'conda-forge Miniforge'); install it, open a new terminal and try again. "
        "`make setup` needs no conda."
    )


def remove_environment(environment: Environment) -> None:
    """Remove what stands in the environment's place, if an environment is what it is."""
    folder = environment.folder
    if not folder.exists() and not folder.is_symlink():
        return
    marks = ("pyvenv.cfg", "conda-meta")
    if folder.is_symlink() or not folder.is_dir():
        raise MissingError(f"{folder} is no usable environment; move it away and try again.")
    if any(folder.iterdir()) and not any((folder / mark).exists() for mark in marks):
        raise MissingError(f"{folder} holds other things; move it away and try again.")
    say(f"Removing {folder.name}, which was moved, left unfinished or made by an old Python")
    shutil.rmtree(folder)


def make_environment(environment: Environment) -> None:
    """Make the empty environment.

    Raises MissingError when Python lacks venv or there is no conda, SetupError when making fails.
    """
    if environment.conda:
        command = [find_conda(), "create", "--yes", "--quiet", "--prefix", str(environment.folder)]
        command += ["--override-channels", "--channel", "conda-forge"]
        command += [f"python={CONDA_PYTHON}", "pip"]
    else:
        if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
            version = ".".join(map(str, sys.version_info[:2]))
            raise MissingError(
                f"Python {version} at {sys.executable} can't make virtual environments: its venv "
                f"or ensurepip module is missing. On Debian and Ubuntu: "
                f"sudo apt-get install python{version}-venv"
            )
        # The Python that runs this may lie inside the environment that was just removed.
        base = getattr(sys, "_base_executable", None) or sys.executable
        command = [base, "-m", "venv", "--prompt", "tunesmith", str(environment.folder)]
    remove_environment(environment)
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"Making {environment.folder.name} failed; the reason stands above.")
    # Version control need not know of it, whatever the project's own ignore file says.
    (environment.folder / ".gitignore").write_text("*\n", encoding="utf-8")
