"""Tag schemes: how a column of tags marks where entities begin and end, and IOB2 made of it.

IOB1 begins an entity with `B-` only directly behind another of its kind (Ramshaw and Marcus
1995), IOB2 always (Tjong Kim Sang and Veenstra 1999). BIOES, BILOU and BMES also mark an entity's
last word and those of one word (Ratinov and Roth 2009), IOE ends alone, and IO nothing but kinds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.values import canonical

OUTSIDE = "O"

UNTAGGED = "-100"
"""The tag of words that are neither learned nor judged: PyTorch's target that is ignored, which
people write at special tokens and at all pieces of a word but its first."""

ONLY_KIND = "ENTITY"
"""The kind of entities whose tags are letters alone: `B`, `I` and `O`."""

MOST_TAGS = 5_000
"""Different tags of a column, at most: more are no tags but something else."""

_LETTERS = "BIESLUMW"
_BEGINS = frozenset("BSUW")
_ENDS = frozenset("ELSUW")
_ALONE = ({"S"}, {"U"}, {"W"})
"""The letters of a column in which each entity is one word."""
_SEPARATORS = r"[-_:/.| =~]"
_PREFIXED = re.compile(rf"([{_LETTERS}])({_SEPARATORS})(.+)", re.DOTALL)
_SUFFIXED = re.compile(rf"(.+)({_SEPARATORS})([{_LETTERS}])", re.DOTALL)
_OUTSIDE = (
    "O", "o", "0", "", "_", "-", "None", "none", "NONE", "null", "NULL", "nan", "NaN",
    "OUT", "Outside", "outside", "OUTSIDE",
)  # fmt: skip
"""What is called outside, the likeliest first."""
_OTHERS = ("OTHER", "Other", "other")
"""The same, where it stands at most words."""

Pairs = Counter[tuple[str | None, str]]
"""A tag and the one before it in its text (None: it is the first) → how often they are there."""


@dataclass(frozen=True)
class Scheme:
    """How tags are written."""

    name: str = "IOB2"
    separator: str = "-"
    suffixed: bool = False
    """Whether the letter stands behind the kind, as in `PER-B`."""
    outside: str | None = OUTSIDE
    """The tag of words outside of entities; None where there is none."""
    folded: bool = False
    """Whether the letters may be small ones."""

    @property
    def is_plain(self) -> bool:
        """Whether its tags are IOB2 as it is written here."""
        return self in (PLAIN, replace(PLAIN, outside=None))

    def parts(self, tag: Any) -> tuple[str, str] | None:
        """A tag as (letter, kind), `("O", "")` outside of entities; None where it is no tag."""
        tag = named(tag)
        if tag == self.outside:
            return OUTSIDE, ""
        if self.name == "IO":
            return ("B" if self.outside is None else "I", tag) if tag else None
        return _parts(tag, self.separator, suffixed=self.suffixed, folded=self.folded)

    def iob2(self, tags: Sequence[Any]) -> list[Any]:
        """The tags as IOB2; what is none of the scheme stays as it is."""
        tags = [UNTAGGED if is_untagged(tag) else tag for tag in tags]
        if self.is_plain:
            return tags
        lenient = self.name in ("IO", "IOB1", "IOE")
        found: list[Any] = []
        open_kind: str | None = None
        for tag in tags:
            if tag == UNTAGGED:
                found.append(tag)
                continue
            parts = self.parts(tag)
            if parts is None or parts[0] == OUTSIDE:
                found.append(tag if parts is None else OUTSIDE)
                open_kind = None
                continue
            letter, kind = parts
            begins = letter in _BEGINS or (lenient and open_kind != kind)
            found.append(f"{'B' if begins else 'I'}-{kind}")
            open_kind = None if letter in _ENDS else kind
        return found


PLAIN = Scheme()


def named(tag: Any) -> str:
    """A tag as text, without space at its ends; "" where there is none."""
    if tag is None or tag != tag:  # not a number: an empty cell of a table
        return ""
    return canonical(tag).strip()


def is_untagged(tag: Any) -> bool:
    """Whether a tag says that its word has none."""
    return named(tag) in (UNTAGGED, f"{UNTAGGED}.0")


def count_pairs(rows: Iterable[Sequence[Any]]) -> Pairs:
    """What stands behind what in the tags of all rows; empty where they are no tags.

    That is so where there are more than MOST_TAGS different ones.
    """
    pairs: Pairs = Counter()
    seen: set[str] = set()
    for tags in rows:
        names = [named(tag) for tag in tags if not is_untagged(tag)]
        pairs.update(zip([None, *names], names, strict=False))
        seen.update(names)
        if len(seen) > MOST_TAGS:
            return Counter()
    return pairs


def scheme_of(pairs: Pairs) -> Scheme:
    """The scheme of a column of tags, of which `pairs` are counted; IOB2 where there are none.

    Most words in entities decide. Tags of another scheme are then none.
    """
    counts: Counter[str] = Counter()
    for (_, tag), times in pairs.items():
        counts[tag] += times
    outside = _outside(counts)
    inside = {tag: times for tag, times in counts.items() if tag != outside}
    if not inside:
        return Scheme(outside=outside or OUTSIDE)
    found = _written(inside)
    if found is None:
        return Scheme("IO", outside=outside)
    separator, suffixed, folded = found
    scheme = Scheme("IOB1", separator, suffixed, outside, folded)
    letters = {parts[0] for tag in inside if (parts := scheme.parts(tag))}
    name = _family(letters)
    if name == "IOB2" and _is_iob1(pairs, scheme):
        name = "IOB1"
    return Scheme(name, separator, suffixed, outside, folded)


def kinds_of(labels: Sequence[str]) -> list[str]:
    """Kinds of entities that `labels`, tags of any scheme or kinds, name; in their order."""
    scheme = scheme_of(count_pairs([[label] for label in labels]))
    parts = [scheme.parts(label) for label in labels]
    return list(dict.fromkeys(part[1] for part in parts if part and part[0] != OUTSIDE))


def label_tags(labels: Sequence[str]) -> list[str]:
    """IOB2's tags for `labels`: themselves, where they are; else O and both of each kind."""
    if all(label == OUTSIDE or re.match(r"[BI]-.", label) for label in labels):
        return list(labels)
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds_of(labels) for letter in "BI")]


