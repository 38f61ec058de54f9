"""Spans as tools write them, and what their places count."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tasks.samples import bound

from tunesmith.tasks.parts.entities import words_of
from tunesmith.tasks.parts.spans import read_span, read_spans
from tunesmith.tasks.token_classification import TokenClassification, TokenClassificationOptions

TEXT = "Today Mara Lind flew to Oslo ."
PERSON = {"start": 6, "end": 15, "label": "PER"}


def task() -> TokenClassification:
    columns = {"text": "text", "spans": "spans"}
    return bound(TokenClassification(TokenClassificationOptions()), columns)


def found(*rows: tuple[str, Any]) -> tuple[list[list[tuple[str, str]]], list[str]]:
    """The words and label of the entities of each row, and what is said of them."""
    asked = task()
    given = [{"text": text, "spans": spans} for text, spans in rows]
    form = asked.form(given)
    entities = []
    for row in given:
        answer = form.answer(row)
        assert not [f for f in asked.faults({**row, "spans": answer}) if f[0] != "inexact_spans"]
        entities.append([(row["text"][one["start"] : one["end"]], one["label"]) for one in answer])
    return entities, [str(note) for note in form.notes]


def faults(text: str, *spans: Any) -> list[tuple[str, str]]:
    row = {"text": text, "spans": list(spans)}
    asked = task()
    return list(asked.faults({**row, "spans": asked.form([row]).answer(row)}))


@pytest.mark.parametrize(
    "span",
    [
        PERSON,
        {"start_offset": 6, "end_offset": 15, "label": "PER", "id": 3},  # doccano
        {"start": 6, "end": 15, "text": "Mara Lind", "labels": ["PER"]},  # Label Studio
        {"begin": 6, "stop": 15, "type": "PER"},
        {"BeginOffset": 6, "EndOffset": 15, "Type": "PER", "Text": "Mara Lind"},  # Comprehend
        {"offset": 6, "length": 9, "category": "PER"},  # Azure
        {"start": 6, "end": 15, "value": "Mara Lind", "entity": "PER"},  # Rasa
        {"start": 6, "end": 15, "entity": "Mara Lind", "type": "PER"},
        {"entity_group": "PER", "word": "Mara Lind", "start": 6, "end": 15, "score": 0.9},
        {"start": "6", "end": 15.0, "tag": "PER"},
        {"text": "Mara Lind", "label": "PER"},  # without places
        [6, 15, "PER"],
        ["PER", 6, 15],
        [6, 15, "Mara Lind", "PER"],
        ["Mara Lind", "PER"],
    ],
)
def test_a_span_is_known_under_the_names_that_tools_give_it(span: Any) -> None:
    entities, notes = found((TEXT, [span]))
    assert entities == [[("Mara Lind", "PER")]]
    assert not notes


@pytest.mark.parametrize(
    "spans",
    [
        {"entities": [[6, 15, "PER"]]},  # spaCy
        {"start": [6], "end": [15], "label": ["PER"]},  # datasets' lists of objects
        {"PER": [[6, 15]]},
        {"PER": {"Mara Lind": [[6, 15]]}},
        PERSON,
        [6, 15, "PER"],
        '[{"start": 6, "end": 15, "label": "PER"}]',
        "[(6, 15, 'PER')]",
        "{'entities': [(6, 15, 'PER')]}",
    ],
)
def test_lists_of_spans_may_be_wrapped_or_written_as_text(spans: Any) -> None:
    assert found((TEXT, spans))[0] == [[("Mara Lind", "PER")]]


@pytest.mark.parametrize(
    "empty", [[], "[]", {"entities": []}, {"start": [], "end": [], "label": []}]
)
def test_a_row_without_entities_stays(empty: Any) -> None:
    assert found((TEXT, empty), (TEXT, [PERSON]))[0] == [[], [("Mara Lind", "PER")]]


def utf16(text: str, words: str) -> tuple[int, int]:
    start = len(text[: text.index(words)].encode("utf-16-le")) // 2
    return start, start + len(words.encode("utf-16-le")) // 2


def utf8(text: str, words: str) -> tuple[int, int]:
    start = len(text[: text.index(words)].encode())
    return start, start + len(words.encode())


EMOJI = ["🎉🎉 Ada is here", "👩‍🔬 Ada and 🎈", "so 😀 Ada", "Ada again", "Zoë, 🎉 Ada"]


@pytest.mark.parametrize(("count", "called"), [(utf16, "UTF-16 units"), (utf8, "bytes")])
@pytest.mark.parametrize("says_words", [True, False])
def test_places_in_other_units_are_found_out(count: Any, called: str, *, says_words: bool) -> None:
    extra = {"text": "Ada"} if says_words else {}
    rows = [
        (text, [{"start": start, "end": end, "label": "PER", **extra}])
        for text in EMOJI
        for start, end in [count(text, "Ada")]
    ]
    entities, (note,) = found(*rows)
    assert entities == [[("Ada", "PER")]] * len(EMOJI)
    assert note == f"spans: places of entities count {called}: read as characters"


def test_an_end_within_the_entity_is_found_out_by_its_words() -> None:
    """CLUENER's own example."""
    text = "浙商银行企业信贷部叶老桂博士则从另一个角度对五道门槛进行了解读。"
    marks = {"name": {"叶老桂": [[9, 11]]}, "company": {"浙商银行": [[0, 3]]}}
    entities, (note,) = found((text, marks))
    assert entities == [[("叶老桂", "name"), ("浙商银行", "company")]]
    assert "an end is an entity's last" in note


