"""Spans of a text as annotation tools write them: objects, lists, and where they count from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json

from tunesmith.values import canonical, from_python

LONGEST_LITERAL = 1 << 20
"""Characters of a list as Python writes it, at most: its parser takes much memory."""

_START = frozenset((
    "start", "begin", "startoffset", "beginoffset", "offset", "startchar", "charstart", "beginchar",
    "startindex", "startidx", "startpos", "startposition", "from", "charbegin", "startcharacter",
))  # fmt: skip
_END = frozenset((
    "end", "stop", "endoffset", "stopoffset", "endchar", "charend", "endindex", "endidx", "endpos",
    "endposition", "to", "endcharacter",
))  # fmt: skip
_LENGTH = frozenset(("length", "len"))
_LABEL = (
    "label", "labels", "entitygroup", "entitytype", "entitylabel", "labelname", "tag", "tags",
    "type", "category", "class", "entity", "ner", "nertag", "name", "displayname",
)  # fmt: skip
"""What the label may be called, the likeliest first."""
_SURFACE = (
    "text", "surface", "surfaceform", "word", "mention", "span", "phrase", "string", "value",
    "entity", "name",
)  # fmt: skip
"""What the words of the entity may be called."""
_LISTS = ("entities", "spans", "ents", "annotations", "labels", "label")
"""Keys of an object that holds nothing but spans, as spaCy's."""
_QUOTE = re.compile("['\"]")
_BETWEEN_TEXTS = re.compile(r"(?<=['\"])\s+(?=['\"])")
_BETWEEN_NUMBERS = re.compile(r"(?<=\d)\s+(?=-?\d)")
"""What numpy writes between the items of a list."""


@dataclass(frozen=True)
class Span:
    """An entity of a text as it was given."""

    start: int | None
    """Where it begins; None: only its words are known."""
    end: int | None
    label: str
    surface: str | None = None
    """Its words, where they are said."""

    def written(self) -> dict[str, Any]:
        """As the data have it once all spans are in one form."""
        return {"start": self.start, "end": self.end, "label": self.label, "text": self.surface}


def read_list(value: Any) -> list[Any] | None:
    """A list, or one written as JSON or as Python writes it; None for anything else."""
    if isinstance(value, str):
        value = read_document(value)
    return list(value) if isinstance(value, list | tuple) else None


def read_words(value: Any) -> list[Any] | None:
    """The same, and texts of words with spaces between them."""
    found = read_list(value)
    return value.split() if found is None and isinstance(value, str) else found


def read_spans(value: Any) -> list[Any] | None:
    """The spans in a cell, each as it was written; None where it holds no list of any.

    Besides lists there are objects around one (`{"entities": […]}`), objects of lists (`{"start":
    […], "end": […], "label": […]}`) and kinds with what they mark (`{"PER": [[0, 4]]}`).
    """
    if isinstance(value, str):
        value = read_document(value)
    if isinstance(value, Mapping):
        return _unwrapped(value)
    if not isinstance(value, list | tuple):
        return None
    if len(value) in (3, 4) and isinstance(value[0], int) and read_span(value) is not None:
        return [value]
    return list(value)


def read_span(value: Any, text: str = "") -> Span | None:
    """One span, with its places as they are written; None where it can't be read.

    Objects have a start, an end or length, and a label under any of their usual names; or the
    entity's words, a label and no places. Lists are `[start, end, label]` in any order.
    `text` tells the words of an entity from its label, where both might be either.
    """
    if isinstance(value, Mapping):
        return _of_object(value, text)
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 4:
        return None
    places = [int(part) for part in value if _is_place(part)]
    names = [part.strip() for part in value if isinstance(part, str) and not _is_place(part)]
    if len(places) == 2 and 1 <= len(names) <= 2 and names[0]:
        return Span(places[0], places[1], _label(names, text), _surface(names, text))
    if not places and len(names) == 2 and len(value) == 2:  # words and label
        words = _surface(names, text)
        return Span(None, None, _label(names, text), words) if words else None
    return None


def placed(span: Span, text: str) -> Span:
    """A span without places with those of its words, where these stand in the text once."""
    if span.start is not None or not span.surface or text.count(span.surface) != 1:
        return span
    start = text.index(span.surface)
    return replace(span, start=start, end=start + len(span.surface))


