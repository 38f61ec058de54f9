"""Values as people read them: never as Python writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.values import quoted, readable

CHAT = [
    {"role": "user", "content": "Is it\nfresh?"},
    {"role": "assistant", "content": "It's fresh"},
]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (CHAT, "user: Is it fresh? | assistant: It's fresh"),
        ([{"from": "human", "value": "hi"}], "human: hi"),
        ([{"text": "Ann", "label": "PER", "start": 0, "end": 3}], "Ann (PER)"),
        (["good", "bad"], "good, bad"),
        ([], ""),
        (None, ""),
        (True, "true"),
        (2.0, "2"),
        ("two\nlines", "two lines"),
        ({"a": [1, True]}, '{"a":[1,true]}'),
    ],
)
def test_a_value_is_read_on_one_line(value: Any, read: str) -> None:
    assert readable(value) == read


def test_a_finding_quotes_texts_and_writes_chats_as_their_turns() -> None:
    assert quoted(" two  spaces ") == "' two  spaces '"
    assert quoted(CHAT, 20) == "user: Is it fresh? …"
