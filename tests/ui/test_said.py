"""Sentences of the service in the visitor's language; texts of others where Markdown is read."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import tunesmith
from tunesmith.jobs.endings import CRASHES, judge_ending
from tunesmith.ui import said
from tunesmith.ui.markdown import as_it_is, code
from tunesmith.ui.sentences import OURS, TEMPLATES

SOURCE = Path(tunesmith.__file__).parent


def test_every_template_is_still_said_somewhere_in_the_code() -> None:
    texts = []
    for path in SOURCE.rglob("*.py"):
        if SOURCE / "ui" not in path.parents:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    source = "\0".join(texts)
    gone = [
        template
        for template in OURS
        for literal, *_rest in Formatter().parse(template)
        for part in re.split(r"[.,;:()'?]", literal)
        if part.strip() not in source
    ]
    assert gone == []


@pytest.mark.parametrize("number", [9, 15, *CRASHES])
def test_every_ending_of_a_process_has_a_template(number: int) -> None:
    for out_of_memory in (False, True):
        reason = judge_ending(-number, 7, "", out_of_memory=out_of_memory).reason
        assert said.is_known(f"{reason} Restart 1 of 3.", "zh_TW"), reason


def test_a_sentence_that_is_unknown_is_not_taken_for_a_known_one() -> None:
    assert not said.is_known("The moon is made of cheese and nobody knows.", "zh_TW")
    assert "unknown field" in TEMPLATES


def test_markup_in_a_text_of_others_is_shown_as_it_is() -> None:
    shown = as_it_is("*a* _b_ $c$ [d](e) <b> :material/home: `f`")
    for escaped in (r"\*a\*", r"\$c\$", r"\<b\>", r"\[d\]"):
        assert escaped in shown
    assert ":material" not in shown.replace(":\N{WORD JOINER}", "")
    assert as_it_is("1. one") == r"1\. one"
    assert code("a `b` c") == "``a `b` c``"
