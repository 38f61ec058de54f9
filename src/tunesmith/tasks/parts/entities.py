"""Entities: words and their tags, spans of a text, and one made into the other.

Tags are IOB2: `B-PER` begins a person, `I-PER` continues it, `O` is no entity (Tjong Kim Sang and
Veenstra 1999, "Representing Text Chunks"). What counts as an entity is seqeval's strict IOB2, which
finds none in an `I-` that continues nothing: `seqeval` itself (1.2.2 of 2020, source only) needs
scikit-learn for what are twenty lines here.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import shorten
from tunesmith.messages import say
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.spans import Span, read_span
from tunesmith.tasks.parts.tags import OUTSIDE, UNTAGGED

Place = tuple[int, int]
"""First character, and the one behind the last."""

# Characters of scripts that put no space between words are words of their own: Thai and Lao,
# Burmese, Khmer, kana and bopomofo, Chinese characters.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+|[^\w\s]")


@dataclass(frozen=True)
class Tagged:
    """A text as words, each with its tag."""

    text: str
    words: Sequence[Place]
    tags: Sequence[str]


def words_of(text: str) -> list[Place]:
    """The words of `text`: runs of letters and digits, each other character by itself."""
    return [found.span() for found in _WORD.finditer(text)]


def joined(words: Sequence[str]) -> tuple[str, list[Place]]:
    """The words with spaces between them, and where each stands in that."""
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), places


def tag_fault(tags: Sequence[Any]) -> str | None:
    """What keeps `tags` from being IOB2, in words; None where nothing does."""
    before = OUTSIDE
    for number, tag in enumerate(tags, 1):
        if tag == UNTAGGED:
            continue
        if tag != OUTSIDE and not (isinstance(tag, str) and re.match(r"[BI]-.", tag)):
            return say(
                "tag {n}, {value}, is none of IOB2: O, B-NAME or I-NAME", n=number, value=repr(tag)
            )
        if tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}"):
            return say(
                "tag {number}, {tag}, continues no entity: one begins with B-{tag2}",
                number=number,
                tag=tag,
                tag2=tag[2:],
            )
        before = tag
    return None


def runs(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Entities as (first word, the one behind the last, label): strict IOB2.

    An entity begins with `B-` and goes on while `I-` of the same label follows. Untagged words
    count only inside of one.
    """
    found = []
    start: int | None = None
    behind = 0
    for number, tag in enumerate([*tags, OUTSIDE]):
        if tag == UNTAGGED:
            continue
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.append((start, behind, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = number
        behind = number + 1
    return found


def entities(tagged: Tagged) -> list[dict[str, Any]]:
    """The entities of a text: `label`, `text`, `start` and `end` in characters, in their order."""
    found = []
    for first, behind, label in runs(tagged.tags):
        start, end = tagged.words[first][0], tagged.words[behind - 1][1]
        found.append({"label": label, "text": tagged.text[start:end], "start": start, "end": end})
    return found


def span_fault(text: str, spans: Sequence[Any]) -> str | None:
    """What keeps `spans` from being entities of `text`, in words; None where nothing does."""
    read = [read_span(span, text) for span in spans]
    for number, (span, given) in enumerate(zip(read, spans, strict=True), 1):
        if span is None:
            shown = str(given)[:80]
            return say("span {n} needs start, end and label; got {value}", n=number, value=shown)
        if fault := _place_fault(text, span, number):
            return fault
    ordered = sorted({place for span in read if (place := _place(span))})
    for (start, end, label), (later, _, other) in itertools.pairwise(ordered):
        if later < end:
            return say(
                "{label} from {first} to {last} and {other} from {later} overlap: keep one",
                label=label,
                first=start,
                last=end,
                other=other,
                later=later,
            )
    return None


def _place(span: Span | None) -> tuple[int, int, str] | None:
    """A span as (start, end, label); None where it has no place."""
    if span is None or span.start is None or span.end is None:
        return None
    return span.start, span.end, span.label


def _place_fault(text: str, span: Span, number: int) -> str | None:
    """What is wrong with where a span stands."""
    if span.start is None or span.end is None:
        times = text.count(str(span.surface))
        words = shorten(span.surface, 40)
        if times:
            return say(
                "span {n}, {words}, stands {times} times in the text: give start and end",
                n=number,
                words=words,
                times=times,
            )
        return say("span {n}, {words}, does not stand in the text", n=number, words=words)
    if not 0 <= span.start < span.end <= len(text):
        return say(
            "span {n}, {first} to {last}, is not in the text of {m} characters",
            n=number,
            first=span.start,
            last=span.end,
            m=len(text),
        )
    if not text[span.start : span.end].strip():
        return say(
            "span {n}, {first} to {last}, has no word in it",
            n=number,
            first=span.start,
            last=span.end,
        )
    return None


def inexact(text: str, spans: Sequence[Any]) -> str | None:
    """Which of `spans`, which have no fault, is other words than it says, or cuts one."""
    places: Sequence[Place] | None = None
    for number, value in enumerate(spans, 1):
        span = read_span(value, text)
        if span is None or span.start is None or span.end is None:
            continue
        found = text[span.start : span.end]
        if span.surface and span.surface.split() != found.split():
            return say(
                "span {n}, {first} to {last}, is {found} in the text, and says {words}",
                n=number,
                first=span.start,
                last=span.end,
                found=shorten(found, 40),
                words=shorten(span.surface, 40),
            )
        places = words_of(text) if places is None else places
        if cut := _cut(places, span.start) or _cut(places, span.end):
            return say(
                "span {n}, {found}, cuts the word {word}: the whole word is learned",
                n=number,
                found=shorten(found, 40),
                word=shorten(text[slice(*cut)], 40),
            )
    return None


def _cut(words: Sequence[Place], place: int) -> Place | None:
    """The word that has `place` inside of it."""
    number = bisect_left(words, (place, 0)) - 1
    return words[number] if number >= 0 and place < words[number][1] else None


def tags_of(text: str, spans: Sequence[Any]) -> Tagged:
    """The words of `text` tagged by `spans`, which have no fault.

    A span that ends inside a word has the whole of it: models tell words, not letters.
    """
    words = words_of(text)
    tags = [OUTSIDE] * len(words)
    ends = [end for _, end in words]
    for start, end, label in sorted(
        {p for value in spans if (p := _place(read_span(value, text)))}
    ):
        first = True
        for number in range(bisect_right(ends, start), len(words)):
            if words[number][0] >= end:
                break
            if tags[number] == OUTSIDE:
                tags[number] = f"{'B' if first else 'I'}-{label}"
                first = False
    return Tagged(text, words, tags)


def first_tokens(words: Sequence[Place], tokens: Sequence[Place]) -> tuple[list[int], list[int]]:
    """For each token the number of the word that it is the first one of; IGNORED for others.

    Beside it the number of the word behind the last that ends in the token: tokens of scripts
    without spaces are often several characters, which are words of their own. Both `words` and
    `tokens` are places in the text, in order; special tokens are empty.
    """
    found, behind = [IGNORED] * len(tokens), [IGNORED] * len(tokens)
    word = 0
    for number, (start, end) in enumerate(tokens):
        while word < len(words) and words[word][1] <= start:
            word += 1  # no token begins in it, as where the tokenizer drops a character
        if word < len(words) and start < end and end > words[word][0]:
            found[number] = word
            word += 1
            while word < len(words) and words[word][1] <= end:
                word += 1
            behind[number] = word
    return found, behind


def marked(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """Entities as what makes two of them the same: label, start and end."""
    return [(one["label"], one["start"], one["end"]) for one in found]
