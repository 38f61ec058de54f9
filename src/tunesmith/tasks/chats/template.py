"""A model's chat template as an adapter is trained and used with it: one date, no open thought.

What is changed is written into the template itself, so that whatever reads the adapter's tokenizer
(plain PEFT, a merged model, llama.cpp) asks as it was trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Literal

from tunesmith.errors import ModelError
from tunesmith.tasks.tokens.control_tokens import THOUGHTS

Thinking = Literal["off", "keep"]

_CLOCK = "strftime_now"
"""The function by which a template writes today's date, as transformers offers it."""
_DATE = re.compile(_CLOCK + r"\(\s*(?P<quote>['\"])(?P<form>[^'\"]*)(?P=quote)\s*\)")
_ASKED = re.compile(_CLOCK + r"\s+is\s+(not\s+)?defined|\{#.*?#\}", re.DOTALL)
"""Where a template only asks whether it has the clock, or speaks of it in a comment."""
_NO_THINKING = "{% set enable_thinking = false %}"
"""Qwen3's variable, which others took over."""
_THOUGHT = re.compile(r"\s*<think>.*?(</think>\s*|\Z)", re.DOTALL)


def whole_template(tokenizer: Any) -> str:
    """The chat template of a tokenizer; of several, with that for tools where there are tools."""
    several = tokenizer.chat_template
    plain = str(tokenizer.get_chat_template())
    if not isinstance(several, Mapping) or "tool_use" not in several:
        return plain
    with_tools = several["tool_use"]
    return f"{{% if tools %}}{with_tools}{{% else %}}{plain}{{% endif %}}"


def writes_date(template: str) -> bool:
    """Whether what the template writes depends on the day."""
    return _CLOCK in _ASKED.sub("", template)


def adapted(
    template: str, thinking: Thinking, day: date | None, opened: Callable[[str], str]
) -> str:
    """`template` with the date of `day`, and with `thinking` off without an open thought.

    `opened` renders a question with a template, the answer's turn opened. To change what is
    adapted already changes nothing. Raises ModelError when the date can't be fixed.
    """
    if writes_date(template) and day is not None:
        template = _DATE.sub(lambda call: repr(day.strftime(call["form"])), template)
        if writes_date(template):
            raise ModelError(
                "the model's chat template writes today's date in a way that can't be "
                "fixed to one day, so its prompts would differ from those it was trained "
                "on."
            )
    if thinking == "keep":
        return template
    if "enable_thinking" in template and not template.startswith(_NO_THINKING):
        template = _NO_THINKING + template
    asked = opened(template)
    if open_thought(asked):
        close = ("" if asked.endswith("\n") else "\\n") + f"\\n{THOUGHTS[1]}\\n\\n"
        template = (
            template.removesuffix("\n")
            + "{% if add_generation_prompt %}{{ '"
            + close
            + "' }}{% endif %}"
        )
    return template


def open_thought(prompt: str) -> bool:
    """Whether `prompt`, the answer's turn opened, ends within a thought."""
    return prompt.rfind(THOUGHTS[0]) > prompt.rfind(THOUGHTS[1])


def parted(text: str) -> tuple[str, str]:
    """The thought that `text`, an answer, begins with, its tags included, and the rest.

    A thought that doesn't end is all of the text; tags further on are words.
    """
    found = _THOUGHT.match(text)
    return (text[: found.end()], text[found.end() :]) if found else ("", text)


def without_thought(text: str, *, whole: bool = True) -> str:
    """What `text`, an answer, says after its thought; nothing where that doesn't end.

    With `whole` false more of it is to come, and what may become a thought is held back.
    """
    thought, said = parted(text)
    held_back = not (whole or thought) and THOUGHTS[0].startswith(text.lstrip())
    return "" if held_back else said


def said_after_thought(text: str) -> str:
    """An answer without its thought, and without space around it: what exact match compares."""
    return without_thought(text).strip()
