"""Likely secrets and personal data in texts: keys, e-mail addresses, phone numbers.

The patterns are detect-secrets' and our own; Polars matches them, whose engine takes a time that
grows with the text alone (Python's tries every way to read it: a cell of 100 KB took half a
minute). phonenumbers decides about the few pieces of a text that look like a number. What was found
is never given whole, so that a report of leaks is not one itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import phonenumbers
import polars as pl
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}"
PHONE = r"\d[\d\s().\-/]{6,}\d"
SECRET = r"[A-Za-z0-9_\-+/=.:]{20,}|://[^\s:@/]+:[^\s@/]+@|-----BEGIN"
"""What every secret that detect-secrets knows looks like, roughly."""

REGIONS = ("US", "GB", "TW")
"""Whose national phone numbers are known; those of other countries are with their +prefix."""

NOT_SECRET = frozenset({"Public IP (ipv4)"})
"""What detect-secrets finds besides secrets."""

WINDOW = 60
"""Characters of a piece of text in which a phone number is looked for."""

AROUND = 12
"""Characters beside such a piece that decide as well: a +, a letter, an extension."""

PIECES = 20
"""Pieces of one text in which a phone number is looked for, at most."""

# Only where numbers stand apart can one begin: within one row of digits and signs that ends in no
# match, fewer than eight digits can begin a try, so that the time taken is linear.
_PHONE = re.compile(PHONE)
_LINE = re.compile(rf"[^\r\n]{{1,{WINDOW}}}")

_AROUND_A_MATCH = (
    (r"(?:(?<=\W)|(?<=^))", r"(?:^|\W)"),
    (r"(?!\w)", r"(?:\W|$)"),
    (r"(?![a-f0-9])", r"(?:[^a-f0-9]|$)"),
    (r"(?![a-zA-Z0-9_\-])", r"(?:[^a-zA-Z0-9_\-]|$)"),
)
"""How detect-secrets looks beside a match, and the same for an engine that takes what it sees."""


def find_secrets(texts: pl.Series) -> dict[int, str]:
    """Index of a text → the kind of secret that it seems to hold, and its first characters."""
    indices = texts.str.contains(SECRET).fill_null(False).arg_true()
    left = pl.DataFrame({"index": indices, "text": texts.gather(indices)})
    found: dict[int, str] = {}
    for kind, pattern in _secret_patterns():
        hit = left["text"].str.contains(pattern)
        if hit.any():
            seen = left.filter(hit)
            values = seen["text"].str.extract_groups(_whole(pattern)).to_list()
            for index, groups in zip(seen["index"].to_list(), values, strict=True):
                whole, *inner = groups.values()
                secret = next(filter(None, inner), whole)
                found[index] = f"{kind}: {secret[: min(4, len(secret) // 4)]}…"
            left = left.filter(~hit)
    return dict(sorted(found.items()))


@functools.cache
def _secret_patterns() -> Sequence[tuple[str, str]]:
    """Kind of secret and pattern, of the detectors that know a secret by its form.

    The ones that guess by entropy are left out.
    """
    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    detectors = [
        kind()
        for name, kind in sorted(kinds.items())
        if name not in NOT_SECRET and issubclass(kind, RegexBasedDetector)
    ]
    return [
        (detector.secret_type, _for_polars(pattern))
        for detector in detectors
        for pattern in detector.denylist
    ]


def _for_polars(pattern: re.Pattern[str]) -> str:
    """A pattern of Python's in the syntax of Polars' engine, which knows no look-around."""
    text = pattern.pattern
    for theirs, ours in _AROUND_A_MATCH:
        text = text.replace(theirs, ours)
    flags = "".join(
        letter
        for flag, letter in ((re.IGNORECASE, "i"), (re.VERBOSE, "x"), (re.DOTALL, "s"))
        if pattern.flags & flag
    )
    return f"(?{flags}){text}" if flags else text


def _whole(pattern: str) -> str:
    """`pattern` as its first group, those that it has after it."""
    return f"({pattern})"


def find_personal_data(texts: pl.Series, most: int | None = None) -> tuple[dict[int, str], int]:
    """Index of a text → the e-mail address or phone number in it, most of it left out.

    Also how many texts were not searched for phone numbers: with `most`, only the first so many
    pieces that look like one are, which takes about half a millisecond each.
    """
    found = {
        index: f"e-mail address: {address[0]}…@{address.partition('@')[2]}"
        for index, address in _addresses(texts)
    }
    likely = texts.str.contains(PHONE).fill_null(False).arg_true()
    left = most
    passed_over = 0
    for index, text in zip(likely.to_list(), texts.gather(likely).to_list(), strict=True):
        if index in found:
            continue
        if left is not None and left <= 0:
            passed_over += 1
            continue
        for piece in islice(_like_phone_numbers(text), PIECES):
            left = None if left is None else left - 1
            if number := _phone_number(piece):
                found[index] = number
                break
    return dict(sorted(found.items())), passed_over


def _addresses(texts: pl.Series) -> Iterator[tuple[int, str]]:
    """Index and first e-mail address of each text that has one."""
    indices = texts.str.contains("@", literal=True).fill_null(False).arg_true()
    addresses = texts.gather(indices).str.extract(EMAIL, 0)
    for index, address in zip(indices.to_list(), addresses.to_list(), strict=True):
        if address is not None:
            yield index, address


def _like_phone_numbers(text: str) -> Iterator[str]:
    """The pieces of `text` that may be a phone number, each with what stands beside it."""
    for run in _PHONE.finditer(text):
        before = text[max(0, run.start() - AROUND) : run.start()]
        after = text[run.end() : run.end() + AROUND]
        if run[0].isdigit() and not before.endswith(("+", "(", "\uff0b")):
            continue  # ten bare digits are more often an order's number
        if len(run[0]) <= WINDOW:
            yield before + run[0] + after
        else:
            yield from (line[0] for line in _LINE.finditer(run[0]))


def _phone_number(piece: str) -> str | None:
    for region in REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(piece, region):
            if not match.raw_string.isdigit():
                return f"phone number: …{match.raw_string[-3:]}"
    return None