def _label(names: Sequence[str], text: str) -> str:
    if len(names) == 1:
        return names[0]
    return names[1] if names[0] in text and names[1] not in text else names[0]


def _surface(names: Sequence[str], text: str) -> str | None:
    if len(names) == 1:
        return None
    first, second = names
    return first if _label(names, text) == second else second


def _is_place(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal() and len(value) < 12
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == value and abs(value) < 1e12 and value == int(value)


def _of_object(value: Mapping[str, Any], text: str) -> Span | None:
    keys = {_plain(str(key)): item for key, item in value.items() if item is not None}
    start = next((keys[name] for name in keys if name in _START and _is_place(keys[name])), None)
    end = next((keys[name] for name in keys if name in _END and _is_place(keys[name])), None)
    length = next((keys[name] for name in keys if name in _LENGTH and _is_place(keys[name])), None)
    if end is None and start is not None and length is not None:
        end = int(start) + int(length)
    labels = [(name, keys[name]) for name in _LABEL if name in keys]
    found = [(name, label) for name, item in labels if (label := _one_label(item))]
    words = [
        (name, keys[name]) for name in _SURFACE if isinstance(keys.get(name), str) and keys[name]
    ]
    if not found:
        return None
    name, label = next((one for one in found if len(found) == 1 or one[1] not in text), found[0])
    surface = next((said for other, said in words if other != name), None)
    if start is not None and end is not None:
        return Span(int(start), int(end), label, surface)
    return Span(None, None, label, surface) if start is None and end is None and surface else None


def _one_label(value: Any) -> str | None:
    """The label that a value says; None where it is none, or several."""
    if isinstance(value, list | tuple):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "label", "text") if value.get(key)), None)
    if isinstance(value, bool | list | tuple) or value is None:
        return None
    return canonical(value).strip() or None


def _plain(key: str) -> str:
    return re.sub(r"[^a-z]", "", key.lower())


def _unwrapped(value: Mapping[str, Any]) -> list[Any] | None:
    there = {key: item for key, item in value.items() if item is not None}
    plain = {_plain(str(key)): item for key, item in there.items()}
    if _START & plain.keys() and all(isinstance(item, list | tuple) for item in there.values()):
        return _transposed(there)
    if read_span(there) is not None:
        return [there]
    for key in _LISTS:
        if isinstance(there.get(key), list | tuple | Mapping) and len(there) == 1:
            return read_spans(there[key])
    spans = [span for label, marked in there.items() for span in _marked(str(label), marked)]
    return spans if spans or not there else None


def _transposed(lists: Mapping[str, Sequence[Any]]) -> list[Any] | None:
    """Objects of lists, as `datasets` keeps lists of objects, one object each."""
    if len({len(item) for item in lists.values()}) != 1:
        return None
    return [dict(zip(lists, parts, strict=True)) for parts in zip(*lists.values(), strict=True)]


def _marked(label: str, marked: Any) -> Iterator[Any]:
    """What a kind marks: places, words, or words with their places (as CLUENER has them)."""
    if isinstance(marked, Mapping):
        for words, places in marked.items():
            for place in places if isinstance(places, list | tuple) else ():
                if isinstance(place, list | tuple) and len(place) == 2:
                    yield {"start": place[0], "end": place[1], "label": label, "text": str(words)}
    elif isinstance(marked, list | tuple):
        for one in marked:
            if isinstance(one, str):
                yield {"label": label, "text": one}
            elif isinstance(one, list | tuple) and len(one) == 2:
                yield {"start": one[0], "end": one[1], "label": label}


def read_document(text: str) -> Any:
    """What a text holds as JSON, or as Python (or numpy) writes lists; None for anything else."""
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", "("):
        return None
    try:
        return from_json(stripped)
    except ValueError:  # also nested without end, or with half of a character
        pass
    if len(stripped) > LONGEST_LITERAL:
        return None
    between = _BETWEEN_TEXTS if _QUOTE.search(stripped) else _BETWEEN_NUMBERS
    for written in dict.fromkeys((between.sub(", ", stripped), stripped)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes in its texts
            try:
                return from_python(written)
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                continue
    return None
