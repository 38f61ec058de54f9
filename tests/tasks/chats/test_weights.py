"""Answers of the weight 0 are read and never learned, in short and in long conversations."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tasks.chats.chat_formats import CHATML, byte_tokenizer

from tunesmith.errors import DataError
from tunesmith.tasks.chats.format import LONG_CHAT, ChatFormat
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **mark: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **mark}


@pytest.fixture
def task() -> SupervisedFineTuning:
    task = SupervisedFineTuning(SftOptions())
    task.bind({"messages": "messages"})
    return task


def learned(task: SupervisedFineTuning, turns: list[dict[str, Any]]) -> tuple[str, str]:
    """What is read of a conversation, and what of it is learned."""
    tokenizer = byte_tokenizer(CHATML)
    (example,) = task.encode([{"messages": turns}], tokenizer, 10_000)
    labels = [label for label in example["labels"] if label != -100]
    return str(tokenizer.decode(example["input_ids"])), str(tokenizer.decode(labels))


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": "0"}, {"train": False}])
def test_a_marked_answer_is_read_and_not_learned(
    task: SupervisedFineTuning, mark: dict[str, Any]
) -> None:
    turns = [asked("One?"), said("Wrong", **mark), asked("Again"), said("Right", weight=1)]
    read, target = learned(task, turns)
    assert "Wrong" in read
    assert "Wrong" not in target
    assert "Right" in target


def test_it_is_judged_by_the_last_answer_that_is_learned(task: SupervisedFineTuning) -> None:
    turns = [asked("One?"), said("Right"), asked("Again"), said("Wrong", weight=0)]
    assert "Wrong" not in "".join(learned(task, turns))
    assert task.messages({"messages": turns})[-1]["content"] == "Right"


def test_a_conversation_without_an_answer_to_learn_is_said(task: SupervisedFineTuning) -> None:
    row = {"messages": [asked("One?"), said("Wrong", weight=0)]}
    assert [rule for rule, _ in task.faults(row)] == ["missing_answers"]
    with pytest.raises(DataError, match="none is to be learned"):
        task.messages(row)


def test_long_conversations_are_learned_alike() -> None:
    turns = [
        turn
        for n in range(3 * LONG_CHAT)
        for turn in (asked(f"{n}?"), said(f"{n}!", **({"weight": 0} if n % 3 else {})))
    ]
    chat_format = ChatFormat(byte_tokenizer(CHATML))
    (found,) = chat_format.answers([turns])
    assert len(found) == LONG_CHAT
    alone = [chat_format.answers([turns[: 6 * n + 2]])[0][-1] for n in range(LONG_CHAT)]
    assert found == alone
