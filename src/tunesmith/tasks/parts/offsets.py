"""Where spans count from and in what: characters, UTF-16 units or bytes; ends within or behind.

JavaScript counts UTF-16 units (a character beyond U+FFFF is two), Rust and Go count bytes. What a
column means is found out by the words that its spans say they are, else by where words end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate

from tunesmith.messages import Message, say
from tunesmith.tasks.parts.spans import Span

Place = tuple[int, int]
Edges = tuple[set[int], set[int]]
"""Where words begin, and the places behind them."""

SURE = 3
"""So many times more spans must end at words in one way than in the other, where only that tells;
and as many of them at least, where ends may be within."""


@dataclass(frozen=True)
class Offsets:
    """How the places of spans count."""

    unit: str = "characters"
    """characters, utf-16 or utf-8."""
    inclusive: bool = False
    """Whether `end` is the last character instead of the one behind it."""

    def read(self, span: Span, text: str) -> Span:
        """The span in characters, its end behind it; as it is where its places are in none."""
        if span.start is None or span.end is None:
            return span
        end = span.end + self.inclusive
        if self.unit == "characters" or text.isascii():
            return replace(span, end=end)
        starts = _unit_starts(text, self.unit)
        found = [_found(starts, place) for place in (span.start, end)]
        return span if None in found else replace(span, start=found[0], end=found[1])

    def differs(self, text: str, end: int) -> bool:
        """Whether it reads a span that ends at `end` otherwise than it stands."""
        if self.inclusive or self.unit == "characters" or text.isascii():
            return self.inclusive
        before = text[:end]
        return not before.isascii() and (self.unit == "utf-8" or max(before) > "\uffff")

    def note(self, column: str) -> Message | None:
        """What a user should know of it; None where places are as they are everywhere."""
        if self == PLAIN:
            return None
        units = {"utf-16": say("UTF-16 units"), "utf-8": say("bytes")}
        unit: str = units.get(self.unit, say("characters"))
        if not self.inclusive:
            return say(
                "{column}: places of entities count {unit}: read as characters",
                column=column,
                unit=unit,
            )
        return say(
            "{column}: places of entities count {unit}, and an end is an entity's last: read as "
            "the character behind it",
            column=column,
            unit=unit,
        )


PLAIN = Offsets()
_OTHERS = tuple(
    Offsets(unit, inclusive)
    for inclusive in (False, True)
    for unit in ("characters", "utf-16", "utf-8")
    if (unit, inclusive) != ("characters", False)
)


@dataclass
class Votes:
    """What spans say of how they count, gathered from all rows."""

    words_of: Callable[[str], Sequence[Place]]
    by_words: Counter[Offsets] = field(default_factory=Counter)
    """Spans that are the words they say in this way and not as they stand, less those that are
    only as they stand."""
    by_ends: Counter[Offsets] = field(default_factory=Counter)
    """Spans that begin and end where words do in this way and not as they stand."""
    against: Counter[Offsets] = field(default_factory=Counter)
    """Spans that do so as they stand, where this way would be another."""

    def add(self, text: str, spans: Sequence[Span]) -> None:
        """Take the spans of one text into account."""
        edges: Edges | None = None
        for span in spans:
            if span.start is None or span.end is None:
                continue
            if not span.surface and edges is None:
                words = self.words_of(text)
                edges = {start for start, _ in words}, {end for _, end in words}
            if _fits(span, text, edges):
                others = [way for way in _OTHERS if way.differs(text, span.end)]
                self.against.update(() if span.surface else others)
                self.by_words.subtract(others if span.surface else ())
                continue
            for way in _OTHERS:
                if _fits(way.read(span, text), text, edges):
                    (self.by_words if span.surface else self.by_ends)[way] += 1

    def decided(self) -> Offsets:
        """How the spans count: as they stand, unless more of them say otherwise."""
        known, times = max(self.by_words.items(), key=lambda one: one[1], default=(PLAIN, 0))
        if self.by_words:
            return known if times > 0 else PLAIN
        sure = {
            way: times
            for way, times in self.by_ends.items()
            if times >= SURE * max(self.against[way], way.inclusive)
        }
        return max(sure, key=sure.__getitem__, default=PLAIN)


def _fits(span: Span, text: str, edges: Edges | None) -> bool:
    """Whether a span is the words that it says, else whether it begins and ends where words do."""
    start, end = span.start, span.end
    if start is None or end is None or not 0 <= start < end <= len(text):
        return False
    if span.surface:
        return text[start:end].split() == span.surface.split()
    return edges is not None and start in edges[0] and end in edges[1]


@lru_cache(maxsize=4)
def _unit_starts(text: str, unit: str) -> list[int]:
    """Where each character begins, counted in `unit`, and where the text ends."""
    width = _utf16 if unit == "utf-16" else _utf8
    return list(accumulate(map(width, text), initial=0))


def _utf16(character: str) -> int:
    return 1 + (character > "\uffff")


def _utf8(character: str) -> int:
    return 1 + (character > "\x7f") + (character > "\u07ff") + (character > "\uffff")


def _found(starts: Sequence[int], place: int) -> int | None:
    """The character that begins at a place; None where none does."""
    number = bisect_left(starts, place)
    return number if number < len(starts) and starts[number] == place else None
