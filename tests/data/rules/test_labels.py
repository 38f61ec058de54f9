"""Labels as people write them: spaces, variants, lists, marks, missing values, misspellings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from tests.data.rules.checked import broken, classify, numbered
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking import label_rules, label_values
from tunesmith.data.checking.label_values import with_marked_labels
from tunesmith.data.checking.tables import Checked, check_tables
from tunesmith.errors import ConfigError, DataError
from tunesmith.tasks.text_classification import TextClassification, TextClassificationOptions


def labelled(values: Sequence[Any], *more: Sequence[Any], **rules: Any) -> Checked:
    """Rows with each of `values` as their label, and a split for judging with `more`."""
    tables = [
        numbered(text=[f"split {split} text {n}" for n in range(len(own))], label=own)
        for split, own in enumerate((values, *more))
    ]
    return classify(*tables, **rules)


def several(values: Sequence[Any], **options: Any) -> Checked:
    kind = TextClassificationOptions(multi_label=True, **options)
    task = bound(TextClassification(kind), {"text": "text", "label": "label"})
    table = numbered(text=[f"text {n}" for n in range(len(values))], label=values)
    return check_tables({"train": table}, task, ValidationRules(unknown_labels="drop"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["up", "up ", "\u3000up", "u\u200bp", "\ufeffup", "up\xa0"], {"up": 6}),
        (["very good", "very  good", "very\xa0good"], {"very good": 3}),
        (["1", "1", "1.0", "0", "0.00"], {"0": 2, "1": 3}),
        (["True", "True", "true", "TRUE", "false"], {"True": 4, "false": 1}),
        ([1.0, 0.0, 1.0], {"0": 1, "1": 2}),
        ([["a"], ["b"], ["a"]], {"a": 2, "b": 1}),
        (["['a']", '["b"]', "a"], {"a": 2, "b": 1}),
        (["cafe\u0301", "caf\u00e9"], {"caf\u00e9": 2}),
        (["[note]", "(a)", "{b}"], {"(a)": 1, "[note]": 1, "{b}": 1}),
        (["\u0645\u06cc\u200c\u062e", "x"], {"x": 1, "\u0645\u06cc\u200c\u062e": 1}),
    ],
)
def test_labels_that_are_surely_one_are_one(written: list[Any], read: dict[str, int]) -> None:
    assert labelled(written).report.label_counts == read


def test_what_was_read_otherwise_than_written_is_reported() -> None:
    report = labelled(["up", "up", "up ", "down", "down"]).report
    (found,) = [one for one in report.findings if one.rule == "label_variants"]
    assert (found.row, found.action, found.value) == (103, "fix", "'up '")
    assert found.advice == "read as 'up'"
    assert not broken(labelled(["up ", "down"], label_variants="ignore").report, "label_variants")


def test_splits_of_other_types_have_the_same_labels() -> None:
    checked = labelled([True, False, True], ["True", "FALSE", "true"])
    assert sorted(checked.report.label_counts.values()) == [2, 4]


def test_labels_that_differ_by_capitals_are_named_and_joined_on_request() -> None:
    values = ["up"] * 3 + ["Up", "\uff35\uff30"] + ["e-mail", "e-mail", "email", "down"]
    report = labelled(values).report
    assert broken(report, "label_variants") == [
        (104, "label_variants", "warn"), (105, "label_variants", "warn"),
        (108, "label_variants", "warn"),
    ]  # fmt: skip
    first = next(one for one in report.findings if one.rule == "label_variants")
    assert first.advice == (
        "'Up' (1) and 'up' (3) may be one label: write them alike, or join them with "
        "data.validation_rules.label_variants: fix"
    )
    joined = labelled(values, label_variants="fix")
    assert joined.report.label_counts == {"down": 1, "e-mail": 3, "up": 5}
    assert joined.tables["train"]["label"].to_pylist()[3:5] == ["up", "up"]


def test_named_labels_keep_their_spelling_and_are_found_in_other_ones() -> None:
    checked = labelled(["true", "TRUE", "False", "1.0"], labels=["True", "False", 1])
    assert checked.report.label_counts == {"1": 1, "False": 1, "True": 2}


def test_missing_labels_are_missing_however_they_are_written() -> None:
    values = ["a", "b", "nan", "NaN", "None", "<NA>", "NULL", "", " ", None]
    report = labelled(values).report
    assert [row for row, *_ in broken(report, "missing_labels")] == list(range(103, 111))
    advice = {one.value: one.advice for one in report.findings}
    assert "name it in task.labels" in advice["'nan'"]
    assert labelled(values, labels=["a", "b", "None"]).report.label_counts["None"] == 1
    assert labelled([0.0, float("nan"), 1.0]).report.label_counts == {"0": 1, "1": 1}


def test_several_labels_in_one_row_ask_for_multi_label() -> None:
    report = labelled([["a"], ["b"], ["a", "b"], []]).report
    assert broken(report) == [
        (103, "unknown_labels", "fail"), (104, "missing_labels", "drop")
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"set task\.multi_label: true"):
        report.raise_failures()


def test_several_labels_are_read_from_every_kind_of_list() -> None:
    values = ["['a', 'b']", '["a"]', "['a' 'c']", "('b',)", "a, c", "[]", "[a, b]", "nan"]
    assert several(values).report.label_counts == {"a": 5, "b": 3, "c": 2}
    assert several(["[\"it's\", 'x, y']"]).report.label_counts == {"it's": 1, "x, y": 1}


@pytest.mark.parametrize("as_text", [False, True])
def test_marks_of_0_and_1_are_labels_by_their_order_or_refused(as_text: bool) -> None:
    vectors = [[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]]
    values = [str(one) for one in vectors] if as_text else vectors
    named = several(values, labels=["x", "y", "z"])
    assert named.report.label_counts == {"x": 2, "y": 2, "z": 1}
    with pytest.raises(DataError, match=r"name the 3 labels, in this order, in task\.labels"):
        several(values)
    with pytest.raises(DataError, match="name the 3 labels"):
        several(values, labels=["x", "y"])


def marked(columns: list[str], multi: bool = True) -> TextClassification:
    options = TextClassificationOptions(multi_label=multi, label_columns=columns)
    return bound(TextClassification(options), {"text": "text", "label": "_labels"})


def test_columns_of_0_and_1_are_labels() -> None:
    table = numbered(
        text=["a b", "c d", "e f", "g h", "i j"], hot=[1, 0, 1, 0, 2],
        cold=["0", "1", "1", "0", "0"], wet=[True, False, True, None, False],
    )  # fmt: skip
    task = marked(["hot", "cold", "wet"])
    rules = ValidationRules(unknown_labels="drop")
    checked = check_tables({"train": with_marked_labels(table, task)}, task, rules)
    assert checked.report.label_counts == {"cold": 2, "hot": 2, "wet": 2}
    assert broken(checked.report) == [
        (104, "missing_labels", "drop"), (105, "unknown_labels", "drop")
    ]  # fmt: skip
    task.fit(checked.tables["train"].to_pylist(), [])
    assert task.labels == ["hot", "cold", "wet"]
    assert task.resolved()["label_column"] is None
    single = marked(["hot", "cold"], multi=False)
    table = numbered(text=["a", "b", "c"], hot=[1, 0, 0], cold=[0, 1, 1])
    checked = check_tables({"train": with_marked_labels(table, single)}, single, ValidationRules())
    assert checked.report.label_counts == {"cold": 2, "hot": 1}


def test_columns_of_0_and_1_are_offered_where_no_column_has_labels() -> None:
    rows = [
        {"id": n, "comment_text": f"the lamp number {n} flickers", "hot": n % 2, "wet": n % 3 % 2}
        for n in range(12)
    ]
    task = TextClassification(TextClassificationOptions(multi_label=True))
    with pytest.raises(ConfigError, match=r"hot, wet hold 0 and 1: .* in task\.label_columns"):
        task.find_columns(list(rows[0]), rows)
    with pytest.raises(ConfigError, match="did you mean hot"):
        marked(["hott", "wet"]).find_columns(list(rows[0]), rows)
    assert marked(["hot", "wet"]).find_columns(list(rows[0]), rows) == {
        "text": "comment_text", "label": "_labels"
    }  # fmt: skip


def test_marks_of_no_label_are_named_and_left_out_where_nothing_learns_them() -> None:
    assert broken(labelled([0, 1, -1, 1]).report) == [(103, "label_marks", "warn")]
    assert labelled([0, 1, -1, 1], label_marks="drop").report.label_counts == {"0": 1, "1": 2}
    assert labelled([0, 1, 1], [1, -1, -100]).report.label_counts == {"0": 1, "1": 3}
    assert not broken(labelled([-2, -1, 0, 1]).report)


def test_a_misspelling_is_offered_in_small_data_and_numbers_are_none() -> None:
    values = ["delivery"] * 6 + ["delivary"] + ["5 stars"] * 6 + ["4 stars"] + ["\u6b63\u9762"] * 6
    values += ["\u8ca0\u9762"]
    assert label_rules.misspelled(labelled(values).report.label_counts) == {"delivary": "delivery"}
    advice = [one.advice for one in labelled(values).report.findings if one.rule == "rare_labels"]
    assert advice == ["1 row of this label in all; is delivery meant?"]


def test_thousands_of_labels_are_looked_at_within_a_bound() -> None:
    counts = {f"{n * 7919 % 99991:05d} {n:x} label": 1 + n % 30 for n in range(20_000)}
    start = time.process_time()
    label_rules.rare(counts)
    assert time.process_time() - start < 10


def test_a_million_labels_are_read_by_their_different_values() -> None:
    asked: list[Any] = []

    def strip(value: Any) -> Any:
        asked.append(value)
        return value.strip()

    column = pa.chunked_array([pa.array(["a", "b "] * 500)])
    label_values.parsed(column, strip)
    assert asked == ["a", "b "]
