"""HTML and code in chats and prompts stay what they are, unless somebody asks for them without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data.rules.checked import broken
from tests.tasks.samples import bound

from tunesmith.config.rules import ValidationRules
from tunesmith.data.checking.tables import Checked, check_tables
from tunesmith.data.questions import cleaned
from tunesmith.data.sources import read_source
from tunesmith.tasks import TASKS

CASES = Path(__file__).parents[1] / "cases" / "wrong-html-cut-out-of-prompts"


def prompts(name: str, **rules: Any) -> tuple[list[str], list[str], Checked]:
    """The prompts as they stand in the file, as they are learned, and what was found."""
    table = read_source(str(CASES / name)).tables["train"]
    kind = TASKS["sft"]
    task = bound(kind(kind.Options()), {"prompt": "prompt", "completion": "completion"})
    checked = check_tables({"train": table}, task, ValidationRules(**rules))
    return table["prompt"].to_pylist(), checked.tables["train"]["prompt"].to_pylist(), checked


@pytest.mark.parametrize("name", ["html_q.jsonl", "html_code_prompt.jsonl"])
def test_nothing_is_cut_out_of_a_prompt(name: str) -> None:
    given, learned, checked = prompts(name)
    assert learned == given
    found = [f for f in checked.report.findings if f.rule == "html"]
    assert found
    assert {(f.action, f.advice) for f in found} == {
        ("warn", "holds HTML, which stays: data.validation_rules.html=fix removes it")
    }


@pytest.mark.parametrize("asked", [{"html": "fix"}, {"remove_html": True}])
def test_it_is_cut_where_somebody_asks_for_it(asked: dict[str, Any]) -> None:
    given, learned, checked = prompts("html_q.jsonl", **asked)
    assert learned[0] != given[0]
    assert "<div" not in learned[0]
    assert {action for _, _, action in broken(checked.report, "html")} == {"fix"}


@pytest.mark.parametrize(
    ("task", "rules", "mended"),
    [
        ("sft", {}, ["broken_encoding", "control_characters"]),
        ("dpo", {"html": "fix"}, ["broken_encoding", "control_characters", "html"]),
        ("text-classification", {}, ["broken_encoding", "control_characters", "html"]),
        ("regression", {"remove_html": False}, ["broken_encoding", "control_characters"]),
        (
            "text-classification",
            {"broken_encoding": "warn", "html": "drop"},
            ["control_characters"],
        ),
        ("token-classification", {}, []),
    ],
)
def test_which_rules_mend_texts_depends_on_the_task(
    task: str, rules: dict[str, Any], mended: list[str]
) -> None:
    kind = TASKS[task]
    assert sorted(ValidationRules(**rules).mended_for(kind(kind.Options()))) == mended


def test_a_question_is_mended_as_the_texts_were_that_were_learned() -> None:
    given = {"messages": [
        {"role": "user", "content": "<b>a</b>\u200b cafÃ©"},
        {"role": "assistant", "content": "<b>b</b>\u200b cafÃ©"},
        {"role": "user", "content": "<i>c</i>"},
    ]}  # fmt: skip
    every = ["broken_encoding", "control_characters", "html"]
    assert cleaned("<b>a</b> &amp; b", every) == "a & b"
    assert cleaned({"text": "<b>a</b>"}, ["control_characters"]) == {"text": "<b>a</b>"}
    assert cleaned("<b>a</b>\u200b", []) == "<b>a</b>\u200b"
    said = [turn["content"] for turn in cleaned(given, every)["messages"]]
    assert said == ["a café", "<b>b</b> café", "c"]
