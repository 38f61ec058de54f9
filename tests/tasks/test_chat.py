"""Conversations: reading them, rendering them in a model's format, logits where they are needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tests.tasks.chat_formats import (
    CHATML,
    END,
    FORGETS,
    LLAMA3,
    MISTRAL,
    NO_END,
    OPENS_OTHERWISE,
    byte_tokenizer,
    tiny_llama,
)

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.chat import Message, head_only_at, parse_messages, render

TALK: list[Message] = [
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Good day."},
    {"role": "user", "content": "為什麼?"},
    {"role": "assistant", "content": "因為 so."},
]


def answers(turns: list[Message], template: str) -> list[str]:
    """What `render` takes for the answers."""
    text, spans = render(turns, byte_tokenizer(template))
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_every_answer_is_found_with_its_end(template: str) -> None:
    end = END[template]
    assert answers(TALK, template) == [f"Good day.{end}", f"因為 so.{end}"]


def test_an_answer_after_a_space_begins_with_it() -> None:
    assert answers(TALK, MISTRAL) == [" Good day.</s>", " 因為 so.</s>"]


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_a_system_turn_is_rendered_and_not_learned(template: str) -> None:
    system: Message = {"role": "system", "content": "Be brief."}
    text, spans = render([system, *TALK[:2]], byte_tokenizer(template))
    assert "Be brief." in text[: spans[0][0]]
    assert [text[a:b] for a, b in spans] == [f"Good day.{END[template]}"]


def test_where_earlier_answers_are_rewritten_only_the_last_is_learned() -> None:
    assert answers(TALK, FORGETS) == ["因為 so.<|im_end|>"]
    assert answers(TALK[:2], FORGETS) == ["Good day.<|im_end|>"]


def test_a_format_without_an_end_ends_with_the_answer() -> None:
    assert answers(TALK[:2], NO_END) == ["Good day."]


def test_an_answer_that_cannot_be_told_from_the_rest_is_refused() -> None:
    with pytest.raises(ModelError, match="rewrites earlier turns"):
        render(TALK[:2], byte_tokenizer(OPENS_OTHERWISE))


def test_a_conversation_that_the_format_refuses_is_said() -> None:
    system: Message = {"role": "system", "content": "Be brief."}
    with pytest.raises(ModelError, match="refuses a conversation: no system turns here"):
        render([system, *TALK[:2]], byte_tokenizer(MISTRAL))


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
