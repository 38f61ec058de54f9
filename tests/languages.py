"""Whether what is said to people is said in other languages too."""

from __future__ import annotations

import re

from tunesmith.messages import Message
from tunesmith.messages.catalogues import catalogue, translate
from tunesmith.messages.message import Value, bare

PROSE = re.compile(r"[A-Za-z']{2,}[,;:.]? [a-z']{2,}")
"""Two words in a row: no name and no number."""


def is_translated(text: object, language: str = "zh_TW") -> bool:
    """Whether `text` is a message of which every part has a translation."""
    return isinstance(text, Message) and not list(_untranslated(text, language))


def _untranslated(value: Value, language: str) -> list[str]:
    """The templates, and the texts in English, that have no translation.

    What libraries say, in places called `error`, is quoted.
    """
    if isinstance(value, list):
        return [each for inner in value for each in _untranslated(inner, language)]
    if isinstance(value, Message):
        found = catalogue(language)
        assert found is not None
        key = bare(value.template)
        words = re.sub(r"\{\w*\}", "", key)
        message = found.get(key)
        missing = re.search(r"[^\W\d_]", words) and not (message and message.string)
        own = [each for name, each in value.values.items() if name != "error"]
        inner = _untranslated(own, language)
        return ([key] if missing else []) + inner
    wrong = isinstance(value, str) and PROSE.search(value) and translate(value, language) == value
    return [str(value)] if wrong else []
