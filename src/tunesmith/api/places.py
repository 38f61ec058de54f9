"""Where the server keeps what it has: nothing that an answer tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tunesmith.errors import Problem
from tunesmith.settings import Settings

INSTEAD = "…"
"""What stands in an answer for the folder of the server that a path begins with."""


def without_places(text: str, settings: Settings) -> str:
    """`text` with `…` for the server's own folders."""
    for place in _places(settings):
        text = text.replace(place, INSTEAD)
    return text


def problem_without_places(problem: Problem, settings: Settings) -> Problem:
    """The same for what is said of a field; the value is the asker's own."""
    return replace(problem, message=without_places(problem.message, settings))


def _places(settings: Settings) -> list[str]:
    folders = (settings.results_dir, settings.cache_dir, settings.data_dir, Path.home())
    found = {settings.datasets_root, *(str(folder.resolve()) for folder in folders)}
    return sorted((place for place in found if len(place) > 1), key=len, reverse=True)
