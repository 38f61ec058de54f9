"""Bytes → UTF-8: byte-order marks, encodings that somebody names, and those that are found out."""

from __future__ import annotations

import codecs
import encodings.aliases
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.data.reading.likely_encoding import (
    AS_NUL,
    LEAST_SCORE,
    Likely,
    is_sure,
    likely_encodings,
)
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.errors import DataError, nearest
from tunesmith.messages import joined, say, say_plural

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order mark → encoding of the text after it."""

USUAL = "utf-8"

MOST_BROKEN = 0.02
"""Share of the characters beyond ASCII that may mean nothing in an encoding, at most."""

_WIDE = {"utf-32-le": (4, 0), "utf-32-be": (4, 3), "utf-16-le": (2, 0), "utf-16-be": (2, 1)}
"""Encoding without a mark → bytes of a unit, and which of them isn't 0 where it is ASCII."""

_STRANGE = frozenset({"Cn", "Co", "Cs"})
"""Categories of characters that hardly stand in a text."""

_UNFIT = frozenset(
    {
        "punycode",
        "idna",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "mbcs",
        "oem",
        "rot_13",
    }
)
"""Python's codecs that are no encodings of files."""


@dataclass(frozen=True)
class Decoded:
    """A text as it was decoded."""

    data: bytearray
    """UTF-8 without a byte-order mark; a byte that means nothing in its encoding is a NUL."""
    encoding: str = USUAL
    """The name of the encoding it was in, as `data.encoding` has it."""
    notes: tuple[str, ...] = ()
    """What its owner should know of it."""


def decode_head(head: bytes, encoding: str | None) -> str | None:
    """The beginning of a text in the encoding that is named, or seems to be; None for no text."""
    named = encoding if encoding is None else _known(encoding)
    found = named or _marked(head) or _unmarked(head)
    if found is None and not _is_utf8(head[: max(1, len(head) - 3)]):
        found = likely_encodings(head)[0].encoding
    text = head.decode(found or "utf-8", "replace").removeprefix("\ufeff").rstrip("\0")
    return None if text[:4096].count("\0") > len(text[:4096]) // 4 else text


def decode(data: bytearray, path: Path, options: ReadingOptions) -> Decoded:
    """`data` as text: as its options say, else by its mark, else as what it reads like.

    A UTF-8 mark is taken out of `data` itself. Where it isn't UTF-8, notes show a sample of it, and
    say so where it isn't sure. Raises DataError, naming a line and a byte, when no encoding fits;
    ConfigError for an encoding that isn't there.
    """
    if options.encoding is not None:
        named = _known(options.encoding)
        if named is None:
            near = nearest(options.encoding, _encodings())
            accepted = say("such as {names}", names="utf-8, utf-16, cp950, gb18030, cp1252")
            raise options.wrong("encoding", say("no such encoding"), accepted, near)
        return _as(data, named, path)
    if marked := _marked(data):
        return _as(data, marked, path)
    if data.startswith(codecs.BOM_UTF8):
        del data[: len(codecs.BOM_UTF8)]
    if unmarked := _unmarked(data[:65536]):
        return _as(data, unmarked, path)
    padding = len(data) - len(data.rstrip(b"\0"))
    del data[len(data) - padding :]
    if data[:4096].count(0) > len(data[:4096]) // 4 or not data:
        raise DataError(
            "{path} looks like a binary file, not like text, whatever its name says", path=path
        )
    found = Decoded(data) if _is_utf8(data) else _found_out(data, path)
    if not padding:
        return found
    note = say("{n:,} NUL bytes at its end are left out: was it cut short?", n=padding)
    return replace(found, notes=(*found.notes, note))


