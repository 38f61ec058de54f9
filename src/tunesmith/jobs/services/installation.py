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

from tunesmith.messages import joined, say

PYTHON = (3, 11)

SHOWN = ("tunesmith", "torch", "transformers", "peft", "accelerate", "celery")
"""Packages whose versions are shown: what people are asked for in a bug report."""


class State(StrEnum):
    """Whether something works."""

    OK = "ok"
    WARNING = "warning"
    """It works, though less well than it could, or isn't started."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about one thing; `advice` says what to do about it."""

    name: str
    state: State
    message: str
    advice: str = ""


def look_at_installation() -> Iterator[Diagnosis]:
    """Check Python and the packages; problems are given, never raised."""
    version = platform.python_version()
    if sys.version_info < PYTHON:
        oldest = ".".join(map(str, PYTHON))
        advice = say("install Python {needed} or newer", needed=oldest)
        yield Diagnosis("python", State.PROBLEM, version, advice)
    else:
        yield Diagnosis("python", State.OK, f"{version} ({sys.executable})")
    wrong = []
    for line in importlib.metadata.requires("tunesmith") or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(say("{name} is missing", name=needed.name))
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(
                say(
                    "{name} is {version}, needed is {specifier}",
                    name=needed.name,
                    version=version,
                    specifier=needed.specifier,
                )
            )
    if wrong:
        advice = say("make setup installs them")
        yield Diagnosis("packages", State.PROBLEM, joined(wrong, "; "), advice)
    else:
        versions = (f"{name} {importlib.metadata.version(name)}" for name in SHOWN)
        yield Diagnosis("packages", State.OK, joined(versions, ", "))
