"""Entities: tags and spans, words and tokens, and which entities count as found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.tasks.samples import bound
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tunesmith.errors import ConfigError, DataError
from tunesmith.tasks.base import Columns, Row
from tunesmith.tasks.parts.columns import IGNORED
from tunesmith.tasks.parts.entities import (
    Tagged,
    entities,
    first_tokens,
    runs,
    tags_of,
    words_of,
)
from tunesmith.tasks.results import Prediction
from tunesmith.tasks.token_classification import TokenClassification, TokenClassificationOptions

LISTED = {"tokens": "tokens", "tags": "ner_tags"}
SPANNED = {"text": "text", "spans": "spans"}


def task_with(columns: Columns = LISTED, **options: Any) -> TokenClassification:
    return bound(TokenClassification(TokenClassificationOptions(**options)), columns)


def listed(words: str, tags: str) -> Row:
    return {"_row": 1, "tokens": words.split(), "ner_tags": tags.split()}


def spanned(text: str, *spans: Any) -> Row:
    return {"_row": 1, "text": text, "spans": list(spans)}


@pytest.fixture(scope="module")
def pieces() -> Any:
    """A tokenizer that cuts words into pieces, and drops what isn't a letter of them."""
    vocabulary = ["[UNK]", "[PAD]", "new", "york", "ers", "in", "##ers", "##land", "is", "."]
    model = models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=64
    )


# The first four are of seqeval's documentation; the others show where strict IOB2 is strict.
@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O O O B-MISC I-MISC I-MISC O", [(3, 6, "MISC")]),
        ("B-PER I-PER O", [(0, 2, "PER")]),
        ("O O B-MISC I-MISC B-MISC O O", [(2, 4, "MISC"), (4, 5, "MISC")]),
        ("B-NP I-NP", [(0, 2, "NP")]),
        ("O I-PER I-PER", []),
        ("B-PER I-LOC I-PER", [(0, 1, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
    ],
)
def test_an_entity_begins_with_b_and_goes_on_with_i_of_its_label(
    tags: str, found: list[tuple[int, int, str]]
) -> None:
    assert runs(tags.split()) == found


def test_words_are_what_stands_between_spaces_and_signs_and_each_chinese_character() -> None:
    text = "O'Neill, 1st in 台北市 (café)!"
    assert [text[a:b] for a, b in words_of(text)] == [
        "O", "'", "Neill", ",", "1st", "in", "台", "北", "市", "(", "café", ")", "!"
    ]  # fmt: skip


def test_a_span_that_ends_inside_a_word_has_the_whole_word() -> None:
    text = "New Yorkers in Rome"
    tagged = tags_of(text, [[15, 19, "CITY"], {"start": 0, "end": 8, "entity": "CITY"}])
    assert tagged.tags == ["B-CITY", "I-CITY", "O", "B-CITY"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (listed("a b", "O I-PER"), "tag 2, I-PER, continues no entity: one begins with B-PER"),
        (listed("a b", "B-LOC I-PER"), "tag 2, I-PER, continues no entity"),
        (listed("a b", "O PER"), "tag 2, 'PER', is none of IOB2: O, B-NAME or I-NAME"),
        (listed("a b", "O"), "1 tags for 2 words: give each word one"),
        ({"tokens": ["a"], "ner_tags": [3]}, "tag 1, 3, is none of IOB2"),
    ],
)
def test_tags_that_are_not_iob2_break_a_rule(row: Row, told: str) -> None:
    ((rule, advice),) = task_with().faults(row)
    assert rule == "broken_tags"
    assert told in advice
    with pytest.raises(DataError):
        task_with().fit([row], [])


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        ([[0, 30, "A"]], "span 1, 0 to 30, is not in the text of 8 characters"),
        ([[0, 3, "A"], [2, 5, "B"]], "A from 0 to 3 and B from 2 overlap: keep one"),
        ([{"start": 0, "end": 3}], "span 1 needs start, end and label"),
    ],
)
def test_spans_that_are_no_entities_of_the_text_break_a_rule(spans: list[Any], told: str) -> None:
    ((rule, advice),) = bound(task_with(), SPANNED).faults(spanned("new york", *spans))
    assert rule == "broken_tags"
    assert told in advice


def test_tags_by_number_are_named_by_the_options_and_others_refused() -> None:
    task = task_with(labels=["O", "B-CITY", "I-CITY"])
    row = {"_row": 1, "tokens": ["in", "new", "york"], "ner_tags": [0, 1, 2]}
    assert task.tagged(row).tags == ["O", "B-CITY", "I-CITY"]
    ((rule, advice),) = task.faults(listed("a", "B-PER"))
    assert (rule, advice) == ("unknown_labels", "B-PER is not in task.labels: O, B-CITY, I-CITY")


def test_lists_may_be_written_as_json_as_in_csv() -> None:
    row = {"_row": 1, "tokens": json.dumps(["new", "york"]), "ner_tags": '["B-X", "I-X"]'}
    assert task_with().tagged(row) == task_with().tagged(listed("new york", "B-X I-X"))


