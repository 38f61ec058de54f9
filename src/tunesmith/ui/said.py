"""What the service says, in the visitor's language.

The API answers in English: reasons, problems, findings, verdicts. Each known sentence is one of the
templates in `sentences`, whose translations are in the catalogues with the page's own texts. A
sentence is matched with them, and what stood in the place of a `{name}` goes into the translation;
those that hold a text of the service themselves (`TEXTS`) are translated in their turn. What isn't
known is shown as a quotation of the service.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from string import Formatter

from tunesmith.errors import Problem, shorten
from tunesmith.ui import markdown
from tunesmith.ui.language import _, catalogue, language, translated
from tunesmith.ui.sentences import TEMPLATES

TEXTS = frozenset(
    {
        "advice",
        "error",
        "hint",
        "how",
        "kind",
        "more",
        "other",
        "reason",
        "rest",
        "status",
        "what",
        "where",
        "who",
        "why",
    }
)
"""Names of places in a template that hold a text of the service; all others hold a value."""

LONGEST = 3_000
"""Characters of a sentence that is looked up; a longer one is quoted."""

MOST_GAPS = 10
"""Ends of sentences at which a text is tried to be cut in two."""

KEPT = 4_096
"""Sentences whose translation is remembered."""

_COMMA, _SEMICOLON = "\N{FULLWIDTH COMMA}", "\N{FULLWIDTH SEMICOLON}"
_AND, _OR = "且", f"{_COMMA}或 "
_PROSE = re.compile(r"[A-Za-z']{2,}[,;:.]? [a-z']{2,}")
"""Two words in a row: no name and no number."""
_JOINTS = ((", or ", _OR), ("; ", _SEMICOLON), (", ", _COMMA), (" and ", _AND))
_END = re.compile(r"(?<=[.!?])\s+|\n\s*")


@dataclass(frozen=True)
class Piece:
    """A part of what is shown; `quoted` where it is in the service's own words."""

    text: str
    quoted: bool = False


Pieces = tuple[Piece, ...]


def plain(sentence: str) -> str:
    """`sentence` of the service in the visitor's language, where no Markdown is read."""
    return "".join(f"「{p.text}」" if p.quoted else p.text for p in _told(sentence))


def text(sentence: str) -> str:
    """`sentence` of the service in the visitor's language, as Markdown that shows it as it is."""
    told = _told(sentence)
    if any(piece.quoted for piece in told):
        return "".join(
            markdown.code(piece.text) if piece.quoted else _between(piece.text) for piece in told
        )
    return markdown.as_it_is("".join(piece.text for piece in told))


def _between(text: str) -> str:
    """A piece that stands beside others: Markdown takes the spaces at the ends of a text away."""
    before, after = (" " * end.isspace() for end in (text[:1], text[-1:]))
    return f"{before}{markdown.as_it_is(text)}{after}"


def problem(wrong: Problem) -> str:
    """What is wrong with a field, without the field's name, as Markdown that shows it as it is."""
    told = text(wrong.message)
    if wrong.has_value:
        told += _("; got {value}").format(value=markdown.code(shorten(wrong.value)))
    if wrong.accepted:
        told += _("; accepted: {what}").format(what=text(wrong.accepted))
    if wrong.suggestion:
        told += _("; did you mean {name}?").format(name=markdown.code(wrong.suggestion))
    return told


def is_known(sentence: str, code: str) -> bool:
    """Whether every part of `sentence` has a translation into the language of `code`."""
    found = _looked_up(code, sentence)
    return found is not None and not any(piece.quoted for piece in found)


def _told(sentence: str) -> Pieces:
    code = language()
    if catalogue(code) is None or not sentence.strip():
        return (Piece(sentence),)
    found = _looked_up(code, sentence)
    return found or (Piece(_("The service says: ")), Piece(sentence.strip(), quoted=True))


@lru_cache(KEPT)
def _looked_up(code: str, sentence: str) -> Pieces | None:
    """`sentence` in the language of `code`; None where nothing of it is known."""
    sentence = sentence.strip()
    if not sentence or _is_value(sentence):
        short = _matched(code, sentence) if sentence else None  # such as `row 3`
        return short if short and not _has_quotation(short) else (Piece(sentence),)
    if len(sentence) > LONGEST:
        return None
    whole = _matched(code, sentence)
    if whole is not None and not _has_quotation(whole):
        return whole
    return _one_by_one(code, sentence) or _listed(code, sentence) or whole


