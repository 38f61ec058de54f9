"""Paths of the server's own folders, which no answer discloses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tunesmith.errors import ConfigError, Problem, TunesmithError
from tunesmith.messages import Message
from tunesmith.settings import Settings

INSTEAD = "…"
"""What stands in an answer for the folder of the server that a path begins with."""

_PATH = r"\w@%+~-"
"""Characters that go on with a name in a path."""


def without_paths(text: str, settings: Settings) -> str:
    """`text` with `…` for the server's own folders, where they stand as such: of `/data`, neither
    `/database` nor `/mnt/data` has anything."""
    places = "|".join(map(re.escape, _places(settings)))
    found = re.compile(rf"(?<![./{_PATH}])(?:{places})(?![{_PATH}]|\.\w)")
    if isinstance(text, Message):
        return text.changed(lambda value: found.sub(INSTEAD, value))
    return found.sub(INSTEAD, text)


def problem_without_paths(problem: Problem, settings: Settings) -> Problem:
    """The same for what is said of a field; the value is the asker's own."""
    return replace(
        problem,
        message=without_paths(problem.message, settings),
        accepted=problem.accepted and without_paths(problem.accepted, settings),
    )


def detail_without_paths(error: TunesmithError, settings: Settings) -> str:
    """The same for what an error says."""
    if isinstance(error, ConfigError):
        return str(ConfigError(problem_without_paths(p, settings) for p in error.problems))
    return without_paths(str(error), settings)


def _places(settings: Settings) -> list[str]:
    folders = (settings.results_dir, settings.cache_dir, settings.data_dir, Path.home())
    found = {settings.datasets_root.rstrip("/")}
    for folder in folders:
        found |= {str(folder.absolute()), str(folder.resolve())}
    return sorted((place for place in found if len(place) > 1), key=len, reverse=True)