def _marked(data: bytes | bytearray) -> str | None:
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def _unmarked(head: bytes | bytearray) -> str | None:
    """UTF-16 or UTF-32 without a mark, known by where its zeros stand; None for any other."""
    zeros = np.frombuffer(head, np.uint8) == 0
    if zeros.sum() * 500 < len(head):
        return None
    found: list[tuple[int, str]] = []
    for name, (width, place) in _WIDE.items():
        units = zeros[: len(zeros) // width * width].reshape(-1, width)
        # Where it is ASCII, all bytes of a unit but one are zero.
        is_ascii = (units.sum(axis=1) == width - 1) & ~units[:, place]
        text = bytes(head[: len(units) * width]).decode(name, "replace")
        strange = sum(unicodedata.category(character) in _STRANGE for character in text[:4000])
        if strange * 100 <= len(text[:4000]) and "\0" not in text:
            found.append((int(is_ascii.sum()), name))
    if found and (best := max(found))[0]:
        return best[1]
    return None


def _is_utf8(data: bytes | bytearray) -> bool:
    """Whether `data` is UTF-8, by Arrow's check: much faster than decoding, and needs no copy."""
    offsets = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _found_out(data: bytearray, path: Path) -> Decoded:
    """What `data`, which is not UTF-8 throughout, reads like. Raises DataError for no language."""
    as_utf8, broken = _forgiving(data, USUAL)
    if _beyond_ascii(as_utf8) > 2 * broken:
        return Decoded(as_utf8, notes=(_broken_bytes(broken, USUAL),))
    found = likely_encodings(data)
    best = found[0]
    if best.score < LEAST_SCORE:
        raise _unknown(data, path, best)
    decoded = _as(data, best.encoding, path)
    note = _sample(best) if is_sure(found, data) else _doubt(found)
    return Decoded(decoded.data, decoded.encoding, (note, *decoded.notes))


def _sample(best: Likely) -> str:
    return say(
        "it is not UTF-8 but {encoding}, and reads: {sample}",
        encoding=best.encoding,
        sample=best.sample,
    )


def _doubt(found: Sequence[Likely]) -> str:
    best, *others = found
    rivals = [
        say("; as {encoding}: {sample}", encoding=rival.encoding, sample=rival.sample)
        for rival in others[:1]
        if rival.score >= LEAST_SCORE
    ]
    return say(
        "it is not UTF-8, and its encoding is not sure: as {encoding} it reads: {sample}{other}. "
        "Set data.encoding if that is wrong",
        encoding=best.encoding,
        sample=best.sample,
        other=joined(rivals, ""),
    )


def _as(data: bytearray, encoding: str, path: Path) -> Decoded:
    """`data` in this encoding. Raises DataError where too much of it isn't."""
    try:
        return Decoded(_to_utf8(data.decode(encoding)), encoding)
    except UnicodeError:
        text, broken = _forgiving(data, encoding)
    if broken > max(1, MOST_BROKEN * _beyond_ascii(text)) or 2 * broken > len(text):
        raise _not_so(data, encoding, path)
    return Decoded(text, encoding, (_broken_bytes(broken, encoding),))


def _forgiving(data: bytearray, encoding: str) -> tuple[bytearray, int]:
    """`data` as UTF-8 with a NUL for each byte that means nothing, and how many those are."""
    text = data.decode(encoding, AS_NUL)
    broken = text.count("\0") - data.decode(encoding, "ignore").count("\0")
    return _to_utf8(text), broken


def _to_utf8(text: str) -> bytearray:
    return bytearray(text.removeprefix("\ufeff").encode(errors="replace"))


def _beyond_ascii(data: bytearray) -> int:
    """The characters of a UTF-8 text that aren't ASCII."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) >= 0xC0))


def _broken_bytes(broken: int, encoding: str) -> str:
    return say_plural(
        "{n:,} byte is not {encoding}: its row can't be read",
        "{n:,} bytes are not {encoding}: their rows can't be read",
        n=broken,
        encoding=encoding,
    )


def _place(data: bytearray, encoding: str) -> tuple[int, int, str]:
    """Line, byte and value of the first byte of `data` that this encoding hasn't."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        start = error.start
        return data.count(b"\n", 0, start) + 1, start + 1, f"{data[start]:02x}"
    return 1, 1, f"{data[0]:02x}"


def _not_so(data: bytearray, encoding: str, path: Path) -> DataError:
    line, start, value = _place(data, encoding)
    return DataError(
        "{path}:{line} has a byte that is not {encoding} (0x{data}, byte {start} of the file), "
        "and so have many lines; set data.encoding to what it is",
        path=path,
        line=line,
        encoding=encoding.upper(),
        data=value,
        start=start,
    )


def _unknown(data: bytearray, path: Path, best: Likely) -> DataError:
    line, start, value = _place(data, USUAL)
    return DataError(
        "{path}:{line} has a byte that is not UTF-8 (0x{data}, byte {start} of the file), and in "
        "no other encoding does it read like a language (as {encoding}: {sample}); save the file "
        "again as UTF-8, or set data.encoding",
        path=path,
        line=line,
        data=value,
        start=start,
        encoding=best.encoding,
        sample=best.sample,
    )


def _known(name: str) -> str | None:
    """Python's name of an encoding of texts; None for one that isn't there."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    return found if found.replace("-", "_") in _encodings() else None


@cache
def _encodings() -> frozenset[str]:
    """The names that Python gives to encodings of files."""
    names = {*encodings.aliases.aliases.values(), "cp874", "koi8_u", "utf_8_sig"} - _UNFIT
    return frozenset(
        codecs.lookup(name).name.replace("-", "_") for name in names if not name.endswith("_codec")
    )