def _parts(tag: str, separator: str, *, suffixed: bool, folded: bool) -> tuple[str, str] | None:
    if not separator:
        letter = tag.upper() if folded else tag
        return (letter, ONLY_KIND) if len(letter) == 1 and letter in _LETTERS else None
    letter, found, kind = tag[:1], tag[1:2], tag[2:]
    if suffixed:
        letter, found, kind = tag[-1:], tag[-2:-1], tag[:-2]
    letter = letter.upper() if folded else letter
    is_tag = letter and letter in _LETTERS and found == separator and kind
    return (letter, kind) if is_tag else None


def _outside(counts: Counter[str]) -> str | None:
    """The tag that says that a word is in no entity."""
    usual = next((name for name in _OUTSIDE if name in counts), None)
    most = sum(counts.values()) / 2
    return usual or next((name for name in _OTHERS if counts[name] > most), usual)


def _written(inside: dict[str, int]) -> tuple[str, bool, bool] | None:
    """Separator, whether letters stand behind, whether they are small; None: there are none."""
    total = sum(inside.values())
    if all(len(tag) == 1 for tag in inside):
        for folded in (False, True):
            letters = {tag.upper() if folded else tag for tag in inside}
            if "B" in letters and letters <= set(_LETTERS):
                return "", False, folded
    for folded in (False, True):
        for suffixed, pattern in ((False, _PREFIXED), (True, _SUFFIXED)):
            found: Counter[str] = Counter()
            letters_of: dict[str, set[str]] = {}
            for tag, times in inside.items():
                text = tag if not folded else _raised(tag, suffixed=suffixed)
                if match := pattern.fullmatch(text):
                    found[match[2]] += times
                    letters_of.setdefault(match[2], set()).add(match[3 if suffixed else 1])
            for separator, times in found.most_common(1):
                letters = letters_of[separator]
                are_single = letters in _ALONE and times == total and len(inside) > 1
                if times * 2 > total and (letters & {"B", "I"} or are_single):
                    return separator, suffixed, folded
    return None


def _raised(tag: str, *, suffixed: bool) -> str:
    return tag[:-1] + tag[-1:].upper() if suffixed else tag[:1].upper() + tag[1:]


def _family(letters: set[str]) -> str:
    if "M" in letters:
        return "BMES"
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S", "W"}:
        return "BIOES" if "B" in letters or "S" in letters else "IOE"
    return "IOB2"


def _is_iob1(pairs: Pairs, scheme: Scheme) -> bool:
    """Whether more entities begin with `I-` than with a `B-` that IOB1 would not have."""
    continuing = beginning = 0
    for (before, tag), times in pairs.items():
        parts = scheme.parts(tag)
        if parts is None or parts[0] == OUTSIDE:
            continue
        earlier = None if before is None else scheme.parts(before)
        follows = earlier is not None and earlier[0] != OUTSIDE and earlier[1] == parts[1]
        if parts[0] == "I" and not follows:
            continuing += times
        elif parts[0] == "B" and not follows:
            beginning += times
    return continuing > beginning
