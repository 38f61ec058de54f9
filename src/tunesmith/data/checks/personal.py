"""Likely secrets and personal data in texts: keys, e-mail addresses, phone numbers.

A pattern picks the few texts worth looking at; detect-secrets and phonenumbers decide. What was
found is never given whole, so that a report of leaks is not one itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import phonenumbers
import polars as pl
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}"
PHONE = r"\d[\d\s().\-/]{6,}\d"
SECRET = r"[A-Za-z0-9_\-+/=.:]{20,}|://[^\s:@/]+:[^\s@/]+@"
"""What every secret that detect-secrets knows looks like, roughly."""

REGIONS = ("US", "GB", "TW")
"""Whose national phone numbers are known; those of other countries are with their +prefix."""

NOT_SECRET = frozenset({"Public IP (ipv4)"})
"""What detect-secrets finds besides secrets."""


def find_secrets(texts: pl.Series) -> dict[int, str]:
    """Index of a text → the kind of secret that it seems to hold, and its first characters."""
    return _found(texts, (SECRET, "-----BEGIN"), _secret)


def find_personal_data(texts: pl.Series) -> dict[int, str]:
    """Index of a text → the e-mail address or phone number in it, most of it left out."""
    return _found(texts, (PHONE, "@"), _personal)


def _found(
    texts: pl.Series, patterns: Sequence[str], look: Callable[[str], str | None]
) -> dict[int, str]:
    frame = pl.DataFrame({"text": texts})
    # One expression each, which Polars computes side by side.
    likely = frame.select(
        pl.col("text").str.contains(pattern).fill_null(False).alias(pattern) for pattern in patterns
    )
    indices = likely.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    found = {}
    for index, text in zip(indices.to_list(), texts.gather(indices).to_list(), strict=True):
        if seen := look(text):
            found[index] = seen
    return found


def _secret(text: str) -> str | None:
    for detector in _detectors():
        for secret in detector.analyze_string(text):
            return f"{detector.secret_type}: {str(secret)[: min(4, len(str(secret)) // 4)]}…"
    return None


@functools.cache
def _detectors() -> Sequence[RegexBasedDetector]:
    """Those that know a secret by its form; the ones that guess by entropy are left out."""
    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return [
        kind()
        for name, kind in sorted(kinds.items())
        if name not in NOT_SECRET and issubclass(kind, RegexBasedDetector)
    ]


def _personal(text: str) -> str | None:
    if address := re.search(EMAIL, text):
        name, _, domain = address[0].partition("@")
        return f"e-mail address: {name[0]}…@{domain}"
    for region in REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            # Ten bare digits are more often an order's number.
            if not match.raw_string.isdigit():
                return f"phone number: …{match.raw_string[-3:]}"
    return None
