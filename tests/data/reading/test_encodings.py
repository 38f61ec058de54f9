"""Encodings: told by marks, by what a text reads like, or by its owner; never wrong in silence."""

# ruff: noqa: RUF001

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

from tunesmith.data.reading.files import read_file
from tunesmith.data.reading.likely_encoding import likely_encodings
from tunesmith.data.reading.options import ReadingOptions
from tunesmith.errors import ConfigError, DataError

TRADITIONAL = [
    "這個水壺很好用，第一次購買就很滿意。", "客服態度親切，出貨速度也快，推薦給大家！",
    "用了兩天就壞掉，退貨還要自己付運費，很失望。", "餐點普通，但是服務人員許功蓋先生很熱心",
]  # fmt: skip
SIMPLIFIED = [
    "这个水壶很好用，第一次购买就很满意。", "客服态度亲切，发货速度也快，推荐给大家！",
    "用了两天就坏了，退货还要自己付运费，很失望。", "味道一般，但是服务员很热情",
]  # fmt: skip
JAPANESE = ["この電気ケトルはとても使いやすいです。", "配送も早かった。おすすめします！"]
KOREAN = ["이 주전자는 정말 좋습니다. 서비스도 친절하고", "배송도 빨랐습니다. 추천합니다!"] * 3
RUSSIAN = ["Этот чайник очень удобный, быстро кипятит", "Рекомендую всем, большое спасибо!"] * 3
FRENCH = ["La bouilloire est très pratique, à l’aise", "Garçon, un café crème s’il vous plaît"] * 3
GERMAN = ["Schöne Grüße aus Köln", "Größere Töpfe wären besser", "Überhaupt nicht übel"] * 3
POLISH = ["Czajnik jest bardzo wygodny, dziękuję", "Źródło, łódź i śnieg są żółte"] * 3
GREEK = ["Αυτός ο βραστήρας είναι πολύ καλός", "Τον συνιστώ σε όλους τους φίλους"] * 4
TEXTS = {
    "cp950": TRADITIONAL, "big5": TRADITIONAL, "gb18030": SIMPLIFIED, "gbk": SIMPLIFIED,
    "cp932": JAPANESE, "euc_jp": JAPANESE, "cp949": KOREAN, "cp1251": RUSSIAN, "koi8_r": RUSSIAN,
    "cp1252": FRENCH, "latin-1": GERMAN, "cp1250": POLISH, "cp1253": GREEK,
    "utf-16": TRADITIONAL, "utf-16-le": TRADITIONAL, "utf-16-be": SIMPLIFIED,
}  # fmt: skip


def frame(texts: list[str]) -> pandas.DataFrame:
    return pandas.DataFrame({"text": texts, "label": [str(n % 2) for n in range(len(texts))]})


def texts_of(path: Path, **options: Any) -> list[str]:
    texts: list[str] = read_file(path, ReadingOptions(**options)).table["text"].to_pylist()
    return texts


@pytest.mark.parametrize("encoding", TEXTS)
def test_what_pandas_writes_in_an_encoding_is_read_as_it_was(tmp_path: Path, encoding: str) -> None:
    frame(TEXTS[encoding]).to_csv(tmp_path / "a.csv", index=False, encoding=encoding)
    found = read_file(tmp_path / "a.csv")
    assert found.table["text"].to_pylist() == TEXTS[encoding]
    assert not any("not sure" in note for note in found.notes)
    if encoding.startswith("utf"):
        assert (found.details["encoding"], found.notes) == (encoding, ())
    else:
        read_as = found.details["encoding"]
        assert "".join(TEXTS[encoding]).encode(read_as) == "".join(TEXTS[encoding]).encode(encoding)
        sample = found.notes[0].partition("reads: ")[2].strip('"')[:8]
        assert any(sample in text for text in TEXTS[encoding])


@pytest.mark.parametrize("encoding", ["cp950", "gb18030"])
def test_json_lines_are_read_in_an_encoding_too(tmp_path: Path, encoding: str) -> None:
    texts = TEXTS[encoding]
    lines = frame(texts).to_json(orient="records", lines=True, force_ascii=False)
    (tmp_path / "a.jsonl").write_bytes(lines.encode(encoding))
    assert texts_of(tmp_path / "a.jsonl") == texts


