"""A label as it stands in data, read as the label that is meant: spaces, lists, missing values."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from tunesmith.errors import DataError, shorten
from tunesmith.values import canonical

MISSING = frozenset({"", "nan", "NaN", "NAN", "None", "<NA>", "NaT", "null", "NULL"})
"""What pandas, NumPy, SQL and JSON write where there is no value."""

MARKED = "_labels"
"""The column that is made of columns of 0 and 1."""

LONGEST_LIST = 20_000
MOST_ITEMS = 1_000
"""Characters and items of a text that may be read as a list as Python writes it."""

_INVISIBLE = re.compile(
    "[\u200b\u200e\u200f\u2060-\u2064\ufeff\u00ad\u180e\u202a-\u202e\u2066-\u2069\x00-\x08]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"  # they join some scripts
)
_WHOLE = re.compile(r"([+-]?\d{1,18})\.0+")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d])[\s_-]+(?=[^\W\d])")
_PLAIN = re.compile(r"[+-]?[\d.]+|True|False|None|nan")
_ITEM = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"\[\](){}]+))\s*(,|$|(?=['"]))"""
)
"""One item of a list as Python writes it; NumPy puts no comma between texts."""


@lru_cache(maxsize=10_000)
def clean(text: str) -> str:
    """`text` without spaces at its ends, invisible characters and runs of spaces (NFC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return " ".join(text.split())


@lru_cache(maxsize=10_000)
def certain_key(label: str) -> str:
    """Equal for labels that are surely one: `1` and `1.0`, `True` and `true`."""
    if whole := _WHOLE.fullmatch(label):
        return str(int(whole[1]))
    lowered = label.lower()
    return lowered if lowered in ("true", "false") else label


@lru_cache(maxsize=10_000)
def likely_key(label: str) -> str:
    """Equal for labels that are probably one: they differ by capitals, width, spaces or hyphens."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    return certain_key(_BETWEEN_LETTERS.sub("", folded))


def is_missing(value: Any) -> bool:
    """Whether `value` stands for no label at all."""
    return not isinstance(value, list | tuple) and clean(canonical(value)) in MISSING


def as_list(value: Any) -> list[Any] | None:
    """A list, or a text that holds one as JSON, Python or NumPy writes it; None for others."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str) or len(value) > LONGEST_LIST:
        return None
    text = value.strip()
    if text[:1] + text[-1:] not in ("[]", "()", "{}"):
        return None
    if text[0] == "[":
        try:
            found = from_json(text)
        except ValueError:  # also nested without end, or with half of a character
            pass
        else:
            return list(found)
    return _python_list(text[1:-1].strip(), numbers=text[0] == "[")


def _python_list(text: str, *, numbers: bool) -> list[Any] | None:
    """The items of a list of texts; `numbers`: or of numbers alone."""
    items: list[str] = []
    quoted, start = False, 0
    while start < len(text):
        found = _ITEM.match(text, start)
        if found is None or len(items) == MOST_ITEMS:
            return None
        single, double, bare = found.group(1, 2, 3)
        written = single if single is not None else double
        quoted = quoted or written is not None
        items.append(bare if written is None else re.sub(r"\\(.)", r"\1", written))
        start = found.end()
    return items if quoted or (numbers and all(map(_PLAIN.fullmatch, items))) else None


def marks(value: Any, labels: list[str] | None) -> list[str] | None:
    """The labels that a list of 0 and 1, one for each of `labels`, marks; None where it is no such.

    Raises DataError where it plainly is one, and `labels` don't say which mark is which.
    """
    bits = [canonical(item) for item in value]
    if len(bits) < 2 or not {*bits} <= {"0", "1"} or {*(labels or ())} & {"0", "1"}:
        return None
    if labels and len(labels) == len(bits):
        return [label for label, bit in zip(labels, bits, strict=True) if bit == "1"]
    if len({*bits}) == len(bits) and not labels:
        return None  # [0, 1] may be two labels
    raise DataError(
        "{value} marks {n} labels with 0 and 1: name the {n} labels, in this order, in task.labels",
        value=shorten(value),
        n=len(bits),
    )
