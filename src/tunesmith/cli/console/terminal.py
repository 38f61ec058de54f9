"""The terminal as all commands print to it: whatever users wrote, it only ever shows it.

Tables keep each cell on its line: in a narrow terminal the less important columns go.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from rich import text as rich_text
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from tunesmith.cli.console.output import echo, gettext, localized, word
from tunesmith.errors import one_line, printable
from tunesmith.messages import Message, say
from tunesmith.progress import heard_by


class Text(rich_text.Text):
    """Styled text; a message is in the terminal's language."""

    def __init__(self, text: str = "", *rest: Any, **options: Any) -> None:
        super().__init__(localized(text), *rest, **options)

    def append(self, text: Any, style: Any = None) -> Self:
        """Add `text`, a message in the terminal's language."""
        super().append(localized(text) if isinstance(text, str) else text, style)
        return self

    @classmethod
    def assemble(cls, *parts: Any, **options: Any) -> Self:
        """A text of several parts, some with a style."""
        made = cls(**options)
        for part in parts:
            if isinstance(part, tuple):
                made.append(*part)
            else:
                made.append(part)
        return made


LINE_SECONDS = 10.0
"""Between lines that say how far long work is, where there is no terminal."""


class Terminal(Console):
    r"""A console that runs no escape sequence of what it prints; its own styles stay.

    Names, labels, columns, notes and rows come from whoever wrote the data or sent the request:
    "\x1b[2J" among them would clear the screen, others forge lines or answer in our place.
    Nothing is highlighted unasked.
    """

    def __init__(self, *, highlight: bool = False, **options: Any) -> None:
        super().__init__(highlight=highlight, **options)

    def say(
        self, template: str, /, style: str = "", *, soft_wrap: bool | None = None, **values: object
    ) -> None:
        """Print `template` with `values`, in the terminal's language and without markup."""
        self.print(Text(say(template, **values), style), soft_wrap=soft_wrap)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that `what` is done, and how far it is: beside it, or where this is no terminal, and
        it takes long, on lines of stderr."""
        begin = last = time.monotonic()

        def hear(now: Message) -> None:
            nonlocal last
            if self.is_terminal:
                status.update(Text.assemble(what, " … ", now))
            elif time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                echo("{seconds:.0f} s: {doing} …", seconds=last - begin, doing=now, err=True)

        with self.status(f"{what} …") as status, heard_by(hear):
            yield

    def render_str(self, text: str, **options: Any) -> rich_text.Text:
        """`text` with its markup, a message in the terminal's language."""
        return super().render_str(localized(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of `renderable`, without control characters but for those of rich itself."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


GAP = 2
"""Columns of the terminal between two of the table."""
LEAST = 12
"""Columns that are left of one that may be cut, or that goes on in further lines."""


@dataclass(frozen=True)
class Column:
    """A column of a `FittedTable`, and what becomes of it where there is little room."""

    heading: str
    right: bool = False
    """Whether its cells stand at the right, as numbers do."""
    spare: int = 0
    """0: it is always shown; else the highest goes first."""
    cut: bool = False
    """Whether its cells may end in an ellipsis."""
    wraps: bool = False
    """Whether its cells may go on in further lines."""

    @property
    def title(self) -> str:
        """The heading in the terminal's language."""
        return word(self.heading)

    @property
    def is_flexible(self) -> bool:
        """Whether it can do with less than its widest cell."""
        return self.cut or self.wraps


class FittedTable:
    """A table that fits the terminal; what is left out for lack of room is said below it."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[rich_text.Text]] = []

    def add_row(self, *cells: str | rich_text.Text) -> None:
        """A row, one cell for each column. No cell is read as markup, nor leaves its line."""
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self._columns)} columns")
        self._rows.append([_text(*pair) for pair in zip(cells, self._columns, strict=True)])

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        needed = [self._needed(number) for number in range(len(self._columns))]
        shown = self._shown(needed, options.max_width)
        widths = _shared(
            {n: needed[n] for n in shown},
            {n for n in shown if self._columns[n].is_flexible},
            options.max_width - GAP * len(shown),
        )
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
        for number in shown:
            column = self._columns[number]
            table.add_column(
                Text(column.title),
                justify="right" if column.right else "left",
                width=widths[number],
                no_wrap=not column.wraps,
                overflow="fold" if column.wraps else "ellipsis",
            )
        for row in self._rows:
            table.add_row(*(row[number] for number in shown))
        yield table
        gone = [c.title for n, c in enumerate(self._columns) if n not in shown and needed[n]]
        if gone:
            yield Text(gettext("no room for: {names}", names=", ".join(gone)), "dim")

    def _needed(self, number: int) -> int:
        """Columns of the terminal that the widest cell takes; 0 where all are empty."""
        lines = [line for row in self._rows for line in row[number].plain.splitlines()]
        widest = max(map(cell_len, lines), default=0)
        return max(widest, cell_len(self._columns[number].title)) if widest else 0

    def _shown(self, needed: list[int], width: int) -> list[int]:
        """The columns that fit side by side; those without any content never have."""
        shown = [n for n, column in enumerate(self._columns) if not column.spare]

        def least(number: int) -> int:
            flexible = self._columns[number].is_flexible
            return GAP + (min(needed[number], LEAST) if flexible else needed[number])

        spare = [n for n, column in enumerate(self._columns) if column.spare and needed[n]]
        for number in sorted(spare, key=lambda n: self._columns[n].spare):
            if sum(map(least, [*shown, number])) <= width:
                shown.append(number)
        return sorted(shown)


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval; empty where there is none."""
    if low is None or high is None:
        return ""
    return gettext("{least:.3f} to {most:.3f}", least=low, most=high)


def _text(cell: str | rich_text.Text, column: Column) -> rich_text.Text:
    """`cell` without control characters; a plain text has line breaks only where it may wrap."""
    if isinstance(cell, rich_text.Text):
        clean = printable(cell.plain)
        return cell if clean == cell.plain else Text(clean, cell.style)
    cell = localized(cell)
    return Text(printable(cell) if column.wraps else one_line(cell))


def _shared(needed: dict[int, int], flexible: set[int], width: int) -> dict[int, int]:
    """The width of each column: what it needs, or where that is too much an equal part of it."""
    widths = dict(needed)
    left = width - sum(needed[n] for n in needed if n not in flexible)
    waiting = sorted(flexible, key=needed.__getitem__)
    for place, number in enumerate(waiting):
        widths[number] = min(needed[number], max(1, left // (len(waiting) - place)))
        left -= widths[number]
    return widths
