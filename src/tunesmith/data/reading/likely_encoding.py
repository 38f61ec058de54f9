"""Which encoding a text that isn't UTF-8 is in: as which of them it reads like a language.

Each candidate decodes a sample. What comes out is held against the letters of the languages that
are written in it: frequent ones speak for it, symbols, private characters and bytes that mean
nothing in it against it.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from charset_normalizer.constant import FREQUENCIES

SAMPLE_BYTES = 16 << 10
"""Bytes of lines that aren't plain ASCII by which it is decided, at most."""

LEAST_SCORE = 0.25
"""What an encoding must reach to be taken at all; running text reaches 0.6 or more."""

SURE_MARGIN = 1.5
"""By so much, times the root of the number of characters, the first must be ahead to be sure."""

LEAST_FREQUENT = 0.08
"""Share of its most frequent characters that a Chinese text has at least; a third is usual."""

SHOWN = 40
"""Characters of a text that are shown."""

FREQUENT = 13
"""Letters of an alphabet that count as frequent."""

FEW = 8
"""Characters beyond ASCII below which nothing is sure."""

AS_NUL = "tunesmith.nul"
"""The error handler that puts a NUL for each byte that means nothing in an encoding."""

CHINESE = (
    "的一是不了在人有我他這这個个們们中來来上大為为和國国地到以說说時时要就出會会可也你對对生能而子"
    "那得於于著着下自之年過过發发後后作里裡用道行所然家種种事成方多經经么麼去法學学如都同現现當当沒没"
    "動动面起看定天分還还進进好小部其些主樣样理心她本前開开但因只從从想實实很真太吃店買买服務务推薦荐"
)
"""Frequent characters of Chinese: a third of a text, or more."""
_WESTERN = (
    "éèêëàâçùûôîïœ", "äöüß", "áéíóúñü¿¡ªº", "ãõáéíóúâêôçà", "àèéìòù", "åäöé", "æøåé", "ëéïö",
    "áðéíóúýþæö",
)  # fmt: skip
_CENTRAL = (
    "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţșț", "čćđšž",
)  # fmt: skip
_CYRILLIC = tuple("".join(FREQUENCIES[name]) + "шщэюфцё" for name in ("Russian", "Ukrainian"))
_ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1254": ("çğıöşüİ",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),
    "mac_roman": _WESTERN,
    "cp850": _WESTERN,
    "cp852": _CENTRAL,
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "cp1253": ("".join(FREQUENCIES["Greek"]) + "ύώϊφψζξβθ",),
    "cp1255": ("".join(FREQUENCIES["Hebrew"]) + "ףץ",),
    "cp1256": ("".join(FREQUENCIES["Arabic"]) + "ضظغذثآئؤء",),
    "cp874": ("".join(FREQUENCIES["Thai"]) + "ไใำึืะ์็ูฮณญษธภถผศฐฟ",),
}
"""Encoding of one byte a character → the letters of each language that is written in it."""

_SIGNS = frozenset("–—‘’“”„…«»°€£¥§•·\u00a0")  # noqa: RUF001
"""Signs of every European language."""

_RANGES = {"cp950": "big5", "big5hkscs": "big5", "gb18030": "gb2312", "cp932": "shift_jis",
           "euc_jp": "shift_jis", "cp949": "euc_kr"}  # fmt: skip
"""Encoding of East Asia → the standard whose first level holds its common characters."""

_FIRST_LEVEL = {
    "big5": (0xA4, 0xC6),
    "gb2312": (0xB0, 0xD7),
    "shift_jis": (0x88, 0x97),
    "euc_kr": (0xB0, 0xC8),
}
"""Standard → the first and last lead byte of its first level."""

CANDIDATES = (*_RANGES, *_ALPHABETS)

_NO_ASCII = re.compile(rb"[\x80-\xff]")
_REACH = 4000
"""Bytes of a line that are looked at to each side of one that isn't ASCII."""
_RUN = re.compile(r"[^\x00-\x7f\s]{3,}")
_MIXED = re.compile(r"[a-zA-Z][^\x00-\x7f]|[^\x00-\x7f][a-zA-Z]")
_AT_NUMBER = re.compile(r"[^\W\d\x00-\x7f]\d")
"""A letter before a digit, as in no language: in another encoding it is a currency's sign."""


@dataclass(frozen=True)
class Likely:
    """An encoding, and how well a text reads in it."""

    encoding: str
    score: float
    """From -3, nothing in it is language, to 1."""
    sample: str
    """A piece of the text in this encoding, on one line."""


