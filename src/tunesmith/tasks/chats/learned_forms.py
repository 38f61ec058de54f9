"""The form in which a template writes calls, learned from one call that it wrote.

So calls are read of models whose form nobody wrote down here: DeepSeek's, Granite's, Phi-4's,
Command R's, Functionary's, GLM's, Qwen3-Coder's, and those that write calls as Python does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from json import JSONDecoder
from typing import Any

from tunesmith.errors import DataError
from tunesmith.tasks.chats.tools import Call, parse_calls

Read = Callable[[str], tuple[str, list[Call]]]

LONGEST = 20_000
"""Characters of calls in Python's form that are parsed."""

_NAME = r"(?P<name>[\w.-]{1,256}?)"
_MARK = re.compile(r"\s*(<[^<>\s]+>|\[[A-Z_]+\]|\S+)")
"""What calls begin with: a control token, else all up to the next space."""
_TAG = re.compile(r"\s*<[^<>]+>|\s*\S")


def learned_forms(answer: str, call: Call) -> Iterator[tuple[str, str, Read]]:
    """Name, mark and reader of the forms in which `answer` may have `call`."""
    function = call["function"]
    name, arguments = function["name"], function["arguments"]
    [(key, value)] = arguments.items()
    place = answer.find(name)
    whole = next((at for at, found in _values(answer) if _has(found, function)), None)
    if whole is not None:
        yield from _with_mark("json", answer[:whole], _read_json)
    before, after = answer[:place], answer[place + len(name) :]
    given = next((at for at, found in _values(after) if found == arguments), None)
    if given is not None:
        # What ends in a word, as `functions.`, would be read as a part of the name.
        lead = r"[\w.-]*$" if after[:given].strip() else r"\S*\s*$"
        found_lead = re.search(lead, before)
        opens = _loose(found_lead[0]) if found_lead else ""
        pattern = re.compile(opens + _NAME + _loose(after[:given]) + r"(?=\{)")
        yield from _with_mark("named", before, _named_reader(pattern))
    if after.startswith("("):
        yield from _with_mark("python", before, _read_python)
    between, found, rest = after.partition(key)
    middle, stands, end = rest.partition(value)
    if found and stands and (close := _TAG.match(end)):
        named = re.compile(_loose(_last(before)) + r"(?P<name>[\w.-]{1,256})")
        pair = _loose(_last(between)) + r"(?P<key>[\w.-]{1,256})" + _loose(middle)
        reader = _tagged_reader(
            named, re.compile(pair), close[0].strip(), value_line="\n" in middle
        )
        yield from _with_mark("tagged", before, reader)


def _with_mark(name: str, before: str, read: Read) -> Iterator[tuple[str, str, Read]]:
    """The form, where something tells calls from other text."""
    if mark := _MARK.match(before):
        yield name, mark[1], read


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """The JSON objects and lists in `text`, each with its place; not those within others."""
    decoder, place = JSONDecoder(), 0
    while found := re.compile(r"[\[{]").search(text, place):
        try:
            value, place = decoder.raw_decode(text, found.start())
            yield found.start(), value
        except (ValueError, RecursionError):
            place = found.end()


def _has(value: Any, function: Any) -> bool:
    try:
        return [one["function"] for one in parse_calls(_renamed(value))] == [function]
    except DataError:
        return False


def _renamed(value: Any) -> Any:
    """Calls with Command R's `tool_name` under the usual name."""
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if isinstance(value, dict) and "tool_name" in value:
        return {"name": value["tool_name"], "parameters": value.get("parameters")}
    return value


def _read_json(text: str) -> tuple[str, list[Call]]:
    """Objects or lists of them, with whatever marks between them."""
    return "", [call for _, value in _values(text) for call in parse_calls(_renamed(value))]


def _named_reader(pattern: re.Pattern[str]) -> Read:
    """A name, a mark, and the arguments as JSON."""

    def read(text: str) -> tuple[str, list[Call]]:
        calls, place = [], 0
        while found := pattern.search(text, place):
            arguments, place = JSONDecoder().raw_decode(text, found.end())
            calls += parse_calls({"name": found["name"], "arguments": arguments})
        return "", calls

    return read


def _read_python(text: str) -> tuple[str, list[Call]]:
    """`name(key="value")`, alone, in lines or in a list: parsed, never executed."""
    begin = re.search(r"[\w.]+\(", text)
    end = text.rfind(")") + 1
    if begin is None or len(text) > LONGEST:
        raise ValueError(text)
    try:
        parts = ast.parse(text[begin.start() : end]).body
        nodes = [part.value for part in parts if isinstance(part, ast.Expr)]
        every = [one for node in nodes for one in getattr(node, "elts", (node,))]
        return "", parse_calls([_python_call(one) for one in every])
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(text) from error


def _python_call(node: ast.expr) -> dict[str, Any]:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError(ast.dump(node))
    arguments = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    return {"name": ast.unparse(node.func), "arguments": arguments}


def _tagged_reader(
    named: re.Pattern[str], pair: re.Pattern[str], close: str, *, value_line: bool
) -> Read:
    """A name, then each argument between tags of its own; values are texts."""

    def read(text: str) -> tuple[str, list[Call]]:
        names = list(named.finditer(text))
        ends = [*(found.start() for found in names[1:]), len(text)]
        calls = []
        for found, end in zip(names, ends, strict=True):
            arguments, place = {}, found.end()
            while argument := pair.search(text, place, end):
                place = text.index(close, argument.end())
                value = text[argument.end() : place]
                arguments[argument["key"]] = value.strip("\n") if value_line else value
            calls += parse_calls({"name": found["name"], "arguments": arguments})
        return "", calls

    return read


def _last(text: str) -> str:
    """The last tag of `text`, which may be open."""
    return text[max(text.rfind("<"), 0) :]


def _loose(text: str) -> str:
    """A pattern of `text` with any white space where it has some, and any number for a number."""
    words = (re.sub(r"\d+", r"\\d+", re.escape(word)) for word in text.split())
    inner = r"\s*".join(words)
    return (r"\s*" if text[:1].isspace() else "") + inner + (r"\s*" if text[-1:].isspace() else "")