def test_an_end_within_is_found_out_by_where_words_end_but_not_from_few() -> None:
    rows = [("see Ada go", [[4, 6, "PER"]]), ("to Rome now", [[3, 6, "LOC"]])] * 2
    assert found(*rows)[0][:2] == [[("Ada", "PER")], [("Rome", "LOC")]]
    assert found(("cats", [[0, 3, "ANIMAL"]]))[0] == [[("cat", "ANIMAL")]]


def test_places_that_are_right_are_not_doubted_for_a_wrong_one() -> None:
    right = (TEXT, [{**PERSON, "text": "Mara Lind"}])
    wrong = (TEXT, [{"start": 24, "end": 27, "label": "LOC", "text": "Oslo"}])
    entities, notes = found(right, right, wrong)
    assert (entities[2], notes) == ([("Osl", "LOC")], [])


@pytest.mark.parametrize(
    ("span", "rule", "said"),
    [
        ([6, 12, "PER"], "inexact_spans", "span 1, 'Mara L', cuts the word 'Lind': the whole word"),
        (
            {**PERSON, "text": "Mara"},
            "inexact_spans",
            "span 1, 6 to 15, is 'Mara Lind' in the text, and says 'Mara'",
        ),
        ([5, 6, "X"], "broken_tags", "span 1, 5 to 6, has no word in it"),
        ({"text": "Ada", "label": "PER"}, "broken_tags", "span 1, 'Ada', does not stand in the"),
        ({"text": "o", "label": "PER"}, "broken_tags", "span 1, 'o', stands 3 times in the text"),
        (
            {"start": 6, "end": 15, "labels": ["A", "B"]},
            "broken_tags",
            "needs start, end and label",
        ),
    ],
)
def test_spans_that_are_not_quite_right_are_said(span: Any, rule: str, said: str) -> None:
    (one,) = faults(TEXT, span)
    assert one[0] == rule
    assert said in one[1]


def test_the_same_span_twice_is_one() -> None:
    assert not faults(TEXT, PERSON, PERSON)
    ((rule, advice),) = faults(TEXT, PERSON, {**PERSON, "label": "ORG"})
    assert rule == "broken_tags"
    assert "overlap" in advice


def test_characters_of_scripts_without_spaces_are_words() -> None:
    assert [text for text in ("台北101", "กรุงเทพ", "𠮷野家") for _ in words_of(text)] == (
        ["台北101"] * 3 + ["กรุงเทพ"] * 7 + ["𠮷野家"] * 3
    )


@pytest.mark.parametrize(
    "value", [None, 3, "x", {}, [1, 2], [1, 2, 3], {"start": 1}, [True, False, "A"], {"label": "A"}]
)
def test_what_is_no_span_is_none(value: Any) -> None:
    assert read_span(value) is None


@pytest.mark.parametrize("deep", ["[" * 90_000, "[" * 90 + "]" * 90, "(" * 5000 + "1", "[-" * 4000])
def test_nested_text_costs_no_more_than_its_length(deep: str) -> None:
    read_spans(deep)