def test_columns_are_words_with_tags_or_a_text_with_spans() -> None:
    assert task_with().find_columns(["id", "tokens", "ner_tags"], []) == LISTED
    assert task_with().find_columns(["text", "entities"], [{"text": "a", "entities": []}]) == {
        "text": "text", "spans": "entities"
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        task_with().find_columns(["one", "two", "id"], [])
    assert {problem.field for problem in caught.value.problems} == {
        "task.tokens_column", "task.tags_column"
    }  # fmt: skip


def test_only_the_first_piece_of_a_word_has_a_target(pieces: Any) -> None:
    task = task_with()
    rows = [listed("in New Yorkers .", "O B-X I-X O")]
    task.fit(rows, [])
    (example,) = task.encode(rows, pieces, 64)
    assert pieces.convert_ids_to_tokens(example["input_ids"]) == ["in", "new", "york", "##ers", "."]
    assert example["labels"] == [0, 1, 2, IGNORED, 0]
    (cut,) = task.encode(rows, pieces, 3)
    assert (cut["labels"], cut["targets"]) == ([0, 1, 2], 3)


def test_words_within_one_token_go_on_with_its_entity() -> None:
    """As characters of Chinese do, of which a token may have several."""
    words = [(0, 1), (1, 2), (2, 3), (3, 4)]  # 我 在 台 北
    tokens = first_tokens(words, [(0, 0), (0, 2), (2, 4), (0, 0)])
    assert tokens == ([IGNORED, 0, 2, IGNORED], [IGNORED, 2, 4, IGNORED])
    task = task_with()
    task.restore({"labels": ["O", "B-LOC", "I-LOC"]})
    asked = Tagged("我在台北", words, ["O"] * 4)
    found, sure = task._tagged_by(asked, tokens, [0, 0, 1, 0], [0.1, 0.9, 0.8, 0.1])
    assert entities(found) == [{"label": "LOC", "text": "台北", "start": 2, "end": 4}]
    assert sure == [0.9, 0.9, 0.8, 0.8]


def test_a_word_that_the_tokenizer_drops_has_no_target_and_moves_no_other(pieces: Any) -> None:
    task = task_with()
    rows = [{"_row": 1, "tokens": ["in", "\u200b", "york"], "ner_tags": ["O", "O", "B-X"]}]
    task.fit(rows, [])
    (example,) = task.encode(rows, pieces, 64)
    assert (example["labels"], example["words"]) == ([0, 1], [0, 2])


def prediction(expected: list[Any], predicted: list[Any], points: float) -> Prediction:
    def made(entities: list[Any]) -> list[dict[str, Any]]:
        return [{"label": label, "text": "", "start": a, "end": b} for a, b, label in entities]

    return Prediction(
        1, "", made(expected), made(predicted), expected == predicted, loss=0.5, tokens=4,
        tokens_correct=3, points=points, weight=len(expected) + len(predicted),
    )  # fmt: skip


def test_an_entity_counts_only_where_label_start_and_end_are_right() -> None:
    task = task_with()
    task.restore({"labels": ["O", "B-A", "I-A", "B-B", "I-B"]})
    score = task.score(
        [
            prediction([(0, 3, "A"), (5, 8, "B")], [(0, 3, "A"), (5, 9, "B")], 2.0),
            prediction([(0, 3, "A")], [(0, 3, "B")], 0.0),
            prediction([], [], 0.0),
        ]
    )
    assert score.metrics == {
        "f1": pytest.approx(1 / 3), "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 3), "token_accuracy": 0.75, "loss": 0.5,
    }  # fmt: skip
    assert score.details["per_class"]["A"] == {
        "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2
    }  # fmt: skip


def test_the_baseline_remembers_each_words_usual_tag() -> None:
    train = [listed("in new york", "O B-X I-X"), listed("new in york", "O O B-X")]
    judged = [listed("in rome new york", "O B-X B-X I-X")]
    baseline = task_with().baseline([*train, train[0]], judged)
    assert baseline["value"] == pytest.approx(2 / 3)  # new york, and not rome


def test_data_without_entities_cannot_be_learned_from() -> None:
    with pytest.raises(DataError, match="marks no entity at all"):
        task_with().fit([listed("a b", "O O")], [])
    with pytest.raises(DataError, match=r"no row to train on has an entity 'Y'"):
        task_with().fit([listed("a", "B-X")], [listed("a", "B-Y")])


def test_entities_of_which_no_row_was_judged_are_named() -> None:
    task = task_with()
    task.restore({"labels": ["O", "B-A", "I-A", "B-B", "I-B"]})
    score = task.score([prediction([(0, 3, "A")], [(0, 3, "A")], 0.0)])
    assert task.cautions(score) == [
        "no held-out row has the entity 'B': the score says nothing about it"
    ]
    assert set(score.details["per_class"]) == {"A"}
