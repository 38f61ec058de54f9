"""Columns by which a row says itself whether it is to be learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunesmith.data.layouts.base import LeftOut
from tunesmith.data.layouts.turns import LEARNED_KEYS, says_no, says_yes
from tunesmith.messages import Message, say
from tunesmith.tasks.base import Row


def mark_columns(columns: Sequence[str], sample: Sequence[Row]) -> dict[str, Message]:
    """The columns that say yes or no, such as a `weight` of 0 or 1, as what they are used."""
    return {
        name: say("whether it is learned")
        for name in columns
        if name.casefold() in LEARNED_KEYS
        and any(row.get(name) is not None for row in sample)
        and all(
            row.get(name) is None or says_no(row[name]) or says_yes(row[name]) for row in sample
        )
    }


def require_learned(row: Row, marks: Iterable[str]) -> None:
    """Raise LeftOut where a column of `marks` says that `row` is not to be learned."""
    for name in marks:
        if says_no(row.get(name)):
            raise LeftOut("{name} is {value}: not to be learned", name=name, value=row[name])
