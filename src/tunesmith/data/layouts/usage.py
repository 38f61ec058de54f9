"""What of the data is used as what, and what is not: columns, and keys inside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.messages import Message, joined, say


@dataclass(frozen=True)
class Unused:
    """A column, or a key inside one such as `messages[].name`, that is not used."""

    name: str
    rows: int | None = None
    """How many times the key was found; None for a column."""
    hint: str = ""
    """What to do where it should be used."""

    @property
    def said(self) -> Message:
        """It in words, without the hint."""
        if self.rows is None:
            return say("{name}", name=self.name)
        return say("{name} ({n:,})", name=self.name, n=self.rows)


@dataclass(frozen=True)
class Usage:
    """What is used of the data."""

    layout: str | None = None
    """The layout's name; None where the columns are the task's as they are."""
    label: str = ""
    """What people call the layout."""
    uses: Mapping[str, Message] = field(default_factory=dict)
    """Column → what it is used as."""
    unused: tuple[Unused, ...] = ()
    forms: tuple[Message, ...] = ()
    """How values are written, where that had to be found out."""
    notes: tuple[Message, ...] = ()
    """What was decided where nothing was said: columns that were guessed, splits left out."""

    @property
    def recognized(self) -> Message | None:
        """The layout and its uses in one line; None where there is none."""
        return say("{layout}: {uses}", layout=self.label, uses=self._roles) if self.layout else None

    @property
    def _roles(self) -> Message:
        columns: dict[str, list[str]] = {}
        for column, use in self.uses.items():
            columns.setdefault(use, []).append(column)
        said = {str(use): use for use in self.uses.values()}
        return joined(
            (
                say("{columns} → {use}", columns=names, use=said[use])
                for use, names in columns.items()
            ),
            "; ",
        )

    def lines(self) -> list[Message]:
        """What is said of it to people: what was recognized, what is not used, and hints."""
        found = [self.recognized] if self.recognized else []
        found += self.forms
        if self.unused:
            names = joined((each.said for each in self.unused), ", ")
            found.append(say("not used: {names}", names=names))
        found += [
            say("{name} is not used: {hint}", name=each.name, hint=each.hint)
            for each in self.unused
            if each.hint
        ]
        return [*found, *self.notes]

    def to_json(self) -> dict[str, Any]:
        """It in types that JSON knows."""
        return {
            "layout": self.layout,
            "lines": self.lines(),
            "used": dict(self.uses),
            "unused": [
                {"name": each.name, "rows": each.rows, "hint": each.hint} for each in self.unused
            ],
        }