def _as_nul(error: UnicodeError) -> tuple[str, int]:
    """The handler: a NUL, by which the readers find the rows that are damaged."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\0", error.end


codecs.register_error(AS_NUL, _as_nul)


def likely_encodings(data: bytes | bytearray) -> list[Likely]:
    """The encodings in which a sample of `data` reads like a language, the likeliest first.

    Those that give the same text as a likelier one are left out.
    """
    sample = b"\n".join(_informative(data))
    found = []
    for encoding in CANDIDATES:
        text = sample.decode(encoding, AS_NUL)
        score = _score(encoding, text)
        found.append(Likely(encoding, score, _shown(text)))
    found.sort(key=lambda each: -each.score)
    seen: dict[str, Likely] = {}
    for each in found:
        seen.setdefault(sample.decode(each.encoding, AS_NUL), each)
    return list(seen.values())


def is_sure(found: list[Likely], data: bytes | bytearray) -> bool:
    """Whether the first of the encodings is the one, by all that a sample tells."""
    best, *others = found
    text = b"\n".join(_informative(data)).decode(best.encoding, AS_NUL)
    characters = sum(not character.isascii() for character in text)
    margin = best.score - (others[0].score if others else -3)
    return characters >= FEW and margin * characters**0.5 >= SURE_MARGIN


def _informative(data: bytes | bytearray) -> Iterator[bytes]:
    """Lines of `data` that hold more than ASCII, a bounded number of bytes."""
    # Not by one pattern for the line: it would try each byte of a long line as its beginning.
    left, end = SAMPLE_BYTES, 0
    while left > 0 and (found := _NO_ASCII.search(data, end)):
        at = found.start()
        start = max(end, at - _REACH)
        start = max(start, data.rfind(b"\n", start, at) + 1)
        stop = data.find(b"\n", at, at + _REACH)
        end = stop if stop >= 0 else min(at + _REACH, len(data))
        yield bytes(data[start:end][:left])
        left -= end - start


def _shown(text: str) -> str:
    """A piece of one of the first lines of `text`, where most of it isn't ASCII."""
    lines = text[:4000].splitlines() or [""]
    line = max(lines, key=lambda each: sum(not c.isascii() for c in each[:SHOWN]))
    found = re.search(r"[^\x00-\x7f]", line)
    start = max(0, found.start() - SHOWN // 3) if found else 0
    piece = " ".join(line[start : start + SHOWN].replace("\0", "\ufffd").split())
    return "".join(c for c in piece if c.isprintable())


def _score(encoding: str, text: str) -> float:
    """How much `text` reads like a language that is written in `encoding`: 1 at most."""
    counts = Counter(character for character in text if character > "\x7f" or not character)
    counts["\0"] = text.count("\0")
    total = sum(counts.values())
    if not total:
        return 0.0
    if encoding in _RANGES:
        return _score_characters(encoding, counts) / total
    runs = sum(len(run[0]) for run in _RUN.finditer(text))
    mixed = len(_MIXED.findall(text))
    is_latin = encoding in _LATIN
    oddity = 2 * (runs if is_latin else mixed) + _capitals_inside(text)
    oddity += len(_AT_NUMBER.findall(text))
    alphabets = _ALPHABETS[encoding]
    every = frozenset("".join(alphabets))
    best = max(_score_letters(letters, every, counts) for letters in alphabets)
    return best / total - min(2.0, oddity / total)


def _capitals_inside(text: str) -> int:
    """How many capitals that aren't ASCII stand behind a small letter."""
    return sum(
        after > "\x7f" and after.isupper() and before.islower() for before, after in pairwise(text)
    )


_LATIN = frozenset(name for name, sets in _ALPHABETS.items() if sets[0] < "\u0250")


def _score_characters(encoding: str, counts: Counter[str]) -> float:
    common, total = _first_level(_RANGES[encoding]), 0.0
    frequent = _frequent(encoding)
    kana = sum(times for c, times in counts.items() if "\u3041" <= c <= "\u30fe")
    is_japanese = encoding in ("cp932", "euc_jp")
    for character, times in counts.items():
        if character in frequent:
            value = 1.0
        elif character in common:
            value = 0.5
        elif "\u3041" <= character <= "\u30fe":
            value = 0.8 if is_japanese else -0.5
        elif "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff5e":
            value = 0.5
        elif "\u4e00" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3":
            value = 0.0
        else:
            value = _foreign_value(character)
        total += value * times
    if is_japanese and kana * 10 < counts.total():
        total -= 0.5 * counts.total()  # Japanese without kana is hardly written
    if encoding in ("cp950", "big5hkscs", "gb18030"):
        known = sum(times for c, times in counts.items() if c in frequent)
        if known < LEAST_FREQUENT * counts.total():
            total -= 0.3 * counts.total()  # Chinese without its most frequent characters
    if encoding == "cp949":
        hanja = sum(times for c, times in counts.items() if "\u4e00" <= c <= "\u9fff")
        total -= hanja  # nor is Korean with many Chinese characters
    return total


def _score_letters(letters: str, every: frozenset[str], counts: Counter[str]) -> float:
    total = 0.0
    # Of an alphabet beside the Latin one, the first letters make up three quarters of a text.
    frequent = letters if letters[0] < "\u0250" else letters[:FREQUENT]
    for character, times in counts.items():
        if character in frequent:
            value = 1.0
        elif character in letters or character.lower() in frequent:
            value = 0.5
        elif character.lower() in letters:
            value = 0.2
        elif character in _SIGNS:
            value = 0.4
        elif character.lower() in every:
            value = 0.2  # a word of another language
        else:
            value = min(-0.7, _foreign_value(character))
        total += value * times
    return total


def _foreign_value(character: str) -> float:
    """What a character that isn't of the language speaks for: against it."""
    category = unicodedata.category(character)
    if category in ("Cc", "Co", "Cn"):
        return -3.0
    return -0.7 if category.startswith("L") else -0.3


@cache
def _first_level(standard: str) -> frozenset[str]:
    first, last = _FIRST_LEVEL[standard]
    pairs = (bytes((lead, trail)) for lead in range(first, last + 1) for trail in range(0x40, 0xFF))
    decoded = {pair.decode(standard, "ignore") for pair in pairs}
    return frozenset(text for text in decoded if len(text) == 1 and text > "\u3100")


@cache
def _frequent(encoding: str) -> frozenset[str]:
    if encoding == "cp949":
        return frozenset(FREQUENCIES["Korean"])
    if encoding in ("cp932", "euc_jp"):
        return frozenset("のにはをたがでてとしれさいるなもかすこあまらりきっくうん、。ーンスル日本")
    return frozenset(CHINESE) | frozenset("\uff0c\u3002\uff01\uff1f\uff1a\u300c\u300d")
