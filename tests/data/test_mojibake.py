"""Text that was decoded in the wrong way: mended as ftfy does, however many pieces are broken."""

from __future__ import annotations

import random

import ftfy
import pytest

from tunesmith.data import mojibake
from tunesmith.data.mojibake import mend_encoding

WORDS = (
    *("é", "è à ü", "ß", "漢字", "“quoted”", "— …", "naïve", "€100", "½ ñ ø", "Привет", "café"),
    *("the", "film", "\x80", "\x93ok\x94", "Ã©", "â€"),
)
WRONG = ("latin-1", "cp1252", "cp1251", "cp437", "mac-roman", "cp1250")


def broken(chance: random.Random, word: str) -> str:
    """`word` as UTF-8 that was read in another encoding, where that can be."""
    for encoding in chance.sample(WRONG, len(WRONG)):
        try:
            return word.encode().decode(encoding)
        except UnicodeDecodeError:
            continue
    return word


@pytest.mark.parametrize("seed", range(2))
def test_every_text_comes_out_as_ftfy_has_it(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1500):
        words = [chance.choice(WORDS) for _ in range(chance.randint(1, 12))]
        words = [broken(chance, word) if chance.random() < 0.5 else word for word in words]
        words = [broken(chance, word) if chance.random() < 0.1 else word for word in words]
        text = chance.choice((" ", " ", "")).join(words)
        assert mend_encoding(text) == ftfy.fix_encoding(text), text


def test_pieces_that_repeat_are_mended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mojibake._mend_piece.cache_clear()
    text = '}Ã©: "\x80漢' * 20_000
    assert mend_encoding(text) == '}é: "€漢' * 20_000
    assert mojibake._mend_piece.cache_info().misses < 10
