"""Text that was decoded in the wrong way ("Ã©" for "é") is decoded as it was meant.

ftfy decides what is broken and how it is mended. Where only pieces of a text are broken it asks
itself anew for each of them, which takes 40 µs a piece: seconds for 700 KB. Pieces are letters of
some language and repeat, so that here each is asked for once. What ftfy leaves is mended here: Big5
that was read as Latin-1, and UTF-8 of Chinese in the midst of Chinese that was read rightly.

A text that would be mended in part only, because bytes of it were lost, stays as it is.
"""

from __future__ import annotations

import functools
import re

import ftfy
from ftfy.badness import is_bad
from ftfy.chardata import UTF8_DETECTOR_RE

from tunesmith.data.reading.likely_encoding import CHINESE

WHOLE = ftfy.TextFixerConfig(decode_inconsistent_utf8=False)
"""Texts as a whole: as UTF-8 that was read in one other encoding."""

MOST_ROUNDS = 10
"""Times that one text is mended: some went through a wrong decoding twice."""


_CHINESE_PAIRS = (
    ("gb18030", "utf-8"), ("cp950", "utf-8"), ("cp932", "utf-8"), ("gb18030", "cp950"),
    ("cp950", "gb18030"),
)  # fmt: skip
"""The encoding as which a text was read, and the one in which it was written."""
_FREQUENT = frozenset(CHINESE)
_EAST_ASIAN = re.compile("[\u3400-\u9fff\ue000-\uf8ff]")
FEWEST = 6
"""Chinese or private characters that show what was meant, at least."""
MOST_BY_CHANCE, LEAST_MEANT = 0.05, 0.2
"""Share of frequent characters: of what was read wrongly at most, of what was meant at least."""
MOST_LOOKED_AT = 2_000

_LEAD = "[\u00e3-\u00e9\u00ef]"
_REST = (
    "[\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
"""The first byte of a Chinese character in UTF-8, and the two others, as Latin-1 or cp1252."""
_WHOLE = f"{_LEAD}{_REST}(?:{_REST}| )"
"""A character; a last byte of A0 is often a space by now."""
_UTF8 = re.compile(f"(?:{_WHOLE}|{_LEAD}{_REST})+")
_PARTS = re.compile(
    f"{_WHOLE}{_LEAD}{_REST}|{_LEAD}{_REST}{_WHOLE}|[\u4e00-\u9fff](?:{_LEAD}{_REST}|\xa4)"
)

_BIG5 = re.compile("(?:[\u00a1-\u00f9][\u0040-\u007e\u00a1-\u00fe]){3,}")
"""Three or more characters of Big5, read as Latin-1."""
_MOST_USED = range(0xA4, 0xC7)
"""The first bytes of Big5's 5,401 frequently used characters; before them is punctuation."""


def is_lost(text: str) -> bool:
    """Whether `text` was decoded in the wrong way, and can't be mended whole."""
    return _is_broken(text) and mend_encoding(text) == text


def mend_encoding(text: str) -> str:
    """`text` as it was meant where all of it can be mended, else as it is."""
    if (chinese := _from_chinese(text)) is not None:
        return chinese
    if not _is_broken(text):
        return text
    by_ftfy = _as_ftfy_does(text)
    candidates = (by_ftfy, _UTF8.sub(_from_utf8, by_ftfy), _BIG5.sub(_from_big5, text))
    return next((mended for mended in candidates if not _is_broken(mended)), text)


def _is_broken(text: str) -> bool:
    return (
        is_bad(text) or _PARTS.search(text) is not None or any(map(_is_big5, _BIG5.findall(text)))
    )


def _from_chinese(text: str) -> str | None:
    """What Chinese was meant by Chinese that was read in another's encoding; None where nothing
    tells: frequent characters, of which a text has many, or hardly any where it is no text."""
    if len(_EAST_ASIAN.findall(text)) < FEWEST or _frequent_share(text) > MOST_BY_CHANCE:
        return None
    for read_as, written in _CHINESE_PAIRS:
        try:
            meant = text.encode(read_as).decode(written)
        except UnicodeError:
            continue
        if _frequent_share(meant) > LEAST_MEANT:
            return meant
    return None


def _frequent_share(text: str) -> float:
    """The share of Chinese's frequent characters among the first that aren't ASCII."""
    others = [character for character in text[:MOST_LOOKED_AT] if character > "\x7f"]
    return sum(map(_FREQUENT.__contains__, others)) / max(1, len(others))


def _from_utf8(found: re.Match[str]) -> str:
    data = b"".join(map(_byte, found[0]))
    try:
        return data.replace(b" ", b"\xa0").decode()
    except UnicodeDecodeError:
        return found[0]


def _byte(character: str) -> bytes:
    """The byte that was read as `character`: of cp1252, where Latin-1 has none."""
    return bytes([ord(character)]) if character <= "\xff" else character.encode("cp1252")


def _is_big5(run: str) -> bool:
    """Whether these are Chinese characters: no language writes so many signs between letters."""
    leads = [ord(each) for each in run[::2]]
    used = sum(lead in _MOST_USED for lead in leads)
    return used >= 3 and used >= 0.8 * sum(lead > 0xA3 for lead in leads) and min(leads) < 0xC0


def _from_big5(found: re.Match[str]) -> str:
    try:
        return found[0].encode("latin-1").decode("cp950") if _is_big5(found[0]) else found[0]
    except UnicodeDecodeError:
        return found[0]


def _as_ftfy_does(text: str) -> str:
    """`text` as ftfy's `fix_encoding` has it."""
    for _ in range(MOST_ROUNDS):
        before = text
        found = ftfy.fix_encoding_and_explain(text, WHOLE)
        steps = found.explanation or []
        decoded = next((n for n, step in enumerate(steps) if step.action == "decode"), 0)
        if decoded and steps[0].action == "encode" and steps[decoded].parameter.startswith("utf-8"):
            text = ftfy.apply_plan(
                text, [*steps[: decoded + 1]]
            )  # pieces come before the next step
        elif is_bad(text):
            pieces = UTF8_DETECTOR_RE.sub(functools.partial(_mended, whole=len(text)), text)
            text = found.text if pieces == text else pieces
        if text == before:
            break
    return text


def _mended(found: re.Match[str], whole: int) -> str:
    piece = found[0]
    return piece if len(piece) == whole else _mend_piece(piece)


@functools.lru_cache(1 << 16)
def _mend_piece(piece: str) -> str:
    return ftfy.fix_encoding(piece) if is_bad(piece) else piece
