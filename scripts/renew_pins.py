"""Write constraints.txt: the version of every package, and the hashes of its files on the index.

    python scripts/renew_pins.py                  what pyproject.toml asks for; known versions stay
    python scripts/renew_pins.py --upgrade numpy  numpy in its newest version
    python scripts/renew_pins.py --upgrade        everything in its newest version

Needs uv (`pip install uv`), which finds versions that fit each other on Linux and macOS and every
Python we support. PyTorch stays without hashes: its build depends on the device and on the index.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path

from image_requirements import LEFT_OUT, requirements
from pins import FILE, pins

PROJECT = FILE.with_name("pyproject.toml")
HEAD = """\
# The exact versions that set-up and images install, with the hashes of their files, and what needs
# each: `base` is Tunesmith itself, `build` builds it; the others are extras and images. PyTorch's
# build (+cpu, CUDA) is chosen at installation. Written by scripts/renew_pins.py, read by
# scripts/pins.py. The starter's models and data are in requirements-starter.txt.
"""
NOT_LISTED = {
    "mlflow": "mlflow 3.18 needs a release of mlflow-skinny that isn't on the index",
    "trackio": "trackio 0.43 needs an older pillow than the other packages",
}
"""Extra → why set-up doesn't offer it."""

EDITABLE = "editables>=0.5"
"""What hatchling needs to install a project as editable."""

EVERYWHERE = (
    r"python_full_version < '3\.15'( and |$)",
    r"( and )?\(sys_platform == 'darwin' or sys_platform == 'linux'\)$",
)
"""What uv says of every package, because Tunesmith runs nowhere else (pyproject.toml, tool.uv)."""

Resolved = dict[str, str]
"""Name → its entry: `name==version`, a marker perhaps, its hashes."""


def resolve(wanted: Iterable[str], known: Collection[str], *, hashes: bool = False) -> Resolved:
    """Everything that the requirements `wanted` need, within the versions `known`."""
    with tempfile.TemporaryDirectory() as folder:
        asked, within = Path(folder, "asked.in"), Path(folder, "known.txt")
        asked.write_text("\n".join(wanted), encoding="utf-8")
        within.write_text("\n".join(known), encoding="utf-8")
        command = [shutil.which("uv") or "uv", "pip", "compile", "--quiet", str(asked)]
        command += ["--universal", "--python-version", "3.11", "--constraint", str(within)]
        command += ["--no-header", "--no-annotate", *(["--generate-hashes"] if hashes else [])]
        done = subprocess.run(
            command, cwd=PROJECT.parent, stdout=subprocess.PIPE, text=True, check=True
        )
    entries = re.findall(r"^\w.*(?:\n +--hash=.*)*", done.stdout, re.MULTILINE)
    plain = (re.sub(r" *; *(.*?)(?= \\|$)", _marker, entry, count=1) for entry in entries)
    return {entry.partition("==")[0]: entry for entry in plain}


def _marker(found: re.Match[str]) -> str:
    """A marker without what holds wherever Tunesmith runs."""
    marker = found[1]
    for known in EVERYWHERE:
        marker = re.sub(known, "", marker)
    return f" ; {marker}" if marker else ""


def comes_with_torch(name: str) -> bool:
    """Whether this is PyTorch, or a library of its CUDA build."""
    return name in {"torch", "triton"} or (
        name.startswith(("nvidia-", "cuda-")) and name != "nvidia-ml-py"
    )


def parts() -> dict[str, list[str]]:
    """Group → the requirements that it begins with."""
    document = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    base = document["project"]["dependencies"]
    optional = document["project"]["optional-dependencies"]
    extras = {name: base + lines for name, lines in optional.items() if name not in NOT_LISTED}
    images = {name: requirements(name) for name in LEFT_OUT}
    return {
        "base": base,
        "build": [*document["build-system"]["requires"], EDITABLE],
        **extras,
        **images,
    }


def renew(known: Collection[str]) -> str:
    """The text of constraints.txt, with the versions `known` where they still fit."""
    wanted = parts()
    every = resolve([line for lines in wanted.values() for line in lines], known, hashes=True)
    versions = [entry.split()[0] for entry in every.values()]
    needed = {group: resolve(lines, versions).keys() for group, lines in wanted.items()}
    text = HEAD
    for name, entry in every.items():
        if name == "torch":
            text += f"{entry.split()[0]}\n    # torch\n"
        if comes_with_torch(name):
            continue
        groups = [group for group in wanted if name in needed[group]]
        if "base" in groups:  # what an extra shares with Tunesmith itself is there already
            groups = [group for group in groups if group in {"base", "build", *LEFT_OUT}]
        text += f"{entry}\n    # {' '.join(groups)}\n"
    return text


def main() -> int:
    """Write the file; 0, or 1 where uv is missing or finds no versions that fit."""
    parser = argparse.ArgumentParser(description="Write constraints.txt with versions and hashes.")
    parser.add_argument("--upgrade", nargs="*", metavar="NAME", help="these, or everything")
    upgraded = parser.parse_args().upgrade
    known = [
        f"{pin.name}=={pin.version}"
        for pin in pins()
        if upgraded is None or (upgraded and pin.name not in upgraded)
    ]
    try:
        text = renew(known)
    except FileNotFoundError:
        print("uv finds the versions and is not installed: pip install uv", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print(f"{FILE.name} stays as it is: uv's reason stands above.", file=sys.stderr)
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
