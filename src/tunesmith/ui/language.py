"""The page's language: the one that was chosen, else the browser's first that there is."""

from __future__ import annotations

import streamlit as st
from babel import Locale

from tunesmith.messages import N_, catalogues

__all__ = ["N_", "_", "language", "locale", "translate", "translate_number"]

COOKIE = "tunesmith_language"
"""Cookie with the code of the language that somebody chose."""


def language() -> str:
    """Code of the language of this visitor."""
    chosen = st.context.cookies.get(COOKIE, "")
    if chosen in catalogues.languages():
        return chosen
    return catalogues.best_of(st.context.locale or "") or catalogues.ENGLISH


def locale() -> Locale:
    """How numbers and times are written in this visitor's language."""
    return catalogues.locale(language())


def translate(text: str) -> str:
    """`text`, or a word of ours, in this visitor's language; else as it is."""
    return catalogues.translate(str(text), language())


def translate_number(one: str, many: str, number: int) -> str:
    """The form of `one` and `many` for `number`, which takes the place of `{n}`."""
    form = catalogues.translate_plural(one, many, number, language())
    return form.format(n=f"{number:,}")


_ = translate
