"""Messages in other languages: one gettext catalogue a language, `locale/CODE.po`, read by Babel.

https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.messages.message import Message, Value, bare, fill, places, written

if TYPE_CHECKING:
    from babel import Locale
    from babel.messages.catalog import Catalog

ENGLISH = "en"
"""The language of the code, which needs no catalogue."""

FOLDER = Path(__file__).parent / "locale"

SEPARATOR = ", "
"""Between the parts of a list."""

MARKS = (SEPARATOR, "; ", ": ", ". ", ".", " and ", " or ", ", or ")
"""What stands between texts, or ends one: texts of the catalogues, as `joined` asks for them."""

WORDS = frozenset({
    "doing", "error", "how", "kind", "more", "needed", "phase", "reason", "rest", "role",
    "side", "stage", "status", "waiting", "wanted", "what", "why"
})  # fmt: skip
"""Places whose plain text may be one of the catalogues': `messages.words`, `messages.foreign`."""

_VARIABLES = ("TUNESMITH_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""Environment variables that name a language, the most important first (POSIX has the others)."""


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages: English, and those that have a catalogue."""
    return (ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po")))


def own_name(language: str) -> str:
    """What speakers of `language` call it: the translation of `English`."""
    return translate("English", language)


def best_of(wanted: str) -> str | None:
    """The language for somebody who wants `wanted`, such as `zh-TW` or `zh_TW.UTF-8`, or None.

    Where there is none of that region, another of the same language is better than English.
    """
    code = wanted.partition(".")[0].partition("@")[0].replace("-", "_").lower()
    known = {each.lower(): each for each in languages()}
    alike = (each for each in known if each.partition("_")[0] == code.partition("_")[0])
    return known.get(code) or known.get(next(alike, ""))


def language_of(environment: Mapping[str, str]) -> str:
    """The language that the environment's first variable names; English where there is none."""
    for name in _VARIABLES:
        if wanted := environment.get(name, ""):
            return best_of(wanted) or ENGLISH
    return ENGLISH


def translated(text: str, language: str) -> str:
    """`text` in `language` where it is a message and has a translation; else as it is."""
    if not isinstance(text, Message) or catalogue(language) is None:
        return text
    try:
        specs = places(text.template) | places(text.plural or "")
        return fill(
            _string(text, language),
            lambda name, _: _written(name, text.values[name], specs.get(name, ""), language),
        )
    except (KeyError, ValueError, TypeError):  # of another version, or damaged
        return text


def translate(text: str, language: str) -> str:
    """A text without values, in `language`; as it is where there is no translation."""
    found = catalogue(language)
    message = found.get(text) if found is not None and text else None
    string = message.string if message is not None else ""
    return (string if isinstance(string, str) else (string or ("",))[0]) or text


def translate_plural(one: str, many: str, n: int, language: str) -> str:
    """The form of `one` and `many` for `n`, its places not filled yet."""
    found = catalogue(language)
    message = found.get(one) if found is not None else None
    string = message.string if message is not None else ""
    if not string or not all(string):
        return one if n == 1 else many
    return str(string if isinstance(string, str) else string[_plural(language)(n)])


@cache
def catalogue(language: str) -> Catalog | None:
    """The translations into a language; None for English, and where there are none."""
    if language not in languages() or language == ENGLISH:
        return None
    from babel.messages.pofile import read_po  # half of what `tunesmith --help` takes in all

    with (FOLDER / f"{language}.po").open("rb") as stream:
        return read_po(stream, locale=language)


@cache
def locale(language: str) -> Locale:
    """How numbers and times are written in a language."""
    from babel import Locale

    return Locale.parse(language)


def _string(message: Message, language: str) -> str:
    """The template of `message` in `language`."""
    if message.plural is None:
        return translate(bare(message.template), language)
    n = message.values.get("n")
    count = n if isinstance(n, int) else 2
    return translate_plural(bare(message.template), bare(message.plural), count, language)


@cache
def _plural(language: str) -> Callable[[int], int]:
    """Which form of the catalogue a number takes."""
    import gettext

    found = catalogue(language)
    assert found is not None
    return gettext.c2py(found.plural_expr)


def _written(name: str, value: Value, spec: str, language: str) -> str:
    """`value`, which stands in the place `name`, in `language`; a number by its spec."""
    if isinstance(value, list):
        between = translate(SEPARATOR, language)
        return between.join(_written(name, each, spec, language) for each in value)
    if isinstance(value, Message):
        return translated(value, language)
    if isinstance(value, str):
        return translate(value, language) if name in WORDS else value
    text = written(value, spec)
    return text.translate(_symbols(language)) if spec else text


@cache
def _symbols(language: str) -> dict[int, str]:
    """What stands for the signs of English numbers."""
    symbols = locale(language).number_symbols["latn"]
    return {ord(","): symbols["group"], ord("."): symbols["decimal"]}
