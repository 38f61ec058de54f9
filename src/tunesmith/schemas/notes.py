"""Notes and tags: what people write on experiments and adapters, and what is refused in them."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from tunesmith.messages import say

LONGEST_NOTE = 10_000
"""Characters of a note, at most."""
LONGEST_TAG = 50
MOST_TAGS = 20


def _plain_note(value: str) -> str:
    return _plain(value, but="\n\r\t")


def _plain_tag(value: str) -> str:
    tag = unicodedata.normalize("NFC", _plain(value).strip())
    if not 1 <= len(tag) <= LONGEST_TAG:
        raise ValueError(
            say("must have 1 to {most} characters, and has {n}", most=LONGEST_TAG, n=len(tag))
        )
    return tag


def _plain(value: str, but: str = "") -> str:
    """`value`. Raises ValueError where it would do something to a terminal, or ends its line."""
    wrong = ("Cc", "Cs", "Zl", "Zp")
    if any(unicodedata.category(each) in wrong and each not in but for each in value):
        raise ValueError(say("must hold no control characters"))
    return value


# The schema says the rules to who reads it; it is the functions that keep to them.
Note = Annotated[
    str,
    Field(
        max_length=LONGEST_NOTE,
        json_schema_extra={"pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]*$"},
    ),
    AfterValidator(_plain_note),
]
Tag = Annotated[
    str,
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": LONGEST_TAG,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
        }
    ),
    AfterValidator(_plain_tag),
]
