"""Entities: words and their tags, spans of a text, and one made into the other.

Tags are IOB2: `B-PER` begins a person, `I-PER` continues it, `O` is no entity (Tjong Kim Sang and
Veenstra 1999, "Representing Text Chunks"). What counts as an entity is seqeval's strict IOB2, which
finds none in an `I-` that continues nothing: `seqeval` itself (1.2.2 of 2020, source only) needs
scikit-learn for what are twenty lines here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from tunesmith.tasks.columns import IGNORED

OUTSIDE = "O"

Place = tuple[int, int]
"""First character, and the one behind the last."""

# Characters of scripts that put no space between words are words of their own.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
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
        if tag != OUTSIDE and not (isinstance(tag, str) and re.match(r"[BI]-.", tag)):
            return f"tag {number}, {tag!r}, is none of IOB2: O, B-NAME or I-NAME"
        if tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}"):
            return f"tag {number}, {tag}, continues no entity: one begins with B-{tag[2:]}"
        before = tag
    return None


def runs(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Entities as (first word, the one behind the last, label): strict IOB2.

    An entity begins with `B-` and goes on while `I-` of the same label follows.
    """
    found = []
    start: int | None = None
    for number, tag in enumerate([*tags, OUTSIDE]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.append((start, number, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = number
    return found


def entities(tagged: Tagged) -> list[dict[str, Any]]:
    """The entities of a text: `label`, `text`, `start` and `end` in characters, in their order."""
    found = []
    for first, behind, label in runs(tagged.tags):
        start, end = tagged.words[first][0], tagged.words[behind - 1][1]
        found.append({"label": label, "text": tagged.text[start:end], "start": start, "end": end})
    return found


def read_list(value: Any) -> list[Any] | None:
    """A list, or one written as JSON text; None for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = from_json(value)
        except ValueError:  # also nested without end, or with half of a character
            return None
    return list(value) if isinstance(value, list | tuple) else None


def read_span(value: Any) -> tuple[int, int, str] | None:
    """A span as (start, end, label): `{start, end, label}`, or `[start, end, label]`.

    None where it is neither. The label may also be called entity, entity_group, type or tag.
    """
    if isinstance(value, Mapping):
        names = ("label", "entity", "entity_group", "type", "tag")
        label = next((value[name] for name in names if value.get(name) is not None), None)
        value = (value.get("start"), value.get("end"), label)
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    start, end, label = value
    try:
        places = int(start), int(end)
    except (TypeError, ValueError, OverflowError):
        return None
    return (*places, label) if isinstance(label, str) and label else None


def span_fault(text: str, spans: Sequence[Any]) -> str | None:
    """What keeps `spans` from being entities of `text`, in words; None where nothing does."""
    read = [read_span(span) for span in spans]
    for number, span in enumerate(read, 1):
        if span is None:
            return f"span {number} needs start, end and label; got {str(spans[number - 1])[:80]}"
        start, end, _ = span
        if not 0 <= start < end <= len(text):
            return f"span {number}, {start} to {end}, is not in the text of {len(text)} characters"
    ordered = sorted(span for span in read if span is not None)
    for (start, end, label), (later, _, other) in itertools.pairwise(ordered):
        if later < end:
            return f"{label} from {start} to {end} and {other} from {later} overlap: keep one"
    return None


def tags_of(text: str, spans: Sequence[Any]) -> Tagged:
    """The words of `text` tagged by `spans`, which have no fault.

    A span that ends inside a word has the whole of it: models tell words, not letters.
    """
    words = words_of(text)
    tags = [OUTSIDE] * len(words)
    for span in sorted(found for value in spans if (found := read_span(value)) is not None):
        start, end, label = span
        first = True
        for number, (begin, stop) in enumerate(words):
            if begin < end and stop > start and tags[number] == OUTSIDE:
                tags[number] = f"{'B' if first else 'I'}-{label}"
                first = False
    return Tagged(text, words, tags)


def first_tokens(words: Sequence[tuple[int, int]], tokens: Sequence[tuple[int, int]]) -> list[int]:
    """For each token the number of the word that it is the first one of; IGNORED for others.

    Both are places in the text, in order; special tokens are empty.
    """
    found = [IGNORED] * len(tokens)
    word = 0
    for number, (start, end) in enumerate(tokens):
        while word < len(words) and words[word][1] <= start:
            word += 1  # no token begins in it, as where the tokenizer drops a character
        if word < len(words) and start < end and end > words[word][0]:
            found[number] = word
            word += 1
    return found


def marked(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """Entities as what makes two of them the same: label, start and end."""
    return [(one["label"], one["start"], one["end"]) for one in found]
