# ruff: noqa: RUF001
"""Text that was decoded in the wrong way: mended as ftfy does, however many pieces are broken."""

from __future__ import annotations

import random

import ftfy
import ftfy.badness
import pytest

from tunesmith.data import mojibake
from tunesmith.data.mojibake import mend_encoding
from tunesmith.data.rules.texts import BrokenEncoding

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
def test_every_text_that_ftfy_mends_comes_out_as_it_has_it(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1500):
        words = [chance.choice(WORDS) for _ in range(chance.randint(1, 12))]
        words = [broken(chance, word) if chance.random() < 0.5 else word for word in words]
        words = [broken(chance, word) if chance.random() < 0.1 else word for word in words]
        text = chance.choice((" ", " ", "")).join(words)
        mended = ftfy.fix_encoding(text)
        if not ftfy.badness.is_bad(mended) and not mojibake._is_broken(mended):
            assert mend_encoding(text) == mended, text


def test_pieces_that_repeat_are_mended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mojibake._mend_piece.cache_clear()
    text = '}Ã©: "\x80漢' * 20_000
    assert mend_encoding(text) == '}é: "€漢' * 20_000
    assert mojibake._mend_piece.cache_info().misses < 10


CHINESE = ("請問這個商品什麼時候會到貨", "客服態度很差，等了三天", "推薦給大家！")


@pytest.mark.parametrize("text", CHINESE)
@pytest.mark.parametrize("read", [("utf-8", "latin-1"), ("cp950", "latin-1"), ("cp950", "cp1252")])
def test_chinese_read_as_latin_is_mended(text: str, read: tuple[str, str]) -> None:
    written, wrongly = read
    broken_text = text.encode(written).decode(wrongly)
    assert mend_encoding(broken_text) == text
    assert mend_encoding(f"前面沒有壞：{broken_text}") == f"前面沒有壞：{text}"


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_of_which_bytes_were_lost_stays_as_it_is_and_is_said(text: str) -> None:
    """cp1252 has no character for five bytes, which programs leave out."""
    broken_text = text.encode().decode("cp1252", "ignore")
    assert mend_encoding(broken_text) == broken_text
    assert mojibake.is_lost(broken_text)


@pytest.mark.parametrize(
    "text",
    [
        *CHINESE, "日本語のテキスト", "한국어 문장입니다", "Größe: 5 µm ± 0.5 °C",
        "¿Qué? «¡Ábaco!» ½ ° ± µ", "São Paulo, AÇÃO", "café… naïve — Été",
        "TÂM LÝ HỌC", "Đà Nẵng", "ÀÁÂÃÄÅÆÇ", "Привет, мир", "Γειά σου", "שלום",
        "価格は¥1,000です", "咖啡店名叫 café…",
    ],
)  # fmt: skip
def test_what_people_write_is_not_broken(text: str) -> None:
    assert mend_encoding(text) == text
    assert not mojibake.is_lost(text)


SENTENCES = (
    "這家店的服務很好我會再來",
    "客服態度很差，等了三天都沒有回覆，不會再買了",
    "物流很快，包装也不错，推荐给大家",
)
NAMES = "台灣積體電路製造股份，鴻海精密工業；臺北榮民總醫院、國立清華大學"


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize(
    ("written", "read_as"),
    [("utf-8", "gb18030"), ("cp950", "gb18030"), ("gb18030", "cp950"), ("utf-8", "cp950"),
     ("utf-8", "cp932")],
)  # fmt: skip
def test_chinese_read_in_another_encoding_of_east_asia_is_mended_or_said(
    text: str, written: str, read_as: str
) -> None:
    try:
        wrong = text.encode(written).decode(read_as)
    except UnicodeError:
        return  # characters are lost, or weren't there
    assert BrokenEncoding.clean(wrong) == text
    assert mend_encoding(text) == text


@pytest.mark.parametrize("text", [NAMES, "東京都千代田区丸の内", "서울특별시 강남구", "αβγδ εζηθ"])
def test_rare_characters_alone_are_no_fault(text: str) -> None:
    assert BrokenEncoding.clean(text) == text
