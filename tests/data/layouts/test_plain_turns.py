"""Turns that are read as columns, and lists in Python's writing, are what they are one by one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.layouts.plain_turns import plain_turns
from tunesmith.data.layouts.turns import TURN, as_list, read_turns
from tunesmith.values import from_python

texts = st.none() | st.text(max_size=8) | st.sampled_from(["", " ", "\x1f", 'It\'s\n"so"'])
roles = st.sampled_from(["human", " GPT ", "system", "系统", "tool", "narrator"])
chats = st.lists(
    st.none() | st.lists(st.fixed_dictionaries({"from": roles, "value": texts}), max_size=3),
    max_size=4,
)


def one_by_one(column: pa.Array) -> list[Any]:
    """The turns as the rows give them, in the type of columns."""
    rows = [read_turns(value, "chat", unheard) for value in column.to_pylist()]
    listed: list[Any] = pa.array(rows, pa.list_(TURN)).to_pylist()
    return listed


def unheard(key: str) -> None:
    raise AssertionError(f"{key} is not used")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(chats, st.integers(0, 2))
def test_plain_turns_are_read_as_columns_as_they_are_one_by_one(rows: list[Any], cut: int) -> None:
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    column = pa.array([[], *rows], kind).slice(cut)
    found = plain_turns(column)
    assert found is not None
    assert found.to_pylist() == one_by_one(column)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(chats)
def test_turns_in_pythons_writing_are_read_so_too(rows: list[Any]) -> None:
    column = pa.array([None if row is None else repr(row) for row in rows], pa.string())
    found = plain_turns(column)
    if any(turn["value"] for row in rows for turn in row or ()):
        assert found is not None
    if found is not None:
        assert found.to_pylist() == one_by_one(column)


@pytest.mark.parametrize(
    "row",
    [
        [{"from": "human", "value": "a", "weight": 0}],
        [{"from": "human", "role": "user"}],
        [{"from": "human", "value": ["a"]}],
        [{"human": "a", "assistant": "b"}],
        [{"value": "a"}, {"from": "human", "value": "a"}],
        [None, {"from": "human", "value": "a"}],
        ["a"],
        "no list",
        "",
    ],
)
def test_rows_with_anything_else_are_looked_at_one_by_one(row: Any) -> None:
    text = row if isinstance(row, str) else repr(row)
    assert plain_turns(pa.array([text])) is None


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2)
        | st.tuples(inner)
    ),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(literals, max_size=3))
def test_lists_in_pythons_writing_say_what_python_says(value: list[Any]) -> None:
    text = repr(value)
    try:
        expected = from_python(text)
    except (ValueError, TypeError):  # such as nan and bytes, which no column holds
        expected = None
    found = as_list(text)
    if "NaN" not in text:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a' 'b']", ["ab"]),
        ("[u'a', 0x10, 1_000, 1e3, (1,), {2: 3},]", ["a", 16, 1000, 1e3, (1,), {2: 3}]),
        ("['\\x41\\u00e9\\'\\\\\\n']", ["A\u00e9'\\\n"]),
        ("['''a''', \"it's\", 'say \"no\"']", ["a", "it's", 'say "no"']),
        ("['a', null]", None),
        ("['a', NaN]", None),
        ("['a\nb']", None),
        ("['a\rb']", None),
        ("['a\0b']", None),
        ("['" + "\\'" * 50_000, None),
    ],
)
def test_what_python_writes_rarely_is_read_and_what_it_does_not_is_not(
    text: str, value: list[Any] | None
) -> None:
    assert as_list(text) == value
