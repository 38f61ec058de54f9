"""The terminal as all commands print to it: whatever users wrote, it only ever shows it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from tunesmith.errors import printable


class Terminal(Console):
    r"""A console that runs no escape sequence of what it prints; its own styles stay.

    Names, labels, columns, notes and rows come from whoever wrote the data or sent the request:
    "\x1b[2J" among them would clear the screen, others forge lines or answer in our place.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of `renderable`, without control characters but for those of rich itself."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)
