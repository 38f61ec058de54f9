"""HTML out of text: tags removed, entities written as the characters they stand for.

Python's html.parser is not used: how it reads broken markup (an unclosed comment, a lone `<`)
changes between Python's patch releases and may swallow the rest of a text, while the same text must
give the same training data everywhere. And what is no HTML must stay: `a < b`, `<3`, `<|user|>`.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

HINT = r"<[A-Za-z/!]|&#?[0-9A-Za-z]+;"
"""Pattern (Rust and Python) of every text that `strip_html` could change."""

_INLINE_NAMES = """
a abbr acronym b basefont bdi bdo big cite code data del dfn em font i ins kbd label mark meter nobr
q ruby rb rp rt rtc s samp small span strike strong sub sup time tt u var wbr
"""
_BLOCK_NAMES = """
address area article aside audio base blink blockquote body br button canvas caption center col
colgroup datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer form frame
frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe img input legend li link main map
marquee menu meta nav noframes noscript object ol optgroup option output p param picture pre
progress search section select slot source summary svg table tbody td template textarea tfoot th
thead title tr track ul video
"""
_INLINE = frozenset(_INLINE_NAMES.split())
_BLOCK = frozenset(_BLOCK_NAMES.split())
"""Elements that end a word: where their tag stood, a space must."""
_HIDDEN = frozenset(["script", "style"])
"""Elements whose content is no text."""

_MARKUP = _INLINE | _BLOCK | _HIDDEN | {"!doctype"}

# Every repetition is possessive or stops at the next "<", so that the time taken is linear.
_TAG = re.compile(
    r"""(<!--)|<!doctype[^<>]*+>|<(/?)([a-z][a-z0-9]*+)"""
    r"""(?:\s(?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+)?+/?>""",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});")


def strip_html(text: str) -> str:
    """`text` without HTML tags, comments, scripts and styles, its entities unescaped once.

    A block's tag becomes a space, so that words don't grow together. Text without HTML comes back
    as it is. What unescaping makes (`&lt;b&gt;`) is not stripped again.
    """
    kept: list[str] = []
    unclosed: set[str] = set()
    position = 0  # up to where `text` is dealt with
    search = 0
    while tag := _TAG.search(text, search):
        name = "<!--" if tag.group(1) else (tag.group(3) or "!doctype").lower()
        search = end = tag.end()
        if name == "<!--" or (name in _HIDDEN and not tag.group(2)):
            end = -1 if name in unclosed else _end_of(name, text, end)
            if end < 0:  # never closed: a person's text, not markup
                unclosed.add(name)
                continue
            search = end
        elif name not in _MARKUP:
            continue
        if tag.start() > position:
            kept.append(text[position : tag.start()])
        if name not in _INLINE and not (kept and kept[-1][-1].isspace()):
            kept.append(" ")
        position = end
    kept.append(text[position:])
    stripped = "".join(kept).strip() if position else text
    return _ENTITY.sub(_character, stripped)


_CLOSE = {
    "<!--": re.compile("-->"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
}


def _end_of(name: str, text: str, start: int) -> int:
    """Where the hidden part that began before `start` ends, or -1."""
    found = _CLOSE[name].search(text, start)
    return found.end() if found else -1


def _character(entity: re.Match[str]) -> str:
    known = entity.group(1).startswith("#") or f"{entity.group(1)};" in html5
    return html.unescape(entity.group()) if known else entity.group()
