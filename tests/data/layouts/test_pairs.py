"""Questions and answers in columns, under every name, with what belongs before them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.layouts.laid import laid, task, turns, usage

from tunesmith.data.layouts.laying import laid_question


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, "alpaca"),
        ({"Instruction": "Add.", "Input": "1 2", "Output": "3"}, "alpaca"),
        ({"instruction": "Add.", "context": "1 2", "response": "3"}, "alpaca"),
        ({"question": "Add.", "context": "1 2", "answer": "3"}, "pairs"),
        ({"指令": "Add.", "輸入": "1 2", "輸出": "3"}, "alpaca"),
        ({"問題": "Add.", "上下文": "1 2", "回答": "3"}, "pairs"),
        ({"query": "Add.\n1 2", "response": "3"}, "swift"),
        ({"instruction": "", "input": "Add.\n1 2", "output": "3"}, "alpaca"),
        ({"instruction": "Add.\n1 2", "input": "<noinput>", "output": "3"}, "alpaca"),
    ],
)
def test_a_pair_under_many_names(row: dict[str, Any], layout: str) -> None:
    found = laid(row)
    assert found.layout is not None
    assert found.layout.name == layout
    assert turns(row) == [[("user", "Add.\n1 2"), ("assistant", "3")]]
    assert usage(row).unused == ()


@pytest.mark.parametrize(
    "history",
    [
        [["1?", "2"]],
        '[["1?", "2"]]',
        "[('1?', '2')]",
        ["1?", "2"],
        [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "2"}],
        [{"from": "human", "value": "1?"}, {"from": "gpt", "value": "2"}],
        [{"query": "1?", "response": "2"}],
    ],
)
def test_earlier_turns_come_before_the_question(history: Any) -> None:
    row = {"query": "And 2?", "response": "4", "system": "Be brief.", "history": history}
    assert turns(row) == [
        [("system", "Be brief."), ("user", "1?"), ("assistant", "2"), ("user", "And 2?"),
         ("assistant", "4")]
    ]  # fmt: skip


@pytest.mark.parametrize("history", [None, "", "[]"])
def test_no_history_is_none(history: Any) -> None:
    row = {"instruction": "1?", "output": "2", "history": history, "system": None}
    assert turns(row) == [[("user", "1?"), ("assistant", "2")]]


def test_a_history_that_cannot_be_read_stays_for_the_rules() -> None:
    good = {"query": "1?", "response": "2", "history": "[]"}
    found = laid(good, {**good, "history": "we spoke of tea"})
    assert found.tables["train"]["messages"].to_pylist()[1] == "we spoke of tea"


def test_pairs_that_the_task_knows_stay_as_they_are() -> None:
    assert laid({"prompt": "1?", "completion": "2"}).layout is None


def test_a_system_text_beside_a_prompt_is_used() -> None:
    row = {"system_prompt": "Be brief.", "question": "1?", "response": "2", "id": "a"}
    assert turns(row)[0][0] == ("system", "Be brief.")
    assert usage(row).lines() == [
        "Question and answer: system_prompt → system turn; question → question; response → answer",
        "not used: id",
    ]


def test_a_question_is_asked_after_what_belongs_before_it() -> None:
    asked = {"instruction": "Add.", "input": "1 2", "system": "Be brief.", "history": [["a", "b"]]}
    given: Any = laid_question(asked, task(), "alpaca")
    assert [turn["content"] for turn in given["messages"]] == ["Be brief.", "a", "b", "Add.\n1 2"]
