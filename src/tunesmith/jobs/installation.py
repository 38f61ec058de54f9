"""What `tunesmith doctor` looks at first: Python and the packages, while nothing else may import.

Only the standard library and `packaging` are needed here.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from packaging.requirements import Requirement

PYTHON = (3, 11)

SHOWN = ("torch", "transformers", "peft", "accelerate", "celery")
"""Packages whose versions are shown: what people are asked for in a bug report."""


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, though less well than it could, or isn't started."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What was found of one thing; `advice` says what to do about it."""

    name: str
    state: State
    message: str
    advice: str = ""


def look_at_installation() -> Iterator[Finding]:
    """Look at Python and the packages; never raises what it came to find."""
    yield from _python()
    yield from _packages()


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < PYTHON:
        needed = ".".join(map(str, PYTHON))
        yield Finding("python", State.PROBLEM, version, f"install Python {needed} or newer")
    else:
        yield Finding("python", State.OK, f"{version} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    wrong = []
    for line in importlib.metadata.requires("tunesmith") or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version}, needed is {needed.specifier}")
    if wrong:
        yield Finding("packages", State.PROBLEM, "; ".join(wrong), "make setup installs them")
        return
    versions = [f"{name} {importlib.metadata.version(name)}" for name in SHOWN]
    own = importlib.metadata.version("tunesmith")
    yield Finding("packages", State.OK, ", ".join([f"tunesmith {own}", *versions]))
