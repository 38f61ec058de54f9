"""What a model's chat template does with tools and calls, found out by writing some with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.errors import ModelError
from tunesmith.messages import say
from tunesmith.tasks.chats.call_forms import CallForm, call_form
from tunesmith.tasks.chats.messages import Message
from tunesmith.tasks.chats.tools import Call, Tool, arguments_text

Render = Callable[[Sequence[Message], bool], str]
"""A conversation as the template writes it; whether the answer's turn is opened. Raises ModelError
where it refuses."""

Answer = Callable[[Sequence[Message]], str]
"""The last turn of a conversation as it is learned. Raises ModelError where it refuses, or the
answer can't be separated from the rest."""

_QUESTION: Message = {"role": "user", "content": "zq7question"}
_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": "zq1tool",
        "description": "zq2description",
        "parameters": {"type": "object", "properties": {"zq3key": {"type": "string"}}},
    },
}
_CALL: Call = {
    "id": "zq4callid",  # Mistral's take nine letters and digits alone
    "type": "function",
    "function": {"name": "zq1tool", "arguments": {"zq3key": "zq5value"}},
}
_ANSWER: Message = {"role": "assistant", "content": "zq8text"}
_RESULT: Message = {
    "role": "tool", "content": "zq6result", "tool_call_id": "zq4callid", "name": "zq1tool"
}  # fmt: skip
_WORD = re.compile(r"zq\d[a-z]+")
_ODD = re.compile(r"\bNone\b|'zq3key'")
"""What Python's values look like that a template didn't mean to write."""


@dataclass(frozen=True)
class ToolUse:
    """What a chat template writes of a conversation with tools."""

    tools: bool = False
    """The tools that may be called."""
    calls: bool = False
    """The calls of an answer."""
    results: bool = False
    """What the tools gave."""
    beside: bool = False
    """Text that stands beside calls."""
    silence: str | None = None
    """The content by which an answer without text is written without any: None or ""."""
    as_text: bool = False
    """Whether it takes arguments as JSON text alone."""
    marks: str = ""
    """An answer that is a call, and what follows the question: with the tokens that they have."""
    form: CallForm | None = None
    """In which form it writes calls, where that is a known one."""

    def lacks(self, turns: Sequence[Message]) -> str | None:
        """What of a conversation the template doesn't write, without which it makes no sense."""
        if any(turn.get("tool_calls") for turn in turns) and not self.calls:
            return say("tool calls")
        if any(turn["role"] == "tool" for turn in turns) and not self.results:
            return say("what tools answer")
        return None


def with_arguments_as_text(call: Call) -> Call:
    """A call whose arguments are JSON text."""
    return {**call, "function": {**call["function"], "arguments": arguments_text(call)}}


def with_ids(turns: Sequence[Message], *, anew: bool = False) -> list[Message]:
    """`turns` in which each call has an id, and each answer of a tool that of its call, and a name.

    Ids that are missing, or with `anew` all, are numbers of nine characters, which Mistral's
    template wants.
    """
    named: dict[str, tuple[str, str]] = {}
    waiting: list[tuple[str, str]] = []
    count = 0
    found: list[Message] = []
    for turn in turns:
        calls = []
        for call in turn.get("tool_calls") or ():
            count += 1
            own = call.get("id")
            given = f"call{count:05}" if anew or not own else own
            calls.append({**call, "id": given})
            waiting.append((given, call["function"]["name"]))
            named[own or given] = waiting[-1]
        if calls:
            turn = {**turn, "tool_calls": calls}
        elif turn["role"] == "tool":
            own = turn.get("tool_call_id", "")
            answered = named.get(own) or (waiting[0] if waiting else (own or "call00000", ""))
            if answered in waiting:
                waiting.remove(answered)
            name = turn.get("name") or answered[1]
            turn = {**turn, "tool_call_id": answered[0], **({"name": name} if name else {})}
        found.append(turn)
    return found


def uses_tools(turns: Sequence[Message]) -> bool:
    """Whether a conversation has tools, calls or what tools answer."""
    return any(turn["role"] == "tool" or turn.keys() & {"tools", "tool_calls"} for turn in turns)


def tool_use(render: Render, answer: Answer) -> ToolUse:
    """What the template of `render` and `answer` does."""

    def written(write: Callable[[], str]) -> str:
        try:
            return write()
        except ModelError:
            return ""

    def called(content: str | None, as_text: bool) -> Message:
        calls = [with_arguments_as_text(_CALL) if as_text else _CALL]
        return {"role": "assistant", "content": content, "tool_calls": calls}

    offered = {**_QUESTION, "tools": [_TOOL]}
    tools = "zq1tool" in written(lambda: render([offered], True))
    for silence, as_text in ((None, False), ("", False), (None, True), ("", True)):
        turn = called(silence, as_text)
        said = written(lambda turn=turn: answer([_QUESTION, turn]))  # type: ignore[misc]
        if {"zq1tool", "zq3key", "zq5value"} <= set(_WORD.findall(said)) and not _ODD.search(said):
            break
    else:
        shown = written(lambda: render([_QUESTION, _ANSWER, _RESULT], True))
        return ToolUse(tools, results="zq6result" in shown)
    shown = written(lambda: render([_QUESTION, turn, _RESULT], True))
    return ToolUse(
        tools=tools,
        calls=True,
        results="zq6result" in shown,
        beside="zq8text" in written(lambda: answer([_QUESTION, called("zq8text", as_text)])),
        silence=silence,
        as_text=as_text,
        marks=said + shown.rpartition("zq7question")[2],
        form=call_form(said, _CALL),
    )
