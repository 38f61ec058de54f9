"""Analysis: the figures of small tables that can be counted by hand, and of odd ones."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tunesmith.data.analysis.distribution import distribution
from tunesmith.data.analysis.summary import LABELS_DETAILED, Analysis, analyze
from tunesmith.data.analysis.typical_words import PRIOR
from tunesmith.errors import DataError


def table(**columns: Any) -> pa.Table:
    rows = pa.table(columns)
    return rows.append_column("_row", pa.array(range(1, rows.num_rows + 1), pa.int64()))


def of(texts: list[Any], labels: list[Any] | None = None, **options: Any) -> Analysis:
    columns = {"text": texts} if labels is None else {"text": texts, "label": labels}
    return analyze(
        {"train": table(**columns)},
        text_columns=["text"],
        label_column=None if labels is None else "label",
        **options,
    )


def test_the_json_holds_what_was_promised_of_data_reports() -> None:
    labels = [0] * 245 + [1] * 255
    found = of([f"text {i}" for i in range(500)], labels).to_json()
    promised = {
        "total_samples": 500,
        "label_counts": {"0": 245, "1": 255},
        "imbalance_ratio": 1.04,
        "is_balanced": True,
    }
    assert {name: found[name] for name in promised} == promised
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, sort_keys=True))
    assert json.loads(json.dumps(found))["lengths"] == found["lengths"]


def test_labels_are_counted_in_all_and_for_each_split() -> None:
    tables = {
        "train": table(text=list("abcde"), label=[1, 1.0, 2, None, 1]),
        "test": table(text=["f", "g"], label=["2", "3"]),
    }
    found = analyze(tables, text_columns=["text"], label_column="label")
    assert list(found.label_counts.items()) == [("1", 3), ("2", 2), ("3", 1)]
    assert found.labels_by_split == {"train": {"1": 3, "2": 1}, "test": {"2": 1, "3": 1}}
    assert found.splits == {"train": 5, "test": 2}
    assert found.missing_labels == 1
    assert found.imbalance_ratio == 3.0
    assert found.is_balanced
    uneven = analyze(
        {"train": table(text=list("abcde"), label=[1, 1, 1, 1, 2])},
        text_columns=["text"],
        label_column="label",
    )
    assert uneven.is_balanced is False


def test_a_row_with_a_list_of_labels_counts_for_each() -> None:
    found = of(["a", "b", "c", "d"], [["x", "y"], ["x"], [], None])
    assert found.label_counts == {"x": 2, "y": 1}
    assert found.missing_labels == 2


def test_without_a_label_column_there_are_examples_of_all_rows_and_nothing_of_labels() -> None:
    found = of(["one", "three", "eleven"])
    assert found.label_counts == {}
    assert found.labels_by_split == {}
    assert found.imbalance_ratio is None
    assert found.is_balanced is None
    assert found.typical_words == []
    assert [(e.label, [row.row for row in e.rows]) for e in found.examples] == [(None, [2, 3, 1])]


def test_lengths_are_counted_in_characters_words_and_tokens() -> None:
    found = of(
        ["don't stop", " x ", "", "手机 ok"],
        token_counts=lambda rows: [2 * len(text) for text in rows.column("text").to_pylist()],
        max_length=10,
    )
    characters, words, tokens = (found.lengths[n] for n in ("characters", "words", "tokens"))
    assert (characters.min, characters.max, characters.mean) == (0, 10, 4.0)
    assert (words.min, words.max, words.mean) == (0, 3, 1.5)  # 手 and 机 count as words
    assert (tokens.max, tokens.limit, tokens.over_limit) == (20, 10, 0.25)
    assert characters.over_limit is None
    assert found.vocabulary_size == 5  # don't, stop, x, ok, 手机


def test_a_distribution_has_round_borders_and_loses_no_value() -> None:
    values = np.concatenate([np.arange(37, 937), np.full(18, 100_000)])
    found = distribution(values)
    assert found is not None
    assert found.quantiles == {1: 46, 5: 82, 25: 266, 50: 495, 75: 725, 95: 909, 99: 100_000}
    shown = found.histogram
    assert shown.edges[0] == 0
    assert {b - a for a, b in zip(shown.edges, shown.edges[1:], strict=False)} == {50}
    assert sum(shown.counts) + shown.above == found.rows == 918
    assert shown.above == 18
    assert distribution(np.array([], dtype=np.int64)) is None
    same = distribution(np.array([7, 7]))
    assert same is not None
    assert (same.histogram.edges, same.histogram.counts, same.histogram.above) == ([7, 8], [2], 0)


def test_rows_without_text_are_told_apart_from_rows_without_value() -> None:
    found = of([None, "", " \n\t", "\u3000", "text"])
    assert (found.missing_texts, found.empty_texts) == (1, 3)
    assert [row.row for row in found.shortest] == [5]
    assert found.duplicates.rows == 0


def test_duplicates_differ_in_case_width_and_white_space_only() -> None:
    found = of(["One  film", "two", "ONE film", "one\ufb01lm", "Two", "\uff4fne film"])
    assert (found.duplicates.rows, found.duplicates.texts) == (3, 2)
    [first, second] = found.duplicates.most_repeated
    assert (first[0].row, first[1]) == (1, 3)
    assert (second[0].row, second[1]) == (2, 2)


def test_two_text_columns_are_one_text() -> None:
    rows = table(a=["x y", None, "z"], b=["k", "l", ""])
    found = analyze({"train": rows}, text_columns=["a", "b"], label_column=None)
    assert found.lengths["words"].mean == pytest.approx(5 / 3, abs=0.01)
    assert (found.missing_texts, found.empty_texts) == (1, 1)
    assert found.longest[0].text == "x y k"


def test_typical_words_are_those_of_the_papers_formula() -> None:
    texts = ["good film"] * 30 + ["bad film"] * 20 + ["bad good film"] * 5
    found = of(texts, ["p"] * 30 + ["n"] * 25)
    [positive, negative] = found.typical_words
    assert [(w.word, w.count, w.elsewhere) for w in positive.words] == [("good", 30, 5)]
    assert [w.word for w in negative.words] == ["bad"]
    # Monroe, Colaresi and Quinn (2008), by hand: "good", 60 words of p, 55 of n, 115 in all.
    total, own, others = 115, 60, 55
    prior, prior_total = 35 * PRIOR, total * PRIOR
    here, there = 30 + prior, 5 + prior
    odds = math.log(here / (own + prior_total - here))
    odds -= math.log(there / (others + prior_total - there))
    assert positive.words[0].z == pytest.approx(odds / math.sqrt(1 / here + 1 / there))


def test_texts_without_spaces_have_pairs_of_characters_as_words() -> None:
    found = of(["非常好看"] * 20 + ["真的難看"] * 20, ["p"] * 20 + ["n"] * 20)
    words = {entry.label: {w.word for w in entry.words} for entry in found.typical_words}
    assert words == {"p": {"非常", "常好", "好看"}, "n": {"真的", "的難", "難看"}}


def test_of_many_labels_the_most_frequent_are_described() -> None:
    labels = [f"label {i:02}" for i in range(40) for _ in range(50 - i)]
    found = of([f"{label} word{label[-2:]}" for label in labels], labels)
    assert len(found.label_counts) == 40
    expected = [f"label {i:02}" for i in range(LABELS_DETAILED)]
    assert [entry.label for entry in found.typical_words] == expected
    assert [entry.label for entry in found.examples] == expected
    assert found.typical_words[3].words[0].word == "03"
    assert {w.word for w in found.typical_words[3].words} == {"03", "word03"}


def test_examples_are_near_the_median_and_all_different() -> None:
    texts = ["x", "medium a", "medium a", "medium b", "medium c", "x" * 500]
    found = of(texts, ["only"] * 6, examples=2)
    assert [row.row for row in found.examples[0].rows] == [2, 4]
    assert found.longest[0].row == 6
    assert found.longest[0].characters == 500
    assert len(found.longest[0].text) == 300
    assert found.longest[0].text.endswith("…")
    assert found.shortest[0].row == 1


CHAT = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "hello there"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "bye"},
    {"role": "assistant", "content": "good bye"},
]


@pytest.mark.parametrize("names", [("role", "content"), ("from", "value")])
def test_the_text_of_a_chat_is_what_the_user_says(names: tuple[str, str]) -> None:
    share_gpt = {"user": "human", "assistant": "gpt"} if names[0] == "from" else {}
    chats = [
        None if chat is None else
        [dict(zip(names, (share_gpt.get(t["role"], t["role"]), t["content"]), strict=True))
         for t in chat]
        for chat in (CHAT, CHAT[:2], None)
    ]  # fmt: skip
    found = of(chats)
    assert found.longest[0].text == "hello there bye"
    assert found.longest[0].answer == "hi good bye"
    assert (found.missing_texts, found.empty_texts) == (1, 0)
    assert (found.duplicates.rows, found.lengths["words"].max) == (0, 3)
    assert found.chats is not None
    assert found.chats.without_answer == 2
    assert found.chats.turns is not None
    assert (found.chats.turns.min, found.chats.turns.max) == (0, 5)
    assert found.chats.answer_words is not None
    assert (found.chats.answer_words.rows, found.chats.answer_words.max) == (1, 3)
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


def test_what_is_worth_a_look_is_said_in_sentences() -> None:
    texts = ["a", "A ", "b", "", None, *map(str, range(20))]
    found = of(
        texts,
        ["x"] * 20 + ["y"] * 4 + [None],
        token_counts=lambda rows: [3] * rows.num_rows,
        max_length=2,
    )
    assert found.remarks() == [
        "The labels are unbalanced: 'x' has 5.0 times the rows of 'y'.",
        "1 row has no label.",
        "1 row has no text at all.",
        "1 row has a text of nothing but white space.",
        "1 row has the text of an earlier row (case and spaces aside).",
        "100.0% of the rows are longer than 2 tokens, and would be cut.",
    ]
    assert of(["a", "b"], ["x", "y"]).remarks() == []


def test_a_table_without_rows_has_an_analysis_too() -> None:
    empty = table(text=pa.array([], pa.string()), label=[])
    found = analyze({"train": empty}, text_columns=["text"], label_column="label")
    assert found.total_samples == 0
    assert found.lengths == {}
    assert found.to_json()["duplicates"]["rows"] == 0


def test_a_column_that_is_not_there_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"no column 'txt'; it has: text, label; did you mean text"):
        analyze({"train": table(text=["a"], label=[1])}, text_columns=["txt"], label_column="label")
    with pytest.raises(DataError, match="no column 'labels'"):
        analyze(
            {"train": table(text=["a"], label=[1])}, text_columns=["text"], label_column="labels"
        )


def test_the_same_rows_give_the_same_analysis_whatever_their_chunks() -> None:
    rows = table(text=["a b", "c", "a b", "d e f"], label=["x", "y", "x", "y"])
    parts = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 2), rows.slice(3)])
    options: dict[str, Any] = {"text_columns": ["text"], "label_column": "label"}
    assert analyze({"train": rows}, **options) == analyze({"train": parts}, **options)
