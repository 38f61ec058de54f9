"""The formats of files: whatever module here, or entry point of another package, defines one.

Each is a valid `data.format`.
"""

from __future__ import annotations

from tunesmith.data.reading.formats.base import Format
from tunesmith.messages import say
from tunesmith.plugins import Registry


def _fault(kind: type[Format]) -> str | None:
    """What a format of another package lacks."""
    missing = [name for name in ("label", "endings") if not hasattr(kind, name)]
    return say("lacks {names}", names=missing) if missing else None


FORMATS: Registry[Format] = Registry(__name__, "tunesmith.formats", Format, _fault)  # type: ignore[type-abstract]
"""Name → format: ours by name, then those of other packages."""
