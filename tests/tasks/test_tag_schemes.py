"""How a column of tags is written is found out from all of it, and read as IOB2."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tasks.samples import bound

from tunesmith.errors import ConfigError
from tunesmith.tasks.base import Columns, Row
from tunesmith.tasks.parts.tags import MOST_TAGS, count_pairs, label_tags, scheme_of
from tunesmith.tasks.token_classification import TokenClassification, TokenClassificationOptions

WORDS = {"tokens": "tokens", "tags": "ner_tags"}
MARKED = {"text": "text", "spans": "spans"}
IOB2 = ["B-PER I-PER O O B-LOC", "O B-LOC I-LOC", "B-PER B-PER O"]


def converted(*rows: str) -> tuple[str, list[str]]:
    tags = [row.split() for row in rows]
    scheme = scheme_of(count_pairs(tags))
    return scheme.name, [" ".join(scheme.iob2(each)) for each in tags]


# Each says the entities of IOB2 above in its own way.
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("IOB2", IOB2),
        ("IOB1", ["I-PER I-PER O O I-LOC", "O I-LOC I-LOC", "I-PER B-PER O"]),
        ("BIOES", ["B-PER E-PER O O S-LOC", "O B-LOC E-LOC", "S-PER S-PER O"]),
        ("BILOU", ["B-PER L-PER O O U-LOC", "O B-LOC L-LOC", "U-PER U-PER O"]),
        ("BMES", ["B-PER E-PER O O S-LOC", "O B-LOC E-LOC", "S-PER S-PER O", "B-X M-X E-X"]),
        ("BIOES", ["B-PER E-PER O O W-LOC", "O B-LOC E-LOC", "W-PER W-PER O"]),
        ("IOE", ["I-PER E-PER O O E-LOC", "O I-LOC E-LOC", "E-PER E-PER O"]),
        ("IOB2", ["B_PER I_PER O O B_LOC", "O B_LOC I_LOC", "B_PER B_PER O"]),
        ("IOB2", ["PER-B PER-I O O LOC-B", "O LOC-B LOC-I", "PER-B PER-B O"]),
        ("IOB2", ["b-PER i-PER o o b-LOC", "o b-LOC i-LOC", "b-PER b-PER o"]),
        ("BILOU", ["PER.B PER.L _ _ LOC.U", "_ LOC.B LOC.L", "PER.U PER.U _"]),
    ],
)
def test_every_scheme_is_read_as_iob2(name: str, rows: list[str]) -> None:
    found, tags = converted(*rows)
    assert (found, tags[:3]) == (name, IOB2)


@pytest.mark.parametrize(
    ("rows", "tags"),
    [
        (["PER PER O LOC"], ["B-PER I-PER O B-LOC"]),
        (["PER LOC 0 0"], ["B-PER B-LOC O O"]),
        (["EVENT-B1 other other", "other other other"], ["B-EVENT-B1 O O", "O O O"]),
        (["E-MAIL O PHONE"], ["B-E-MAIL O B-PHONE"]),
        (["U-PER O U-LOC"], ["B-PER O B-LOC"]),  # each entity is one word
        (["PER_S O LOC_S"], ["B-PER O B-LOC"]),
        (["U-BAHN O S-BAHN"], ["B-U-BAHN O B-S-BAHN"]),
        (["DET NOUN NOUN"], ["B-DET B-NOUN B-NOUN"]),  # no word is outside: parts of speech
        (["B I O"], ["B-ENTITY I-ENTITY O"]),
        (["B M E S"], ["B-ENTITY I-ENTITY I-ENTITY B-ENTITY"]),
    ],
)
def test_kinds_or_letters_alone_are_read_too(rows: list[str], tags: list[str]) -> None:
    assert converted(*rows)[1] == tags


def test_a_mistake_in_iob2_makes_no_iob1_of_it() -> None:
    name, tags = converted("B-PER I-PER O B-LOC", "O I-PER O")
    assert (name, tags[1]) == ("IOB2", "O I-PER O")


def test_what_is_no_tag_of_the_scheme_stays_for_the_rules() -> None:
    assert converted("B-PER E-PER O", "S-LOC [CLS] O")[1][1] == "B-LOC [CLS] O"


def test_a_column_of_texts_is_not_counted_without_end() -> None:
    assert not count_pairs([[f"word {n}"] for n in range(MOST_TAGS + 1)])


def test_labels_may_be_kinds_or_tags_of_any_scheme() -> None:
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert label_tags(["O", "PER", "LOC"]) == tags
    assert label_tags(["O", "B-PER", "I-PER", "E-PER", "S-PER", "S-LOC"]) == tags
    assert label_tags(["O", "B-LOC"]) == ["O", "B-LOC"]


def task_with(columns: Columns = WORDS, **options: Any) -> TokenClassification:
    return bound(TokenClassification(TokenClassificationOptions(**options)), columns)


def answers(task: TokenClassification, rows: list[Row]) -> list[Any]:
    form = task.form(rows)
    return [form.answer(row) for row in rows]


def test_numbers_are_named_by_the_labels_in_whatever_scheme_these_are() -> None:
    rows: list[Row] = [
        {"tokens": ["a", "b", "c"], "ner_tags": tags} for tags in ([0, 1, 1], [2, 0, 0])
    ]
    assert answers(task_with(labels=["O", "PER", "LOC"]), rows) == [
        ["O", "B-PER", "I-PER"], ["B-LOC", "O", "O"]
    ]  # fmt: skip
    task = task_with(labels=["O", "PER", "LOC"])
    task.fit(
        [{**row, "ner_tags": tags} for row, tags in zip(rows, answers(task, rows), strict=True)], []
    )
    assert task.labels == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert task.resolved()["labels"] == ["O", "PER", "LOC"]  # by which the same data are read again


def test_numbers_that_nothing_names_are_a_question() -> None:
    with pytest.raises(ConfigError) as caught:
        task_with().form([{"tokens": ["a", "b"], "ner_tags": [0, 4]}])
    (problem,) = caught.value.problems
    assert problem.field == "task.labels"
    assert "numbers, 0 to 4" in problem.message


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [
        ('["a", "b"]', '["B-X", "O"]'),
        ("['a', 'b']", "['B-X', 'O']"),  # pandas
        ("['a' 'b']", "['B-X' 'O']"),  # numpy
        ("a b", "B-X O"),
    ],
)
def test_lists_may_be_written_as_text(tokens: str, tags: str) -> None:
    row = {"tokens": tokens, "ner_tags": tags}
    task = task_with()
    (answer,) = answers(task, [row])
    assert answer == ["B-X", "O"]
    assert task.tagged({**row, "ner_tags": answer}).text == "a b"


@pytest.mark.parametrize(
    ("text", "tags", "entities"),
    [
        ("Ada in Rome.", ["B-PER", "O", "B-LOC"], [("Ada", "PER"), ("Rome.", "LOC")]),
        ("Ada in Rome", "PER O LOC", [("Ada", "PER"), ("Rome", "LOC")]),
        ("我在台北", ["O", "O", "B-LOC", "I-LOC"], [("台北", "LOC")]),
        ("我 在台北", "O O B-LOC E-LOC", [("台北", "LOC")]),
    ],
)  # fmt: skip
def test_tags_may_stand_over_the_words_or_characters_of_a_text(
    text: str, tags: Any, entities: list[tuple[str, str]]
) -> None:
    row = {"text": text, "spans": tags}
    assert task_with().find_columns(["text", "Tag"], [{"text": text, "Tag": tags}]) == {
        "text": "text", "spans": "Tag"
    }  # fmt: skip
    (answer,) = answers(task_with(MARKED), [row])
    assert [(one["text"], one["label"]) for one in answer] == [
        (None, label) for _, label in entities
    ]
    assert [text[one["start"] : one["end"]] for one in answer] == [words for words, _ in entities]


def test_too_few_tags_for_a_text_are_said() -> None:
    task = task_with(MARKED)
    row = {"text": "a b c", "spans": ["B-X", "O"]}
    (answer,) = answers(task, [row])
    ((rule, advice),) = task.faults({**row, "spans": answer})
    assert (rule, advice) == ("broken_tags", "2 tags for 3 words: give each word one")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["B-PER", "E-PER"], "ner_tags: tags are BIOES (B-PER, E-PER): read as IOB2"),
        (["PER", "O"], "ner_tags: tags are kinds alone (PER)"),
        (["PER", "LOC"], "no tag says that a word is in no entity"),
        (["PER", "_"], "'_' is read as O, no entity"),
    ],
)
def test_what_was_converted_is_said(tags: list[str], said: str) -> None:
    notes = task_with().form([{"tokens": ["a", "b"], "ner_tags": tags}]).notes
    assert any(said in note for note in notes), notes
    assert not task_with().form([{"tokens": ["a", "b"], "ner_tags": ["B-X", "O"]}]).notes
