"""Likely secrets and personal data in texts: keys, e-mail addresses, phone and identity numbers.

The patterns are detect-secrets' and our own; Polars matches them, whose engine takes a time that
grows with the text alone (Python's tries every way to read it: a cell of 100 KB took half a
minute). phonenumbers decides about the few pieces of a text that look like a number. What was found
is never given whole, so that a report of leaks is not one itself.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import phonenumbers
import polars as pl
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

from tunesmith.data.texts import matching
from tunesmith.messages import say

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}"
PHONE = r"\d[\d\s().\-/]{6,}\d"
SECRET = r"[A-Za-z0-9_\-+/=.:]{20,}|://[^\s:@/]+:[^\s@/]+@|-----BEGIN"
"""What every secret that detect-secrets knows looks like, roughly."""

IDENTITY = r"[A-Za-z][1289A-Da-d]\d{8}"
"""What Taiwan's identity numbers look like: of citizens, and of residents since and before 2021."""

WIDE = (
    "[\uff10-\uff19\uff20]|[0-9][\uff08\uff09\uff0d\uff0e\u3000\u2010-\u2015]|[\uff08\uff0b][0-9]"
)
"""What makes a text worth reading with its full-width characters as ASCII."""

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
_MOBILE = re.compile(
    r"(?<![\w.-])(?:(?:\+|00)886[ .()-]{0,3}0?|886[ .-]0?|\(?0)9[\d]{2}\)?(?:[ .-]?\d){6}(?![\w-])",
    re.ASCII,
)
"""A mobile phone's number as Taiwan writes it, with and without marks between its parts."""
_CALLED = re.compile(
    r"(?:電話|市話|手機|專線|傳真|聯絡|撥打?|tel|phone|call)\W{0,4}0\d{8,9}(?!\d)", re.IGNORECASE
)
"""Bare digits of which a word says that they are a phone number."""
_IDENTITY = re.compile(rf"(?<![A-Za-z0-9])(?:{IDENTITY})(?![A-Za-z0-9])")
_OF_ORDER = re.compile(
    r"(?:訂單|單號|序號|型號|料號|批號|貨號|帳號|order|invoice|sku|serial)"
    r"(?:編號|號碼|號|number|no)?[\s:#.\uff1a]{0,3}$",
    re.IGNORECASE,
)
"""Words before a number that say what else it is."""
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_NARROW |= {0x3000: 0x20, **dict.fromkeys(range(0x2010, 0x2016), 0x2D)}
_PLAIN = re.compile(r"\d+(\.\d+)?")
"""An order's number, or one with decimals."""
_CHINESE = re.compile("[\u3001-\u303f\u3400-\u9fff\uf900-\ufaff]")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
"""The letters of identity numbers, in the order of the numbers from 10 that they stand for."""
_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
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
    indices = matching(texts, SECRET).arg_true()
    left = pl.DataFrame({"index": indices, "text": texts.gather(indices)})
    found: dict[int, str] = {}
    for kind, pattern in _secret_patterns():
        hit = left["text"].str.contains(pattern)
        if hit.any():
            seen = left.filter(hit)
            values = seen["text"].str.extract_groups(f"({pattern})").to_list()
            for index, groups in zip(seen["index"].to_list(), values, strict=True):
                whole, *inner = groups.values()  # the pattern's own groups come after it
                secret = next(filter(None, inner), whole)
                found[index] = say(
                    "{kind}: {secret}…", kind=kind, secret=secret[: min(4, len(secret) // 4)]
                )
            left = left.filter(~hit)
    return dict(sorted(found.items()))


@functools.cache
def _secret_patterns() -> Sequence[tuple[str, str]]:
    """Kind of secret and pattern, of the detectors that know a secret by its form.

    The ones that guess by entropy are left out.
    """
    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return [
        (name, _for_polars(pattern))
        for name, kind in sorted(kinds.items())
        if name not in NOT_SECRET and issubclass(kind, RegexBasedDetector)
        for pattern in kind().denylist
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


def find_personal_data(texts: pl.Series, most: int | None = None) -> tuple[dict[int, str], int]:
    """Index of a text → the e-mail address, identity or phone number in it, most of it left out.

    Also how many texts were not searched for phone numbers: with `most`, only the first so many
    pieces that look like one are, which takes about half a millisecond each.
    """
    texts = _narrowed(texts)
    indices = texts.str.contains("@", literal=True).fill_null(False).arg_true()
    addresses = texts.gather(indices).str.extract(EMAIL, 0)
    found: dict[int, str] = {
        index: say(
            "e-mail address: {address}…@{partition}",
            address=address[0],
            partition=address.partition("@")[2],
        )
        for index, address in zip(indices.to_list(), addresses.to_list(), strict=True)
        if address is not None
    }
    likely = matching(texts, IDENTITY).arg_true()
    for index, text in zip(likely.to_list(), texts.gather(likely).to_list(), strict=True):
        if index not in found and (number := _identity_number(text)):
            found[index] = number
    likely = matching(texts, PHONE).arg_true()
    left = math.inf if most is None else most
    passed_over = 0
    for index, text in zip(likely.to_list(), texts.gather(likely).to_list(), strict=True):
        if index in found:
            continue
        if number := _number_of_taiwan(text):
            found[index] = number
            continue
        if left <= 0:
            passed_over += 1
            continue
        for piece in islice(_like_phone_numbers(text), PIECES):
            left -= 1
            if number := _phone_number(piece):
                found[index] = number
                break
    return dict(sorted(found.items())), passed_over


def _narrowed(texts: pl.Series) -> pl.Series:
    """`texts` with ASCII for full-width digits and signs, where a number or an address may be."""
    wide = matching(texts, WIDE).arg_true()
    if wide.is_empty():
        return texts
    narrow = [text.translate(_NARROW) for text in texts.gather(wide).to_list()]
    return texts.clone().scatter(wide, narrow)


def _identity_number(text: str) -> str | None:
    """The first identity number of Taiwan in `text`, by its checksum."""
    for found in islice(_IDENTITY.finditer(text), PIECES):
        before = text[max(0, found.start() - AROUND) : found.start()]
        if _is_identity_number(found[0].upper()) and not _OF_ORDER.search(before):
            return say("identity number: …{end}", end=found[0][-3:])
    return None


def _is_identity_number(number: str) -> bool:
    """Whether the checksum is right: a letter stands for two digits, a second one for its last.

    https://www.immigration.gov.tw/5385/7244/7250/20406/7329/148373/ (residents)
    """
    first = 10 + _LETTERS.index(number[0])
    second = (10 + _LETTERS.index(number[1])) % 10 if number[1].isalpha() else int(number[1])
    digits = (*divmod(first, 10), second, *map(int, number[2:]))
    return bool(sum(map(operator.mul, digits, _WEIGHTS)) % 10 == 0)


def _number_of_taiwan(text: str) -> str | None:
    """The first phone number that Taiwan writes as bare digits, or between words without spaces."""
    spaced = _CHINESE.sub(" ", text)
    for found in islice(_MOBILE.finditer(spaced), PIECES):
        if not _OF_ORDER.search(text[max(0, found.start() - AROUND) : found.start()]):
            return say("phone number: …{raw_string}", raw_string=found[0][-3:])
    if called := _CALLED.search(text):
        return say("phone number: …{raw_string}", raw_string=called[0][-3:])
    return None


def _like_phone_numbers(text: str) -> Iterator[str]:
    """The pieces of `text` that may be a phone number, each with what stands beside it."""
    for run in _PHONE.finditer(text):
        before = text[max(0, run.start() - AROUND) : run.start()]
        after = text[run.end() : run.end() + AROUND]
        if run[0].isdigit() and not before.endswith(("+", "(", "\uff0b")):
            continue  # ten bare digits are more often an order's number
        if len(run[0]) <= WINDOW:
            # A letter beside a number makes it none; Chinese puts no space there.
            yield _CHINESE.sub(" ", before) + run[0] + _CHINESE.sub(" ", after)
        else:
            yield from (line[0] for line in _LINE.finditer(run[0]))


def _phone_number(piece: str) -> str | None:
    for region in REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(piece, region):
            if not _PLAIN.fullmatch(match.raw_string):
                return say("phone number: …{raw_string}", raw_string=match.raw_string[-3:])
    return None
