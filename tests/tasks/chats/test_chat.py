"""Conversations: reading them, and logits where they are needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tests.tasks.chats.chat_formats import byte_tokenizer, tiny_llama

from tunesmith.errors import DataError
from tunesmith.tasks.chats.messages import Message, head_only_at, parse_messages

TALK: list[Message] = [
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Good day."},
    {"role": "user", "content": "為什麼?"},
    {"role": "assistant", "content": "因為 so."},
]


@pytest.mark.parametrize(
    "value",
    [
        TALK,
        json.dumps(TALK),
        [
            {"from": "human" if turn["role"] == "user" else "gpt", "value": turn["content"]}
            for turn in TALK
        ],
        [{**turn, "name": None} for turn in TALK],
    ],
    ids=["messages", "JSON", "ShareGPT", "with other keys"],
)
def test_conversations_are_read_in_every_usual_form(value: Any) -> None:
    assert parse_messages(value, "row 1") == TALK


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no JSON", "row 7: must be a list of {role, content}; got no JSON"),
        ([], "row 7: must be a list of {role, content}, and holds none"),
        (None, "row 7: must be a list"),
        (3, "row 7: must be a list"),
        (["hello"], "row 7: must be a list of .* got .'hello'"),
        ([{"role": "boss", "content": "x"}], "row 7: 'boss' is no role; use system, user"),
        ([{"role": "user"}], "row 7: turn 1 needs a text as content"),
        ([{"role": "assistant", "content": 5}], "row 7: turn 1 needs a text as content"),
        (TALK[:3], "row 7: ends with user; there is no answer to learn"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_messages(value, "row 7")


def test_logits_are_made_only_at_the_positions_asked_for() -> None:
    model = tiny_llama(byte_tokenizer()).double()
    ids = torch.arange(24).reshape(2, 12)
    positions = torch.zeros(2, 12, dtype=torch.bool)
    positions[0, 3] = positions[1, 0] = positions[1, 11] = True
    with torch.no_grad():
        everywhere = model(input_ids=ids).logits
        with head_only_at(model, positions):
            there = model(input_ids=ids).logits
        afterwards = model(input_ids=ids).logits
    assert there.shape == (3, everywhere.shape[-1])
    torch.testing.assert_close(there, everywhere[positions], rtol=0, atol=1e-12)
    assert torch.equal(afterwards, everywhere)


def test_the_head_is_itself_again_after_an_error() -> None:
    model = tiny_llama(byte_tokenizer())
    positions = torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(KeyError), head_only_at(model, positions):
        raise KeyError("stop")
    assert model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.ndim == 3
