"""The layouts: whatever module here, or entry point of another package, defines a `Layout`.

Each is a valid `data.layout` in a configuration; `none` leaves the columns as they are.
"""

from __future__ import annotations

from tunesmith.data.layouts.base import Layout
from tunesmith.messages import say
from tunesmith.plugins import Registry

NONE = "none"
"""The `data.layout` that leaves the columns as they are."""


def _fault(layout: type[Layout]) -> str | None:
    """What a layout of another package lacks, so that it could not be used."""
    missing = [name for name in ("label", "tasks") if not getattr(layout, name, None)]
    return say("lacks {names}", names=missing) if missing else None


LAYOUTS: Registry[Layout] = Registry(__name__, "tunesmith.layouts", Layout, _fault)  # type: ignore[type-abstract]
"""Layout name → layout: ours by name, then those of other packages."""
