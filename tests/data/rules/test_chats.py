"""Rules about conversations, and chats in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.data.rules.checked import broken, chat, numbered

from tunesmith.data.sources import read_source


def turns(*said: tuple[str, Any]) -> list[Mapping[str, Any]]:
    return [{"role": role, "content": content} for role, content in said]


def test_chats_are_judged_by_what_the_user_says_and_cleaned_on_request_but_for_the_answers() -> (
    None
):
    first = turns(
        ("system", "be <b>kind</b>"), ("user", "good <b>film</b>?"), ("assistant", "<br>")
    )
    table = numbered(messages=[first, turns(("user", "hm"), ("assistant", "a long answer"))])
    checked = chat(table, min_text_length=5, html="fix")
    assert checked.tables["train"]["messages"].to_pylist() == [
        turns(("system", "be kind"), ("user", "good film?"), ("assistant", "<br>"))
    ]
    assert broken(checked.report) == [(101, "html", "fix"), (102, "short_texts", "drop")]
    assert checked.tables["train"].schema == table.schema


@pytest.mark.parametrize(
    ("row", "rule", "action"),
    [
        (turns(("user", "hi"), ("boss", "yes")), "wrong_roles", "drop"),
        (turns(("user", "hi")), "missing_answers", "drop"),
        (turns(("user", "hi"), ("assistant", " ")), "missing_answers", "drop"),
        (turns(("user", " "), ("assistant", "yes")), "empty_turns", "drop"),
        (turns(("user", "hi"), ("assistant", None)), "non_text_turns", "drop"),
        ([], "missing_answers", "drop"),
        (turns(("assistant", "hi"), ("user", "a"), ("assistant", "b")), "wrong_order", "warn"),
        (turns(("user", "hi"), ("user", "you"), ("assistant", "b")), "wrong_order", "warn"),
        (turns(("user", "a"), ("system", "s"), ("assistant", "b")), "wrong_order", "warn"),
    ],
)
def test_each_fault_of_a_chat_has_its_rule(row: Any, rule: str, action: str) -> None:
    good = turns(("user", "what is it about?"), ("assistant", "about a farm"))
    checked = chat(numbered(messages=[good, row]))
    assert broken(checked.report) == [(102, rule, action)]


def test_chats_written_in_other_forms_become_lists_of_role_and_content() -> None:
    rows = [
        '[{"from": "human", "value": "hi <b>you</b>"}, {"from": "gpt", "value": "yes"}]',
        "no JSON",
    ]
    checked = chat(numbered(messages=rows))
    assert checked.tables["train"]["messages"].to_pylist() == [
        turns(("user", "hi <b>you</b>"), ("assistant", "yes"))
    ]
    assert broken(checked.report) == [(101, "html", "warn"), (102, "non_text_turns", "drop")]


def test_a_turn_that_is_no_text_is_a_row_of_the_report(tmp_path: Path) -> None:
    good = {"messages": turns(("user", "what is it?"), ("assistant", "a farm"))}
    bad: list[Any] = [
        {"messages": turns(("user", "why?"), ("assistant", 42))}, {"messages": "hello"},
        {"messages": turns(("user", ["a"]), ("assistant", "yes"))},
    ]  # fmt: skip
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, *bad)))
    checked = chat(read_source(str(path)).tables["train"])
    assert checked.tables["train"]["messages"].to_pylist() == [good["messages"]]
    assert broken(checked.report) == [(row, "non_text_turns", "drop") for row in (2, 3, 4)]
