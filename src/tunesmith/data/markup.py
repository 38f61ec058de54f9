"""HTML out of text: tags removed, entities written as the characters they stand for.

Python's html.parser is not used: how it reads broken markup (an unclosed comment, a lone `<`)
changes between Python's patch releases and may swallow the rest of a text, while the same text must
give the same training data everywhere. And what is no HTML must stay: `a < b`, `<3`, `<|user|>`,
and `a<b 且 c>d`, whose `<b 且 c>` has the name of a tag but no attributes of one.
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

_ALONE_NAMES = """
allowfullscreen async autofocus autoplay checked compact controls declare default defer disabled
formnovalidate hidden inert ismap itemscope loop multiple muted nomodule nohref noresize noshade
novalidate nowrap open playsinline readonly required reversed selected
"""
_ALONE = frozenset(_ALONE_NAMES.split())
"""Attributes that stand without a value."""

# Every repetition is possessive or stops at the next "<", so that the time taken is linear.
_TAG = re.compile(
    r"""(<!--)|<!doctype[^<>]*+>|<(/?)([a-z][a-z0-9]*+)"""
    r"""(\s(?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+)?+/?>""",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""([^\s"'=/]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"']++))?+""")
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});")


def strip_html(text: str) -> str:
    """`text` without HTML tags, comments, scripts and styles, its entities unescaped once.

    A block's tag becomes a space, so that words don't grow together. Text without HTML comes back
    as it is. What unescaping makes (`&lt;b&gt;`) is not stripped again.
    """
    kept: list[str] = []
    unclosed: set[str] = set()
    ends: dict[str, int] = {}
    position = 0  # up to where `text` is dealt with
    search = 0
    while tag := _TAG.search(text, search):
        name = "<!--" if tag.group(1) else (tag.group(3) or "!doctype").lower()
        search = tag.end()
        if name == "<!--" or (name in _HIDDEN and not tag.group(2)):
            closed = None if name in unclosed else _CLOSE[name].search(text, search)
            if closed is None:  # never closed: a person's text, not markup
                unclosed.add(name)
                continue
            search = closed.end()
        elif name not in _MARKUP or not _has_attributes(tag):
            continue
        elif name != "p" and _in_formula(tag):
            if name not in ends:
                ends[name] = _last_end(name, text)
            if ends[name] < search:
                continue
        if tag.start() > position:
            kept.append(text[position : tag.start()])
        if name not in _INLINE and not (kept and kept[-1][-1].isspace()):
            kept.append(" ")
        position = search
    kept.append(text[position:])
    stripped = "".join(kept).strip() if position else text
    return _ENTITY.sub(_character, stripped)


def _has_attributes(tag: re.Match[str]) -> bool:
    """Whether all that stands in a tag behind its name is what attributes are."""
    given = _ATTRIBUTE.findall(tag.group(4) or "")
    if any(value.startswith(("'", '"')) for _, value in given):
        return True  # quoted values are written nowhere else, and beside them people write anything
    return all(value or name.lower() in _ALONE or "-" in name.strip("-") for name, value in given)


def _in_formula(tag: re.Match[str]) -> bool:
    """Whether a tag stands as the `<b>` of `a<b>c` does, which is a tag where it is closed."""
    letter = len(tag.group(3) or "") == 1 and not tag.group(2) and not tag.group(4)
    text, start, end = tag.string, tag.start(), tag.end()
    return letter and start > 0 and text[start - 1].isalnum() and text[end : end + 1].isalnum()


def _last_end(name: str, text: str) -> int:
    """Where the last end tag of this `name` stands; -1 where there is none."""
    ends = re.finditer(rf"</{name}\s*+>", text, re.IGNORECASE)
    return max((each.start() for each in ends), default=-1)


_CLOSE = {
    "<!--": re.compile("-->"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
}


def _character(entity: re.Match[str]) -> str:
    known = entity.group(1).startswith("#") or f"{entity.group(1)};" in html5
    return html.unescape(entity.group()) if known else entity.group()
