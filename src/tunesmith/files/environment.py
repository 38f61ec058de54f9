"""What an experiment ran on: package versions, source commit, hardware."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from tunesmith.threads import given_cores

PACKAGES = (
    "tunesmith", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers",
    "safetensors", "numpy", "pyarrow", "bitsandbytes", "trl",
)  # fmt: skip

RESERVED = "local"
"""Stands for whoever is at this machine; no token is called so."""


def describe_environment(folder: Path) -> dict[str, Any]:
    """Versions, hardware, and the git commit of the working tree that `folder` is in, if any."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "git": _git(folder),
        "hardware": {
            "processor": _processor(),
            "cores": given_cores(),
            "memory_bytes": psutil.virtual_memory().total,
        },
    }


def user_name() -> str:
    """The name of who runs this process; `uid-1234` for one without a name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nothing in the environment, no entry in the system's list
        return f"uid-{os.getuid()}"


def this_person() -> str:
    """Who runs this process: `local:USER`, which neither a token nor a provider's account can be
    called."""
    return f"{RESERVED}:{user_name()}"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit of the working tree and whether it has changes; None outside of git."""
    try:
        commit = _run(folder, "rev-parse", "HEAD")
        changes = _run(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changes)}


def _run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()


def _processor() -> str:
    """The processor's name, as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
