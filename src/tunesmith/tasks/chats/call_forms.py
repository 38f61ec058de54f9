"""The forms in which models write calls of tools, and reading the calls out of what one said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError
from tunesmith.tasks.chats.learned_forms import learned_forms
from tunesmith.tasks.chats.tools import Call, Tool, parse_calls

_NAMED = re.compile(r"\s*(?P<name>[\w.-]{1,256})(\[CALL_ID\][\w-]{1,64})?(\[ARGS\])?\s*(?=\{)")
"""What stands before the arguments of a call in Mistral's newer form."""


@dataclass(frozen=True)
class CallForm:
    """How a model writes calls of tools."""

    name: str
    mark: str
    """What a call begins with; a bracket begins the whole answer."""
    read: Callable[[str], tuple[str, list[Call]]]
    """The text around the calls, and the calls, in what begins with the mark. Raises DataError or
    ValueError where there are none."""
    has_texts: bool = False
    """Whether arguments are written as texts, whatever they are."""

    def begin(self, text: str, *, whole: bool = True) -> int:
        """Where in `text` the calls begin, its length where nowhere.

        With `whole` false more of it is to come, and what may become the mark counts.
        """
        if self.mark in _BRACKETS:
            said = text.lstrip()
            return 0 if said.startswith((self.mark, _PYTHON)) or not (whole or said) else len(text)
        found = text.find(self.mark)
        if found >= 0:
            return found
        ends = range(min(len(self.mark) - 1, len(text)), 0, -1)
        cut = next((n for n in ends if text.endswith(self.mark[:n])), 0)
        return len(text) if whole else len(text) - cut

    def parted(self, text: str, tools: Sequence[Tool] | None = None) -> tuple[str, list[Call]]:
        """What an answer says beside its calls, and the calls; all of it where none can be read.

        With `tools` a call without a mark counts where it names one of them, and texts that should
        be something else by its schema are read as that.
        """
        begin = self.begin(text)
        if begin == len(text):
            return text, []
        try:
            around, calls = self.read(text[begin:])
        except (DataError, ValueError):
            return text, []
        called = {call["function"]["name"] for call in calls}
        known = {tool["function"]["name"]: tool["function"] for tool in tools or ()}
        if not calls or (self.mark in _BRACKETS and tools is not None and called - known.keys()):
            return text, []
        if self.has_texts:
            for call in calls:
                _typed(call["function"]["arguments"], known.get(call["function"]["name"], {}))
        return "\n".join(filter(None, [text[:begin].strip(), around.strip()])), calls


def call_form(answer: str, call: Call) -> CallForm | None:
    """The form in which `answer` has `call`, a known one or one that is learned from it; None where
    there is none."""
    learned = (
        CallForm(name, mark, read, has_texts=name == "tagged")
        for name, mark, read in learned_forms(answer, call)
    )
    for form in (*FORMS, *learned):
        found = form.parted(answer)[1]
        if [one["function"] for one in found] == [call["function"]]:
            return form
    return None


def _typed(arguments: dict[str, Any], function: Mapping[str, Any]) -> None:
    """Read texts of `arguments` as JSON where the schema of `function` wants no text."""
    schema = function.get("parameters") or {}
    for name, value in arguments.items():
        kind = (schema.get("properties") or {}).get(name) or {}
        if isinstance(kind, Mapping) and kind.get("type", "string") != "string":
            with suppress(ValueError):
                arguments[name] = json.loads(value)


def _objects(text: str, between: str = "") -> Iterator[object]:
    """The JSON values that stand one after the other in `text`."""
    decoder = json.JSONDecoder()
    place = 0
    while place < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value
        while place < len(text) and (text[place].isspace() or text[place] in between):
            place += 1


def _tagged(text: str) -> tuple[str, list[Call]]:
    """Hermes' and Qwen's: `<tool_call>{"name", "arguments"}</tool_call>`, one or more of them."""
    around, calls = [], []
    for number, piece in enumerate(text.split("<tool_call>")):
        call, _, after = piece.partition("</tool_call>")
        if number:
            calls += parse_calls(call.strip())
            around.append(after.strip())
    return "\n".join(filter(None, around)), calls


def _listed(text: str) -> tuple[str, list[Call]]:
    """Mistral's: `[TOOL_CALLS][{"name", "arguments"}]`, or `[TOOL_CALLS]name[ARGS]{…}` for each."""
    calls: list[Call] = []
    for piece in text.split("[TOOL_CALLS]")[1:]:
        if named := _NAMED.match(piece):
            (arguments,) = _objects(piece[named.end() :].strip())
            calls += parse_calls([{"name": named["name"], "arguments": arguments}])
        else:
            (listed,) = _objects(piece.strip())
            calls += parse_calls(listed)
    return "", calls


_BRACKETS = ("{", "[")
_PYTHON = "<|python_tag|>"


def _bare(text: str) -> tuple[str, list[Call]]:
    """Llama 3's: `{"name", "parameters"}` is the whole answer, more of them with `;` between."""
    said = text.strip().removeprefix(_PYTHON).strip()
    found = list(_objects(said, between=";"))
    if not all(isinstance(one, dict) and {"parameters", "arguments"} & set(one) for one in found):
        raise ValueError(said)
    return "", parse_calls(found)


FORMS = (
    CallForm("hermes", "<tool_call>", _tagged),
    CallForm("mistral", "[TOOL_CALLS]", _listed),
    CallForm("llama", "{", _bare),
)
"""The most telling first."""