def _is_value(sentence: str) -> bool:
    return _PROSE.search(sentence) is None


def _has_quotation(pieces: Sequence[Piece]) -> bool:
    return any(piece.quoted for piece in pieces)


def _whole(code: str, sentence: str) -> Pieces | None:
    """A sentence without places, or a description of a field, which loses its full stop."""
    if sentence in TEMPLATES:
        return (Piece(translated(code, sentence)),)
    described = translated(code, f"{sentence}.")
    return None if described == f"{sentence}." else (Piece(described.rstrip("。. ")),)


def _matched(code: str, sentence: str) -> Pieces | None:
    """By the longest template that fits; one whose texts are known too goes before others."""
    if (whole := _whole(code, sentence)) is not None:
        return whole
    best = None
    for template in _templates():
        if (found := template.fit(sentence)) is None:
            continue
        pieces = _filled(code, template.text, found)
        if not _has_quotation(pieces):
            return pieces
        best = best or pieces
    return best


def _filled(code: str, template: str, values: dict[str, str]) -> Pieces:
    pieces: list[Piece] = []
    for literal, name, _spec, _conversion in Formatter().parse(translated(code, template)):
        pieces.append(Piece(literal))
        if name is not None:
            pieces += _value(code, name, values.get(name, ""))
    return tuple(piece for piece in pieces if piece.text)


def _value(code: str, name: str, value: str) -> Sequence[Piece]:
    if name in TEXTS:
        return _looked_up(code, value) or [Piece(value.strip(), quoted=True)]
    return [Piece(value, quoted=not all(map(_is_value, value.split(", "))))]


def _one_by_one(code: str, sentence: str) -> Pieces | None:
    """Several sentences in a row, or lines: each by itself, where all are known."""
    for gap in islice(_END.finditer(sentence), MOST_GAPS):
        first, rest = sentence[: gap.start()], sentence[gap.end() :]
        before = _matched(code, first)
        if before is None or _has_quotation(before):
            continue
        after = _looked_up(code, rest)
        if after is not None and not _has_quotation(after):
            return (*before, Piece("\n" if "\n" in gap[0] else " "), *after)
    return None


def _listed(code: str, sentence: str) -> Pieces | None:
    """What is accepted, such as `a whole number, at least 1, or null`."""
    for gap, joint in _JOINTS:
        parts = sentence.split(gap)
        if len(parts) == 1:
            continue
        told = [_looked_up(code, part) for part in parts]
        if any(each is None or _has_quotation(each) for each in told):
            continue
        pieces: list[Piece] = []
        for each in told:
            pieces += [*([Piece(joint)] if pieces else []), *(each or ())]
        return tuple(pieces)
    return None


@dataclass(frozen=True)
class Template:
    """A template with places: its fixed texts, and the names of the places between them."""

    text: str
    fixed: Sequence[str]
    """One more than there are places; empty where two places meet, or one is at an end."""
    names: Sequence[str]

    def fit(self, sentence: str) -> dict[str, str] | None:
        """What stands in the places, where `sentence` fits; a name's places must hold the same.

        Each fixed text is taken where it first stands, and the last one at the end: nothing is
        tried twice, whatever the sentence is.
        """
        first, *between, last = self.fixed
        position, stop = len(first), len(sentence) - len(last)
        if stop < position or not (sentence.startswith(first) and sentence.endswith(last)):
            return None
        values: dict[str, str] = {}
        for name, literal in zip(self.names, [*between, None], strict=True):
            end = stop if literal is None else sentence.find(literal, position, stop)
            if end < position:
                return None
            if values.setdefault(name, sentence[position:end]) != sentence[position:end]:
                return None
            position = end + len(literal or "")
        return values


@cache
def _templates() -> list[Template]:
    """Templates with places; those of the longest fixed text first."""
    found = []
    for text in TEMPLATES:
        parts = [(literal, name) for literal, name, *_rest in Formatter().parse(text)]
        names = [name for _literal, name in parts if name is not None]
        if names:
            ends_in_place = parts[-1][1] is not None
            fixed = [literal for literal, _name in parts] + [""] * ends_in_place
            found.append(Template(text, fixed, names))
    return sorted(found, key=lambda each: (-sum(map(len, each.fixed)), each.text))
