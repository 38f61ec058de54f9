"""What an adapter is asked, mended as the texts were that it learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from tunesmith.config.rules import RULES
from tunesmith.data.checking.rule import Rule

Question = TypeVar("Question", bound=str | Mapping[str, Any])


def cleaned(question: Question, rules: Sequence[str]) -> Question:
    """`question` (a text, columns by name, or a chat) as the rules called `rules` mend texts.

    What the assistant said before is mended by those rules only that mend answers.
    """
    known = [cast("type[Rule]", RULES[name]) for name in rules if name in RULES]
    return cast("Question", _cleaned(question, known) if known else question)


def _cleaned(value: Any, rules: Sequence[type[Rule]]) -> Any:
    if isinstance(value, str):
        for rule in rules:
            value = rule.clean(value)
        return value
    if isinstance(value, list):
        return [_cleaned(each, rules) for each in value]
    if isinstance(value, Mapping):
        if value.get("role") == "assistant" or value.get("from") == "gpt":
            rules = [rule for rule in rules if rule.mends_answers]
        return {name: _cleaned(each, rules) for name, each in value.items()}
    return value
