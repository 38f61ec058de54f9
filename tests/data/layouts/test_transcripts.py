"""Conversations that are one text, as Guanaco's and Alpaca's filled template, become turns."""

from __future__ import annotations

import pytest
from tests.data.layouts.laid import laid, task, turns, usage

from tunesmith.data.layouts.laying import laid_question
from tunesmith.tasks.sft import SupervisedFineTuning

ALPACA = (
    "Below is an instruction that describes a task.\n\n### Instruction:\np?\n\n### Input:\nof it"
    "\n\n### Response:\nc"
)
TEXTS = {
    "Guanaco": ("### Human: p?### Assistant: c", [("user", "p?"), ("assistant", "c")]),
    "HH": (
        "\n\nHuman: p?\n\nAssistant: x\n\nHuman: q?\n\nAssistant: c\n\nd",
        [("user", "p?"), ("assistant", "x"), ("user", "q?"), ("assistant", "c\n\nd")],
    ),
    "Alpaca": (
        ALPACA,
        [
            ("system", "Below is an instruction that describes a task."),
            ("user", "p?\nof it"),
            ("assistant", "c"),
        ],
    ),
    "with a system text": (
        "System: S\n\nUser: p?\n\nAssistant: c",
        [("system", "S"), ("user", "p?"), ("assistant", "c")],
    ),
}

GLAIVE = (
    'USER: p?\n\n\nASSISTANT: <functioncall> {"name": "f", "arguments": \'{"x": 1}\'} '
    '<|endoftext|>\n\n\nFUNCTION RESPONSE: {"y": 2}\n\n\nASSISTANT: c <|endoftext|>\n\n\n'
)


def test_calls_of_functions_and_what_they_gave_are_turns_of_their_own() -> None:
    """What a function gave is not learned as if the assistant had said it."""
    row = {"system": "SYSTEM: You may call f.", "chat": GLAIVE}
    one, found = task(), laid(row).tables["train"].to_pylist()
    one.bind(one.find_columns(list(found[0]), found))
    assert isinstance(one, SupervisedFineTuning)
    system, asked, called, gave, answered = one.messages(found[0])
    assert (system["content"], asked["content"]) == ("You may call f.", "p?")
    assert called["tool_calls"][0]["function"] == {"name": "f", "arguments": {"x": 1}}
    assert (gave["role"], gave["content"]) == ("tool", '{"y": 2}')
    assert (answered["role"], answered["content"]) == ("assistant", "c")
    assert "not used" not in "\n".join(usage(row).lines())


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_cut_where_speakers_begin(name: str) -> None:
    text, expected = TEXTS[name]
    assert turns({"text": text, "id": 7}) == [expected]
    lines = usage({"text": text, "id": 7}).lines()
    assert lines == ["Conversations as texts: text → conversation", "not used: id"]
    asked = laid_question({"text": text}, task(), "transcripts")
    found = task().question(asked)["messages"]
    assert [(turn["role"], turn["content"]) for turn in found] == expected[:-1]


@pytest.mark.parametrize(
    "text", ["plain words", "# Title\n\n### Human: no", "Human: without an answer", ""]
)
def test_other_texts_are_no_conversations(text: str) -> None:
    assert laid({"text": text}).layout is None


def test_a_text_that_is_none_among_others_is_reported() -> None:
    found = laid(*[{"text": text} for text, _ in TEXTS.values()], {"text": "plain"})
    one = task()
    train = found.tables["train"]
    one.bind(one.find_columns(train.column_names, train.to_pylist()))
    faults = [[rule for rule, _ in one.faults(row)] for row in train.to_pylist()]
    assert faults == [[], [], [], [], ["non_text_turns"]]


def test_a_prompt_may_be_a_transcript_before_its_answer() -> None:
    row = {"prompt": "\n\nHuman: p?\n\nAssistant: x\n\nHuman: q?\n\nAssistant:", "completion": " c"}
    assert turns(row) == [[("user", "p?"), ("assistant", "x"), ("user", "q?"), ("assistant", "c")]]
