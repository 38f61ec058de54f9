"""Tables that keep each cell on its line: in a narrow terminal the less important columns go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from tunesmith.errors import one_line, printable

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
    def is_flexible(self) -> bool:
        """Whether it can do with less than its widest cell."""
        return self.cut or self.wraps


class FittedTable:
    """A table that fits the terminal; what is left out for lack of room is said below it."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
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
                Text(column.heading),
                justify="right" if column.right else "left",
                width=widths[number],
                no_wrap=not column.wraps,
                overflow="fold" if column.wraps else "ellipsis",
            )
        for row in self._rows:
            table.add_row(*(row[number] for number in shown))
        yield table
        gone = [c.heading for n, c in enumerate(self._columns) if n not in shown and needed[n]]
        if gone:
            yield Text(f"no room for: {', '.join(gone)}", "dim")

    def _needed(self, number: int) -> int:
        """Columns of the terminal that the widest cell takes; 0 where all are empty."""
        lines = [line for row in self._rows for line in row[number].plain.splitlines()]
        widest = max(map(cell_len, lines), default=0)
        return max(widest, cell_len(self._columns[number].heading)) if widest else 0

    def _shown(self, needed: list[int], width: int) -> list[int]:
        """The columns that have room beside each other; those without any content never have."""
        shown = [n for n, column in enumerate(self._columns) if not column.spare]

        def least(number: int) -> int:
            flexible = self._columns[number].is_flexible
            return GAP + (min(needed[number], LEAST) if flexible else needed[number])

        spare = [n for n, column in enumerate(self._columns) if column.spare and needed[n]]
        for number in sorted(spare, key=lambda n: self._columns[n].spare):
            if sum(map(least, [*shown, number])) <= width:
                shown.append(number)
        return sorted(shown)


def _text(cell: str | Text, column: Column) -> Text:
    """`cell` without control characters; a plain text has line breaks only where it may wrap."""
    if isinstance(cell, Text):
        clean = printable(cell.plain)
        return cell if clean == cell.plain else Text(clean, cell.style)
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
