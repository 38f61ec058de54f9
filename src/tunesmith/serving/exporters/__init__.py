"""An adapter in the forms that others take, each held against the adapter's own predictions.

One file a form: whatever module here, or entry point of another package, defines an `Exporter`.
"""

from __future__ import annotations

from tunesmith.messages import say
from tunesmith.plugins import Registry
from tunesmith.serving.exporters.base import Exporter

TAKEN = frozenset({"reference", "to", "target", "output", "force", "dtype", "rows", "device",
                   "json", "as_json", "help"})  # fmt: skip
"""Names that no exporter's own option can have: those of `tunesmith export` itself."""


def _fault(exporter: type[Exporter]) -> str | None:
    """What an exporter of another package lacks."""
    if not hasattr(exporter, "summary"):
        return say("lacks {names}", names=["summary"])
    if taken := {option.parameter for option in exporter.options} & TAKEN:
        return say("has options that every export has: {names}", names=sorted(taken))
    return None


EXPORTERS: Registry[Exporter] = Registry(
    __name__,
    "tunesmith.exporters",
    Exporter,  # type: ignore[type-abstract]
    _fault,
)
"""Target → exporter: ours by name, then those of other packages."""
