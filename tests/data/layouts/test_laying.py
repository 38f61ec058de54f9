"""Tables as they were read become tables as their task knows them, and say what of them is used."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tests.data.layouts.laid import table, task

from tunesmith.data.layouts.laying import laid_question, lay_out
from tunesmith.errors import ConfigError
from tunesmith.tasks import TASKS

ALPACA = table(
    {"instruction": "Add.", "input": "1 and 2", "output": "3", "id": 7},
    {"instruction": "Say hello.", "input": "", "output": "Hello.", "id": 8},
)


def test_what_an_instruction_is_about_follows_it() -> None:
    laid = lay_out({"train": ALPACA}, task(), None)
    assert laid.layout is not None
    assert laid.layout.name == "alpaca"
    rows = laid.tables["train"].to_pylist()
    assert rows[0] == {"instruction": "Add.\n1 and 2", "output": "3", "id": 7, "_row": 1}
    assert rows[1]["instruction"] == "Say hello."


def test_the_system_turn_and_earlier_turns_come_first() -> None:
    given = table(
        {"instruction": "And 2?", "input": None, "output": "4", "system": "Be brief.",
         "history": [["1?", "2"]]},
        {"instruction": "And 3?", "input": None, "output": "6", "system": "", "history": []},
    )  # fmt: skip
    first, second = lay_out({"train": given}, task(), None).tables["train"]["messages"].to_pylist()
    assert [(turn["role"], turn["content"]) for turn in first] == [
        ("system", "Be brief."), ("user", "1?"), ("assistant", "2"), ("user", "And 2?"),
        ("assistant", "4"),
    ]  # fmt: skip
    assert [turn["role"] for turn in second] == ["user", "assistant"]


def test_columns_that_nothing_uses_are_named() -> None:
    laid, sft = lay_out({"train": ALPACA}, task(), None), task()
    sft.bind(sft.find_columns(laid.tables["train"].column_names, []))
    usage = laid.usage(sft, ALPACA.column_names, {})
    assert usage.lines() == [
        "Alpaca: instruction, input → question; output → answer",
        "not used: id",
    ]


def test_without_a_layout_the_columns_stay() -> None:
    laid = lay_out({"train": ALPACA}, task(), "none")
    assert laid.layout is None
    assert laid.tables["train"] is ALPACA


def test_a_column_that_an_option_names_is_not_taken_away() -> None:
    for options in ({"prompt_template": "{instruction}: {input}"}, {"prompt_column": "input"}):
        assert lay_out({"train": ALPACA}, task(**options), None).layout is None
    assert lay_out({"train": ALPACA}, task(prompt_column="instruction"), None).layout is not None


def test_an_unknown_layout_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean alpaca"):
        lay_out({"train": ALPACA}, task(), "alpacca")


def test_a_question_is_asked_as_it_was_learned() -> None:
    asked = laid_question({"instruction": "Add.", "input": "1 and 2"}, task(), "alpaca")
    assert asked == {"messages": [{"role": "user", "content": "Add.\n1 and 2"}]}
    assert laid_question("Add.", task(), "alpaca") == "Add."


def test_a_layout_that_the_data_are_not_in_is_refused() -> None:
    for layout in ("alpaca", "openai"):
        with pytest.raises(ConfigError, match="none of this layout's columns, but text, label"):
            lay_out({"train": table({"text": "a", "label": "b"})}, task(), layout)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("token-classification", [{"data": 1, "annotations": [1]}, {"data": {}, "annotations": 3}]),
        ("sft", [{"conversations": [1]}, {"conversations": "[1, null, [2]]"}]),
        ("dpo", [{"prompt": [3], "chosen": [1], "rejected": None}]),
    ],
)
def test_values_of_another_kind_are_their_rows_fault(name: str, rows: list[dict[str, Any]]) -> None:
    kind = TASKS[name]
    for row in rows:
        one = pa.Table.from_pylist([row])
        found = lay_out({"train": one}, kind(kind.Options()), None)
        assert found.tables["train"].num_rows + len(found.excluded.get("train", ())) == 1
