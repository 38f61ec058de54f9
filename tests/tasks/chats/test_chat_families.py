"""The tests' own chat models write chats as the families do that they stand for."""

from __future__ import annotations

import pytest
from tests.chat_families import FAMILIES, Family, chat_tokenizer

TURNS = [
    {"role": "user", "content": "is it good ?"},
    {"role": "assistant", "content": "yes"},
]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_familys_control_tokens_are_one_token_each_and_every_text_comes_back(
    family: Family,
) -> None:
    tokenizer = chat_tokenizer(family, ["is it good ?", "yes"])
    for token in (*family.special, family.end, family.eos):
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1
    asked = tokenizer.apply_chat_template(TURNS[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(TURNS, tokenize=False)
    for text in (asked, whole):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert family.end in whole.partition("yes")[2]
    assert ("<think>" in asked + whole) is family.thinks
