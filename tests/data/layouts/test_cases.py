"""Files as people brought them: what of them is learned, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.layouts.laid import task

from tunesmith.config.schema import DataConfig
from tunesmith.data.dataset import Examination, examine
from tunesmith.data.sources import read_source

CASES = Path("tests/data/cases")


def learned(name: str) -> tuple[Examination, list[list[tuple[str, str]]]]:
    """The examination of a case's file, and the conversations that are left."""
    one = task()
    path = str(CASES / name)
    found = examine(DataConfig(dataset_name=path), one, read_source(path), compare=False)
    rows = found.checked.tables["train"].to_pylist()
    return found, [[(turn["role"], turn["content"]) for turn in one.messages(r)] for r in rows]


@pytest.mark.parametrize(
    ("name", "first", "unused"),
    [
        (
            "wrong-alpaca-input-dropped/alpaca.json",
            [("user", "Translate the sentence into French.\nThe house number is 0."),
             ("assistant", "Le numéro de la maison est 0.")],
            [],
        ),
        (
            "wrong-system-history-tools-dropped/alpaca_sys_hist.jsonl",
            [("system", "Answer like a pirate."), ("user", "Hello there"), ("assistant", "Ahoy"),
             ("user", "And what about day 0?"), ("assistant", "Day 0 is fine.")],
            [],
        ),
        (
            "wrong-system-history-tools-dropped/anthropic_sys.jsonl",
            [("system", "Be a pirate."), ("user", "Hi 0"), ("assistant", "Arr 0")],
            [],
        ),
        (
            "wrong-system-history-tools-dropped/sharegpt_sys_tools.jsonl",
            [("system", "You are a weather desk."), ("user", "Weather in town 0?"),
             ("assistant", "Sunny in town 0.")],
            [],
        ),
        (
            "wrong-system-history-tools-dropped/swift_query_response.jsonl",
            [("system", "Be a pirate"), ("user", "a"), ("assistant", "b"), ("user", "Hi 0"),
             ("assistant", "Arr 0")],
            [],
        ),
        (
            "unclear-no-row-is-left/openai_developer.jsonl",
            [("system", "Be brief."), ("user", "Say 0"), ("assistant", "0")],
            [],
        ),
        (
            "unclear-no-row-is-left/sft_empty_system.jsonl",
            [("user", "Hi 0"), ("assistant", "Hello 0")],
            [],
        ),
        (
            "unclear-no-row-is-left/messages_pyrepr_cell.csv",
            [("user", "Say 0, please"), ("assistant", "Number 0")],
            ["id"],
        ),
    ],
)  # fmt: skip
def test_what_stands_in_a_row_is_learned(
    name: str, first: list[tuple[str, str]], unused: list[str]
) -> None:
    found, turns = learned(name)
    assert turns[0] == first
    report = found.checked.report
    assert report.rows_out == report.rows_in
    assert [each.name for each in report.usage.unused] == unused


@pytest.mark.parametrize("name", ["openai_weight0.jsonl", "axolotl_train_flag.jsonl"])
def test_a_marked_answer_is_not_learned(name: str) -> None:
    found, _ = learned(f"wrong-weight-0-trained/{name}")
    rows = found.checked.tables["train"]["messages"].to_pylist()
    assert [turn["weight"] for turn in rows[0]] == [None, "0", None, None]
