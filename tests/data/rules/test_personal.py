# ruff: noqa: RUF001
"""Secrets and personal data: found where they are, not where they aren't, and never repeated."""

from __future__ import annotations

import polars as pl
import pytest

from tunesmith.data.checking.personal import _secret_patterns, find_personal_data, find_secrets

# Put together here, so that no scanner of this repository takes them for real ones.
KEYS = {
    "AWS Access Key": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub Token": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "https://jane:hunter22" + "@example.com/path",
    "Slack Token": "xoxb-" + "123456789012-123456789012-abcdefghijklmnopqrstuvwx",
    "Stripe Access Key": "sk_" + "live_" + "abcdefghijklmnopqrstuvwx",
}


def secrets(*texts: str) -> dict[int, str]:
    return find_secrets(pl.Series(texts, dtype=pl.String))


def personal(*texts: str) -> dict[int, str]:
    return find_personal_data(pl.Series(texts, dtype=pl.String))[0]


@pytest.mark.parametrize(("kind", "key"), KEYS.items())
def test_a_key_is_found_by_its_form_and_not_repeated(kind: str, key: str) -> None:
    (found,) = secrets("an innocent text", f"use {key} for it", "another").items()
    assert found[0] == 1
    assert found[1].startswith(f"{kind}: ")
    shown = found[1].removeprefix(f"{kind}: ")
    assert len(shown) <= 5
    assert key not in found[1]


@pytest.mark.parametrize(
    "text",
    [
        "the film of 1999, in three parts, with many a familiar face",
        "a well-thought-out-and-beautifully-photographed-piece-of-cinema",
        "see https://example.com/reviews/2024/a-long-address-of-a-page?id=1234567890",
        "the server is 192.168.10.20",
        "sha256 is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "",
    ],
)
def test_what_only_looks_long_is_no_secret(text: str) -> None:
    assert secrets(text) == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to jane.doe@example.com today", "e-mail address: j…@example.com"),
        ("寫信給 jane+list@mail.example.co.uk。", "e-mail address: j…@mail.example.co.uk"),
        ("call +886 912 345 678 now", "phone number: …678"),
        ("call 0912-345-678 now", "phone number: …678"),
        ("call (415) 555-2671 now", "phone number: …671"),
        ("call +44 20 7946 0018 now", "phone number: …018"),
        ("請撥 02-2720-8889 洽詢", "phone number: …889"),
        ("我的手機是0912345678請回電", "phone number: …678"),
        ("電話0912 345 678謝謝", "phone number: …678"),
        ("手機０９１２－３４５－６７８", "phone number: …678"),
        ("(0912)345-678", "phone number: …678"),
        ("打+886912345678給我", "phone number: …678"),
        ("市話(02)2345-6789轉12", "phone number: …789"),
        ("市話：（04）2222-3333", "phone number: …333"),
        ("電話0223456789", "phone number: …789"),
        ("身分證字號A123456789", "identity number: …789"),
        ("居留證A800000014", "identity number: …014"),
        ("統一證號FA12345689", "identity number: …689"),
        ("身分證：Ａ１２３４５６７８９。", "identity number: …789"),
        ("信箱ｗａｎｇ＠ｇｍａｉｌ．ｃｏｍ（全形）", "e-mail address: w…@gmail.com"),
    ],
)
def test_an_address_and_a_phone_number_are_found_and_hidden(text: str, shown: str) -> None:
    assert personal("nothing here", text) == {1: shown}


@pytest.mark.parametrize(
    "text",
    [
        "the years 1999-2001 and 2003-2005",
        "order 1234567890 of 2024-05-17",
        "10/10 would watch again, 100% @ home",
        "scored 3.14159265358979",
        "tickets cost 1,000,000,000 dollars",
        "192.168.10.20 and 10.0.0.1",
        "身分證A123456788（檢查碼錯）",
        "訂單A123456789已出貨",
        "訂單編號20240912345678",
        "訂單0912345678已出貨",
        "統一編號04595257",
        "編號 0912-3456-7890",
        "價格0.912345678",
        "生日民國80年1月1日",
        "",
    ],
)
def test_numbers_that_are_none_are_left_alone(text: str) -> None:
    assert personal(text) == {}


def test_missing_texts_are_passed_over() -> None:
    texts = pl.Series([None, "jane@example.com", None], dtype=pl.String)
    assert list(find_personal_data(texts)[0]) == [1]
    assert find_secrets(texts) == {}


def test_every_pattern_of_the_detectors_is_one_of_polars() -> None:
    for kind, pattern in _secret_patterns():
        assert pl.Series(["x" * 50]).str.contains(pattern).to_list() in ([True], [False]), kind


def test_phone_numbers_are_found_in_lists_and_long_runs_of_digits() -> None:
    listed = "\n".join(f"0912-345-{number}" for number in range(600, 610))
    assert personal(listed) == {0: "phone number: …600"}
    assert personal("1 2 3 4 5 6 7 8 " * 1000) == {}
    assert personal("1" * 100_000) == {}


def test_where_only_the_first_numbers_are_looked_at_the_rest_is_counted() -> None:
    texts = pl.Series([f"call +44 20 7946 0{number}" for number in range(600, 650)])
    found, passed_over = find_personal_data(texts, most=20)
    assert (len(found), passed_over) == (20, 30)
    assert len(find_personal_data(texts)[0]) == 50
