"""Text that was decoded in the wrong way ("Ã©" for "é") is decoded as it was meant.

ftfy decides what is broken and how it is mended. Where only pieces of a text are broken it asks
itself anew for each of them, which takes 40 µs a piece: seconds for 700 KB. Pieces are letters of
some language and repeat, so that here each is asked for once.
"""

from __future__ import annotations

import functools
import re

import ftfy
from ftfy.badness import is_bad
from ftfy.chardata import UTF8_DETECTOR_RE

WHOLE = ftfy.TextFixerConfig(decode_inconsistent_utf8=False)
"""Texts as a whole: as UTF-8 that was read in one other encoding."""

MOST_ROUNDS = 10
"""Times that one text is mended: some went through a wrong decoding twice."""


def mend_encoding(text: str) -> str:
    """`text` as it was meant, and as ftfy's `fix_encoding` has it."""
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
