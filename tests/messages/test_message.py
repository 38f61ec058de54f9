"""Messages: English text that keeps its template and values, in every language, on every way."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tunesmith.messages import Message, catalogues, joined, say, say_plural
from tunesmith.messages.catalogues import best_of, language_of, own_name, translated
from tunesmith.messages.documents import messages_in, with_messages, without_messages
from tunesmith.messages.message import from_json

POLISH = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || "
"n%100>=20) ? 1 : 2);\\n"

msgid ", "
msgstr " i "

msgid "{name} has {rows}"
msgstr "{rows} ma {name}"

msgid "{n} row"
msgid_plural "{n} rows"
msgstr[0] "{n} wiersz"
msgstr[1] "{n} wiersze"
msgstr[2] "{n} wierszy"

msgid "{share} of {n} bytes"
msgstr "{share} z {n} bajtów"

msgid "broken {name}"
msgstr "zepsuty {nome}"
"""


@pytest.fixture
def polish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A language with three plural forms, which nothing but its catalogue makes known."""
    (tmp_path / "pl.po").write_text(POLISH, encoding="utf-8")
    caches = (catalogues.languages, catalogues.catalogue, catalogues._plural, catalogues._symbols)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(catalogues, "FOLDER", tmp_path)
    yield "pl"
    for cached in caches:
        cached.cache_clear()


def test_a_message_is_its_english_text_and_knows_what_it_says() -> None:
    message = say("{n:,} rows in {path}", n=12_345, path=Path("a.csv"))
    assert message == "12,345 rows in a.csv"
    assert json.dumps(message) == '"12,345 rows in a.csv"'
    assert (message.template, message.values) == (
        "{n:,} rows in {path}",
        {"n": 12345, "path": "a.csv"},
    )


def test_an_errors_text_is_its_message_and_stays_one_inside_another() -> None:
    inner = str(ValueError(say("row {row} is empty", row=3)))
    assert isinstance(inner, Message)
    outer = say("{path}: {reason}", path="a.csv", reason=ValueError(inner))
    assert outer == "a.csv: row 3 is empty"
    assert isinstance(outer.values["reason"], Message)


def _answer(message: Message) -> Message:
    assert message.template == "{n:,} rows"
    return message


def test_messages_survive_copies_pickles_and_other_processes() -> None:
    message = say("{n:,} rows", n=5)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        ways = [
            copy.copy(message),
            copy.deepcopy({"a": message})["a"],
            pickle.loads(pickle.dumps(message)),  # noqa: S301 - our own, just made
            pool.submit(_answer, message).result(),
        ]
    assert [(way, way.template, way.values) for way in ways] == [
        ("5 rows", "{n:,} rows", {"n": 5})
    ] * 4


@pytest.mark.parametrize(
    ("n", "text"), [(1, "1 wiersz"), (3, "3 wiersze"), (5, "5 wierszy"), (22, "22 wiersze")]
)
def test_plurals_have_as_many_forms_as_the_language(polish: str, n: int, text: str) -> None:
    rows = say_plural("{n} row", "{n} rows", n=n)
    assert rows == ("1 row" if n == 1 else f"{n} rows")
    assert translated(rows, polish) == text
    assert translated(say("{name} has {rows}", name="a", rows=rows), polish) == f"{text} ma a"


def test_numbers_and_lists_are_written_as_the_language_has_them(polish: str) -> None:
    message = say("{share:.1%} of {n:,} bytes", share=0.25, n=1_234_567)
    assert message == "25.0% of 1,234,567 bytes"
    assert translated(message, polish) == "25,0% z 1\xa0234\xa0567 bajtów"
    rows = [say_plural("{n} row", "{n} rows", n=n) for n in (1, 2)]
    listed = say("{name} has {rows}", name="a", rows=rows)
    assert (listed, translated(listed, polish)) == (
        "a has 1 row, 2 rows",
        "1 wiersz i 2 wiersze ma a",
    )


def test_what_has_no_translation_or_a_wrong_one_is_shown_in_english(polish: str) -> None:
    for message in (say("nobody knows {name}", name="a"), say("broken {name}", name="a")):
        assert translated(message, polish) == message
    assert translated("{n} row", polish) == "{n} row"  # a person's own text is left alone
    assert translated(say("{n} row", n=1), "xx") == "1 row"


def test_messages_in_a_row_are_translated_each(polish: str) -> None:
    rows = joined([say_plural("{n} row", "{n} rows", n=5), "a.csv"], "; ")
    assert (rows, translated(rows, polish)) == ("5 rows; a.csv", "5 wierszy; a.csv")


def test_a_language_is_found_by_its_catalogue(polish: str) -> None:
    assert catalogues.languages() == ("en", "pl")
    assert best_of("pl-PL") == "pl"


def test_json_gives_the_same_message_back() -> None:
    message = say(
        "{path}: {why}, {names}", path="a", names=["b", say("row {row}", row=1)],
        why=say_plural("{n} row", "{n} rows", n=2),
    )  # fmt: skip
    back = from_json(json.loads(json.dumps(message.to_json())))
    assert back is not None
    assert back == message
    assert back.to_json() == message.to_json()


@pytest.mark.parametrize(
    "found",
    [
        None, [], "text", {}, {"text": 1, "template": "a", "values": {}},
        {"text": "a", "template": "a", "values": {}, "more": 1},
        {"text": "a", "template": "a", "values": {}, "plural": 3},
    ],
)  # fmt: skip
def test_what_is_no_message_is_none(found: object) -> None:
    assert from_json(found) is None


@pytest.mark.parametrize("template", ["{a.__class__}", "{a[0]}", "{0}", "{", "{missing}"])
def test_a_template_of_others_reaches_nothing_and_is_shown_as_its_text(template: str) -> None:
    found = from_json({"text": "seen", "template": template, "values": {"a": "b"}})
    assert found is not None
    assert translated(found, "zh_TW") == "seen"


def test_a_template_of_others_makes_no_number_long() -> None:
    found = from_json({"text": "seen", "template": "{n:>999999999}", "values": {"n": 1}})
    assert found is not None
    assert len(translated(found, "zh_TW")) < 9


def test_documents_keep_their_texts_and_get_their_messages_back() -> None:
    message = say("row {row} is empty", row=3)
    document = {"a/b": [{"why": message}, "row 3 is empty"], "n": 1}
    written = json.loads(json.dumps(with_messages(document)))
    assert written["a/b"][0]["why"] == "row 3 is empty"
    assert list(written["messages"]) == ["/a~1b/0/why"]
    back = without_messages(written)
    assert back == document
    assert isinstance(back["a/b"][0]["why"], Message)
    assert not isinstance(back["a/b"][1], Message)  # the same words of somebody else's
    assert messages_in(back) == messages_in(document)


@pytest.mark.parametrize("pointer", ["/", "/a/9", "/a/x", "/b/c/d", "/a/٣", "/n"])
def test_places_that_a_document_lacks_change_nothing(pointer: str) -> None:
    document = {"a": ["x"], "n": 1}
    parts = {"text": "x", "template": "x", "values": {}}
    assert without_messages({**document, "messages": {pointer: parts}}) == document


def test_private_text_is_taken_out_of_the_values_alone() -> None:
    message = say("{path}: {why}", path="/data/a", why=say("no {path}", path="/data"))
    changed = message.changed(lambda text: text.replace("/data", "…"))
    assert changed == "…/a: no …"
    assert changed.template == message.template


def test_any_chinese_is_chinese_and_what_is_not_there_is_none() -> None:
    found = [best_of(wanted) for wanted in ("zh-TW", "zh", "zh-CN", "zh_TW.UTF-8", "fr", "")]
    assert found == ["zh_TW"] * 4 + [None, None]
    assert own_name("zh_TW") == "繁體中文"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh_TW"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "LC_MESSAGES": "en_US"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "TUNESMITH_LANGUAGE": "zh-TW"}, "zh_TW"),
        ({"TUNESMITH_LANGUAGE": "en", "LANG": "zh_TW.UTF-8"}, "en"),
        ({"TUNESMITH_LANGUAGE": "", "LANG": "zh_TW"}, "zh_TW"),
    ],
)
def test_the_environment_names_the_language(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language
