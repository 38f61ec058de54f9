"""Conversations under every name that people have them under are read as the same turns."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from tests.data.layouts.laid import laid, task, turns, usage

from tunesmith.data.layouts.laying import laid_question, lay_out

SAID = [("user", "Hi"), ("assistant", "Hello")]
HI, HELLO = ({"role": role, "content": said} for role, said in SAID)
GPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


def openai(*pairs: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": said} for role, said in pairs], **more}


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": GPT},
        {"conversation": [{"role": "user", "text": "Hi"}, {"role": "bot", "text": "Hello"}]},
        {"dialog": [{"speaker": "Human", "text": "Hi"}, {"speaker": "ChatGPT", "text": "Hello"}]},
        {"chat": [{"role": "USER", "value": "Hi"}, {"role": "bing", "value": "Hello"}]},
        {"conversation": [{"human": "Hi", "assistant": "Hello"}]},
        {"conversation": [{"input": "Hi", "output": "Hello"}]},
        {"對話": [{"role": "使用者", "content": "Hi"}, {"role": "助理", "content": "Hello"}]},
        {"Messages": [{"role": "user", "content": "Hi"}, {"role": "model", "content": "Hello"}]},
        {"data": [{"from": "human", "value": "Hi"}, {"from": "chatgpt", "value": "Hello"}]},
        {"messages": repr([HI, HELLO])},
        {"messages": f"[{HI!r}\n {HELLO!r}]"},
        {"messages": json.dumps([HI, HELLO])},
        openai(("system", ""), *SAID),
        openai(*((role, [{"type": "text", "text": said}]) for role, said in SAID)),
        {"data": ["Hi", "Hello"]},
        {"conversations": ["Hi", "Hello"]},
        {"prompt": [HI], "completion": [HELLO]},
        {"prompt": [HI], "completion": "Hello"},
    ],
)  # fmt: skip
def test_one_conversation_under_many_names(row: dict[str, Any]) -> None:
    assert turns(row) == [SAID]
    assert usage(row).unused == ()


@pytest.mark.parametrize(
    "row",
    [
        openai(("developer", "Be brief."), *SAID),
        openai(*SAID, system="Be brief."),
        openai(("system", "Be brief."), *SAID, system="Be brief."),
        openai(*SAID, system=[{"type": "text", "text": "Be brief."}]),
        {"conversations": GPT, "system": "Be brief."},
        {"conversation": [{"system": "Be brief.", "input": "Hi", "output": "Hello"}]},
    ],
)  # fmt: skip
def test_system_turns_come_first(row: dict[str, Any]) -> None:
    assert turns(row) == [[("system", "Be brief."), *SAID]]


def test_a_system_column_comes_before_another_system_turn() -> None:
    (found,) = turns(openai(("system", "Be brief."), *SAID, system="You sell tea."))
    assert found == [("system", "You sell tea.\nBe brief."), *SAID]


def test_parts_that_are_no_text_are_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    text = {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}}
    row = {
        "messages": json.dumps(openai(("user", [image, text]), ("assistant", "A cat"))["messages"])
    }
    assert turns(row) == [[("user", "What is it?"), ("assistant", "A cat")]]
    assert [each.said for each in usage(row).unused] == [
        "messages[].content[] image_url (1)",
        "messages[].content[].cache_control (1)",
    ]


def test_keys_of_turns_that_nothing_uses_are_counted() -> None:
    row = {"messages": [
        {"role": "user", "content": "Hi", "name": "Ann", "id": 7},
        {"role": "assistant", "content": "Hello", "name": None, "id": 8},
    ]}  # fmt: skip
    assert [each.said for each in usage(row, row).unused] == [
        "messages[].id (4)", "messages[].name (2)",
    ]  # fmt: skip


def test_thoughts_beside_an_answer_are_thought_before_it() -> None:
    row = {"messages": [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2", "reasoning_content": "One and one."},
    ]}  # fmt: skip
    thought = "<think>\nOne and one.\n</think>\n\n2"
    assert turns(row, thinking="keep")[0][-1] == ("assistant", thought)


def test_anthropics_calls_are_turns() -> None:
    row = {"messages": json.dumps([
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"town": "Taipei"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1",
             "content": [{"type": "text", "text": "20"}]},
        ]},
        {"role": "assistant", "content": "It has 20 degrees."},
    ])}  # fmt: skip
    found = laid(row).tables["train"]["messages"].to_pylist()[0]
    assert [turn["role"] for turn in found] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(found[1]["tool_calls"]) == [
        {"id": "c1", "name": "weather", "input": {"town": "Taipei"}}
    ]
    assert (found[2]["content"], found[2]["tool_call_id"]) == ("20", "c1")


@pytest.mark.parametrize(
    "mark", [{"weight": 0}, {"train": False}, {"training": False}, {"loss": 0.0}, {"masked": True}]
)
def test_answers_that_are_marked_are_not_learned(mark: dict[str, Any]) -> None:
    bad = {"role": "assistant", "content": "Wrong", **mark}
    good = {"role": "assistant", "content": "Right"}
    asked = {"role": "user", "content": "Again"}
    found = laid({"messages": [asked, bad, asked, good]}, {"messages": [asked, bad]})
    (kept,) = found.tables["train"]["messages"].to_pylist()
    assert [turn["weight"] for turn in kept] == [None, 0, None, None]
    (left_out,) = found.excluded["train"]
    assert left_out.row == 2
    assert "not to be learned" in left_out.reason


def test_rows_that_are_marked_are_left_out() -> None:
    found = laid(openai(*SAID, weight=0), openai(*SAID, weight=1))
    assert found.tables["train"]["_row"].to_pylist() == [2]
    assert [each.row for each in found.excluded["train"]] == [1]


def test_a_weight_that_is_no_yes_or_no_is_named() -> None:
    assert [each.name for each in usage(openai(*SAID, weight=0.5)).unused] == ["weight"]


def test_what_cannot_be_read_stays_for_the_rules() -> None:
    found = laid(
        {"messages": json.dumps([HI, HELLO])},
        {"messages": "no chat"},
        {"messages": "[{'role': open('x')}]"},
    )
    values = found.tables["train"]["messages"].to_pylist()
    assert values[1:] == ["no chat", "[{'role': open('x')}]"]


def test_plain_conversations_are_not_copied() -> None:
    given = pa.Table.from_pylist([openai(*SAID, _row=1)])
    assert lay_out({"train": given}, task(), None).tables["train"] is given


def test_a_named_column_is_the_one_that_is_read() -> None:
    row = {
        **openai(*SAID),
        "later": [{"from": "human", "value": "Bye"}, {"from": "gpt", "value": "!"}],
    }
    assert turns(row, messages_column="later") == [[("user", "Bye"), ("assistant", "!")]]


def test_a_row_is_asked_without_its_answer() -> None:
    row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
    assert laid_question(row, task(), "sharegpt") == {
        "messages": [{"role": "user", "content": "Hi"}]
    }


def test_text_in_pythons_writing_is_read_within_bounds() -> None:
    for hostile in (
        "[" * 100_000,
        "[{'a': " * 5_000,
        "[{'role': 'user', 'content': '" + "x" * 300_000,
    ):
        assert laid(openai(*SAID), {"messages": None}).layout is not None
        found = laid({"messages": hostile}, layout="openai")
        assert found.tables["train"]["messages"].to_pylist() == [hostile]
