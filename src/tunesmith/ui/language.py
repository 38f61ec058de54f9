"""The page's language: the one that was chosen, else the browser's first that there is.

Texts are written in English in the code, as `_("…")`, and translated by the gettext catalogues in
`locale/` (https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html), which Babel reads.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "zh_TW": "繁體中文"}
"""Code → what its speakers call it."""

COOKIE = "tunesmith_language"
"""Cookie with the code of the language that somebody chose."""

FOLDER = Path(__file__).parent / "locale"


def language() -> str:
    """Code of the language of this visitor."""
    chosen = st.context.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else best_of(st.context.locale or "")


def best_of(wanted: str) -> str:
    """The language for a browser that wants `wanted`, such as `zh-TW`: any Chinese is Chinese."""
    return "zh_TW" if wanted.lower().startswith("zh") else "en"


def locale() -> Locale:
    """How numbers and times are written in this visitor's language."""
    return Locale.parse(language())


def translate(text: str) -> str:
    """`text` in this visitor's language; as it is where there is no translation."""
    return translated(language(), text)


def N_(*texts: str) -> tuple[str, ...]:  # noqa: N802 - as gettext calls it
    """`texts` as they are: marks them for the catalogues; they are translated when shown."""
    return texts


def translate_number(one: str, many: str, number: int) -> str:
    """`one` or `many`, by `number`, which takes the place of `{n}`."""
    found = catalogue(language())
    message = found.get(one) if found is not None else None
    if found is None or message is None or not message.string:
        return (one if number == 1 else many).format(n=f"{number:,}")
    forms = [message.string] if isinstance(message.string, str) else message.string
    which = 0 if number == 1 else min(1, len(forms) - 1)
    return str(forms[which]).format(n=f"{number:,}")


@cache
def catalogue(code: str) -> Catalog | None:
    """The translations into a language; None for the language of the code."""
    path = FOLDER / f"{code}.po"
    if not path.exists():
        return None
    with path.open("rb") as stream:
        return read_po(stream, locale=code)


def translated(code: str, text: str) -> str:
    """`text` in the language of `code`; as it is where there is no translation."""
    found = catalogue(code)
    message = found.get(text) if found is not None and text else None
    return str(message.string) if message is not None and message.string else text


_ = translate
