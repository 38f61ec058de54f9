"""Tools that a conversation may call, and the calls in it, as data of any make hold them.

What is read here has OpenAI's form, with arguments as objects, which models' chat templates take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from tunesmith.errors import DataError, shorten

Tool = dict[str, Any]
"""What may be called: `{"type": "function", "function": {"name", "description", "parameters"}}`."""

Call = dict[str, Any]
"""`{"type": "function", "function": {"name", "arguments": {…}}}`, and `id` where it has one."""

DEEPEST = 64
"""Levels of objects and lists within each other that a tool or call may have."""

_PARAMETERS = ("parameters", "input_schema", "inputSchema")
"""What the schema of a tool's arguments is called: by OpenAI, by Anthropic, by MCP."""
_ARGUMENTS = ("arguments", "parameters", "input", "args")
"""What a call's arguments are called."""


def parse_tools(value: Any) -> list[Tool]:
    """The tools in `value`: a list of JSON schemas or of their JSON text, one of them, or nothing.

    OpenAI's form is understood with and without its `function`, and so is Anthropic's. Raises
    DataError saying what can't be read.
    """
    return [_tool(tool) for tool in _listed(value)]


def looks_like_tools(value: Any) -> bool:
    """Whether `value` holds at least one tool."""
    try:
        return bool(parse_tools(value))
    except DataError:
        return False


def parse_calls(value: Any) -> list[Call]:
    """The calls in `value`: a list of them or of their JSON text, one of them, or nothing.

    OpenAI's form is understood with and without its `function`, and arguments as an object or as
    its JSON text. Raises DataError saying what can't be read.
    """
    return [_call(call) for call in _listed(value)]


def arguments_text(call: Call) -> str:
    """A call's arguments as OpenAI's API has them: JSON text."""
    return as_json(call["function"]["arguments"])


def as_json(value: Any) -> str:
    """`value` as JSON text, its keys in their order."""
    return json.dumps(value, ensure_ascii=False)


def spoken(turn: Mapping[str, Any]) -> str:
    """What a turn says, for people: its text, then each call on a line of its own."""
    calls = turn.get("tool_calls") or ()
    lines = [f"{call['function']['name']}({arguments_text(call)})" for call in calls]
    return "\n".join(filter(None, [turn["content"].strip(), *lines]))


def without_nulls(value: Any, depth: int = 0) -> Any:
    """`value` without the nulls that objects of a column have for the keys of other rows."""
    if depth > DEEPEST:
        raise DataError("is nested more than {deepest} levels deep", deepest=DEEPEST)
    if isinstance(value, Mapping):
        return {
            str(name): without_nulls(part, depth + 1)
            for name, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        return [without_nulls(part, depth + 1) for part in value]
    return value


def _listed(value: Any) -> Sequence[Any]:
    """What `value` lists, each parsed where it is JSON text."""
    value = _parsed(value) if isinstance(value, str) and value.strip() else without_nulls(value)
    if value is None or value == "":
        return ()
    if isinstance(value, Mapping):
        return (value,)
    if not isinstance(value, list):
        raise DataError(
            "must be a list of objects, or JSON text of it; got {value}", value=shorten(value)
        )
    return [_parsed(one) if isinstance(one, str) else one for one in value]


def _parsed(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise DataError(
            "{value} is not valid JSON: {error}", value=shorten(text), error=error
        ) from error


def _function(value: Any) -> Mapping[str, Any]:
    """The function that an object is about, which is the object itself or in its `function`."""
    within = value.get("function") if isinstance(value, Mapping) else None
    function = within if isinstance(within, Mapping) else value
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError("{value} is no object with a name", value=shorten(value))
    return function


def _tool(value: Any) -> Tool:
    function = _function(value)
    left_out = ("type", *_PARAMETERS)
    said = {name: part for name, part in function.items() if name not in left_out}
    schema = next((function[name] for name in _PARAMETERS if name in function), None)
    if schema is not None:
        said["parameters"] = _parsed(schema) if isinstance(schema, str) else schema
    kind = "function" if function is value else value.get("type") or "function"
    return {"type": kind, "function": said}


def _call(value: Any) -> Call:
    function = _function(value)
    given: Any = next((function[name] for name in _ARGUMENTS if function.get(name) is not None), {})
    arguments = given
    for _ in range(2):  # some have JSON text of JSON text
        if isinstance(arguments, str):
            arguments = _parsed(arguments) if arguments.strip() else {}
    if not isinstance(arguments, Mapping):
        raise DataError(
            "the arguments of {name} are no JSON object: {value}",
            name=function["name"],
            value=shorten(given),
        )
    call: Call = {
        "type": "function",
        "function": {"name": function["name"], "arguments": dict(arguments)},
    }
    return {"id": value["id"], **call} if isinstance(value.get("id"), str) else call
