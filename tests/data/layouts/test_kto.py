"""Single answers with a mark whether they are good: sft learns the good ones, and says the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.data.layouts.laid import laid, table, task, usage

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import examine
from tunesmith.data.layouts.laying import lay_out
from tunesmith.data.sources import read_source
from tunesmith.errors import ConfigError, DataError
from tunesmith.experiments.datasets.importing import check_data, import_data, inquire
from tunesmith.settings import Settings
from tunesmith.store.store import Store

CASE = Path(__file__).parents[1] / "cases" / "wrong-kto-bad-answers-learned" / "kto.jsonl"
Row = Mapping[str, Any]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


LAYOUTS: dict[str, Row] = {
    "TRL": {"prompt": "p?", "completion": "c", "label": True},
    "TRL, turns": {"prompt": [user("p?")], "completion": [said("c")], "label": True},
    "LLaMA-Factory": {"instruction": "p?", "input": "", "output": "c", "kto_tag": True},
    "ShareGPT": {
        "conversations": [{"from": "human", "value": "p?"}, {"from": "gpt", "value": "c"}],
        "kto_tag": True,
    },
    "ms-swift": {"messages": [user("p?"), said("c")], "label": True},
    "as a CSV has it": {"prompt": "p?", "completion": "c", "label": "True"},
    "as numbers": {"prompt": "p?", "completion": "c", "label": 1},
}


def bad(row: Row) -> dict[str, Any]:
    """`row` with the mark of a bad answer."""
    marked = {name: type(value)(not value) for name, value in row.items() if isinstance(value, int)}
    return {**row, **(marked or {"label": "False"})}


@pytest.mark.parametrize("name", LAYOUTS)
def test_bad_answers_are_not_learned_and_said(name: str) -> None:
    good = LAYOUTS[name]
    found = laid(good, bad(good), name="sft")
    (row,) = found.tables["train"].to_pylist()
    one = task("sft")
    one.bind(one.find_columns(found.tables["train"].column_names, [row]))
    assert [(t["role"], t["content"]) for t in one.messages(row)] == [
        ("user", "p?"), ("assistant", "c")
    ]  # fmt: skip
    (left,) = found.excluded["train"]
    assert left.row == 2
    assert "a bad answer, which sft does not learn" in left.reason
    assert "whether it is learned" in "\n".join(usage(good, bad(good), name="sft").lines())


def test_an_answer_without_a_mark_is_left_out_too() -> None:
    good = LAYOUTS["TRL"]
    (left,) = laid(good, {**good, "label": None}, name="sft").excluded["train"]
    assert left.reason == "label does not say whether the answer is good"


def test_the_report_counts_what_was_left_out() -> None:
    request = DataConfig(dataset_name=str(CASE))
    report = examine(request, task("sft"), read_source(str(CASE))).checked.report
    assert (report.rows_in, report.rows_out) == (20, 10)
    assert {(f.rule, f.action) for f in report.findings if f.row and f.row > 10} == {
        ("marked_rows", "drop")
    }


def test_dpo_says_that_these_are_no_pairs() -> None:
    one, rows = task("dpo"), table(LAYOUTS["ShareGPT"], bad(LAYOUTS["ShareGPT"]))
    found = lay_out({"train": rows}, one, None).tables["train"]
    with pytest.raises(ConfigError, match="kto_tag says whether it is a good one"):
        one.find_columns(found.column_names, found.to_pylist())


def kto(prompt: Any, answer: Any, mark: Any) -> Row:
    return {"prompt": prompt, "completion": answer, "label": mark}


@pytest.mark.parametrize("asked", ["p?", [user("p?")], "\n\nHuman: p?\n\nAssistant:"])
def test_for_dpo_good_and_bad_answers_to_one_prompt_are_pairs(asked: Any) -> None:
    answers = [said(each) if isinstance(asked, list) else each for each in ("a", "b", "c", "d")]
    given = [[each] if isinstance(asked, list) else each for each in answers]
    other = [user("q?")] if isinstance(asked, list) else "q?"
    rows = [kto(asked, given[0], False), kto(other, given[1], True),
            kto(asked, given[2], True), kto(asked, given[3], True)]  # fmt: skip
    found = laid(*rows, name="dpo")
    (pair,) = found.tables["train"].to_pylist()
    one = task("dpo")
    one.bind(one.find_columns(found.tables["train"].column_names, [pair]))
    start, (better, worse) = one.pair(pair)
    assert [turn["content"] for turn in better] == ["p?", "c"]
    assert [turn["content"] for turn in worse[start:]] == ["a"]
    left = [(each.row, each.reason) for each in found.excluded["train"]]
    why = "there is no other answer to its prompt to make a pair with"
    assert left == [(2, why), (4, why)]
    lines = usage(*rows, name="dpo").lines()
    assert "4 rows of one answer each, read as 1 pairs of a good and a bad answer" in str(lines)


def test_both_answers_of_a_pair_are_held_out_together(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "kto.jsonl"
    rows = [kto(f"what is {n}?", f"{good} {n}", good) for n in range(12) for good in (True, False)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = inquire(str(path), None, ["task=dpo"], settings)
    version, _ = import_data(asked, "kto", "", settings, store)
    assert version.splits == {"train": 22, "held_out": 2}
    again = check_data(inquire("kto@1", None, ["task=dpo"], settings)).checked
    assert [table.num_rows for table in again.tables.values()] == [11, 1]


def test_for_dpo_a_row_without_a_mark_is_left_out_and_said() -> None:
    rows = [kto("p?", "a", True), kto("p?", "b", False), kto("p?", "c", None)]
    found = laid(*rows, name="dpo")
    assert found.tables["train"].num_rows == 1
    (left,) = found.excluded["train"]
    assert (left.row, left.reason) == (3, "label does not say whether the answer is good")


def test_for_dpo_single_answers_say_what_is_missing() -> None:
    rows = [kto(f"p {n}?", "a", n % 2 == 0) for n in range(4)]
    with pytest.raises(DataError, match="no prompt has both a good and a bad answer"):
        laid(*rows, name="dpo")