def test_utf8_with_a_mark_needs_no_word(tmp_path: Path) -> None:
    polars.DataFrame({"text": TRADITIONAL}).write_csv(tmp_path / "a.csv", include_bom=True)
    found = read_file(tmp_path / "a.csv")
    assert (found.table["text"].to_pylist(), dict(found.details), found.notes) == (
        TRADITIONAL, {}, (),
    )  # fmt: skip


def test_a_sample_of_each_is_shown_where_two_encodings_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nvoilà,a\nmañana,b\n".encode("cp1252"))
    found = read_file(tmp_path / "a.csv")
    assert found.table["text"].to_pylist() == ["voilà", "mañana"]
    (note,) = found.notes
    assert "its encoding is not sure: as cp1252 it reads: voilà,a; as " in note
    assert note.endswith("Set data.encoding if that is wrong")
    assert texts_of(tmp_path / "a.csv", encoding="cp1250") == ["voilŕ", "mańana"]


def test_a_sample_is_of_lines_that_are_not_ascii_and_of_what_stands_near_in_a_long_one() -> None:
    assert likely_encodings(b"plain\n" + "Größe\n".encode("cp1252") * 3)[0].encoding == "cp1252"
    far = (
        b"[" * 1_000_000 + "schöne Grüße aus Köln, größere Töpfe".encode("cp1252") + b"]" * 100_000
    )
    assert likely_encodings(far)[0].encoding == "cp1252"


def test_a_lone_sign_of_a_currency_is_no_letter_of_an_old_system(tmp_path: Path) -> None:
    lines = [f"Prize of £{n}00 to claim,spam\n" for n in range(1, 9)]
    (tmp_path / "a.csv").write_bytes(("text,label\n" + "".join(lines)).encode("latin-1"))
    assert texts_of(tmp_path / "a.csv")[0] == "Prize of £100 to claim"


def test_bytes_that_are_no_text_of_any_encoding_are_refused(tmp_path: Path) -> None:
    noise = bytes(range(128, 256)) * 4
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + noise + b",1\n")
    with pytest.raises(DataError, match=r"csv:2 has a byte that is not UTF-8 \(0x80, byte 12 of"):
        read_file(tmp_path / "a.csv")


def test_two_encodings_in_one_file_are_refused(tmp_path: Path) -> None:
    half = frame(TRADITIONAL).to_csv(index=False).encode()
    rest = frame(TRADITIONAL).to_csv(index=False, header=False)
    (tmp_path / "a.csv").write_bytes(half + rest.encode("cp950") * 3)
    with pytest.raises(DataError, match=r"csv:6 has a byte that is not UTF-8"):
        read_file(tmp_path / "a.csv")


@pytest.mark.parametrize(("encoding", "texts"), [("utf-8", FRENCH), ("cp950", TRADITIONAL * 20)])
def test_a_damaged_byte_costs_its_row(tmp_path: Path, encoding: str, texts: list[str]) -> None:
    lines = frame(texts).to_csv(index=False).encode(encoding).split(b"\n")
    lines[3] = b"bro\xffken,1"
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    found = read_file(tmp_path / "a.csv")
    assert found.table["text"].to_pylist() == [*texts[:2], *texts[3:]]
    assert [row.line for row in found.unreadable] == [4]
    assert f"1 byte is not {encoding}: its row can't be read" in found.notes


def test_the_encoding_that_is_named_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\n許功蓋,1\n".encode("cp950"))
    assert texts_of(tmp_path / "a.csv", encoding="Big5") == ["許功蓋"]
    with pytest.raises(DataError, match=r"csv:2 has a byte that is not UTF-8 \(0xb3, byte 12"):
        read_file(tmp_path / "a.csv", ReadingOptions(encoding="utf-8"))


@pytest.mark.parametrize("name", ["cp905", "big-5", "rot13", "base64", "idna", "", "x" * 9000])
def test_an_encoding_that_is_not_there_is_a_problem_of_its_field(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\n")
    with pytest.raises(ConfigError, match=r"data\.encoding: no such encoding"):
        read_file(tmp_path / "a.csv", ReadingOptions(encoding=name))


def test_nul_bytes_at_the_end_are_no_rows(tmp_path: Path) -> None:
    content = frame(TRADITIONAL).to_csv(index=False).encode()
    (tmp_path / "a.csv").write_bytes(content + bytes(4096))
    found = read_file(tmp_path / "a.csv")
    assert (found.table["text"].to_pylist(), found.unreadable) == (TRADITIONAL, ())
    assert found.notes == ("4,096 NUL bytes at its end are left out: was it cut short?",)
