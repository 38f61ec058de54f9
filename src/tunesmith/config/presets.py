"""The ready-made configurations that come with Tunesmith: the files of `config/`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import NotFoundError, nearest
from tunesmith.messages import say

_PACKAGE = Path(__file__).parents[1]
FOLDERS = (_PACKAGE / "presets", _PACKAGE.parents[1] / "config")
"""Where they lie: in an installed package, in a clone."""


@dataclass(frozen=True)
class Preset:
    """A configuration to begin with."""

    name: str
    """Of its file, without the ending."""
    description: str
    """The comment that its file begins with."""
    text: str
    """The file as it is."""
    config: dict[str, Any]
    """What the file says, without defaults."""


@cache
def presets() -> dict[str, Preset]:
    """Name → preset, the starter (`default`) first, the others by name."""
    folder = next((each for each in FOLDERS if each.is_dir()), None)
    paths = sorted(folder.glob("*.yaml")) if folder else []
    found = [_read(path) for path in paths]
    return {each.name: each for each in sorted(found, key=lambda p: (p.name != "default", p.name))}


def preset(name: str) -> Preset:
    """The preset of this name. Raises NotFoundError."""
    if name not in presets():
        hint = nearest(name, presets())
        raise NotFoundError(
            say(
                "There is no preset {name}; there are {names}.",
                name=repr(name),
                names=", ".join(presets()) or say("none"),
            )
            + (say(" Did you mean {hint}?", hint=hint) if hint else "")
        )
    return presets()[name]


def _read(path: Path) -> Preset:
    text = path.read_text(encoding="utf-8")
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# ").rstrip())
    return Preset(path.stem, " ".join(comment), text, yaml.safe_load(text))
