"""Turns of conversations under every name that they have elsewhere → {role, content} and parts.

Known are the names of OpenAI, Anthropic, ShareGPT, LLaMA-Factory, ms-swift, Axolotl, torchtune,
XTuner and Firefly. Whatever else stands in a turn is named as not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
from pydantic_core import from_json

from tunesmith.tasks.base import Row
from tunesmith.values import canonical, from_python

ROLE_KEYS = ("role", "from", "speaker", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "utterance")
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer", "系統", "系统"), "system"),
    **dict.fromkeys(
        ("user", "human", "prompter", "instruction", "question", "query", "prompt", "input",
         "使用者", "用戶", "用户", "人類", "人类", "問", "问", "問題", "问题", "提問"),
        "user",
    ),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "chatgpt", "chatbot", "bing", "bard", "claude", "model", "ai",
         "output", "response", "answer", "助理", "助手", "機器人", "机器人", "答", "回答", "回覆"),
        "assistant",
    ),
    **dict.fromkeys(
        ("tool", "observation", "function", "tool_response", "function_response", "ipython"),
        "tool",
    ),
    "function_call": "function_call",
    "tool_call": "tool_call",
}  # fmt: skip
"""Role elsewhere, in small letters → ours; calls of tools are read by the task."""

LEARNED_KEYS = ("weight", "train", "training", "trainable", "loss", "loss_weight")
"""Keys of a turn that say, by 0 or false, that it is not learned (OpenAI, Axolotl, ms-swift)."""
MASKED_KEYS = ("masked", "mask")
"""Keys that say so by 1 or true (torchtune)."""
_NO = ("0", "0.0", "false", "no", "none")
_YES = ("1", "1.0", "true", "yes")

_TOOL_KEYS = ("tool_calls", "function_call", "tool_call_id", "tools")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = ("text", "input_text", "output_text")

PARTS = ("name", "tool_calls", "function_call", "tool_call_id", "tools", "weight")
"""What a turn may have beside role and content: text, and the weight 0 of what isn't learned."""
TURN = pa.struct(
    [(name, pa.string()) for name in ("role", "content", *PARTS[:-1])] + [(PARTS[-1], pa.int8())]
)

LONGEST_LITERAL = 200_000
"""Characters of a list in Python's own writing that are read, at most."""
_ROWS_OF_NUMPY = re.compile(r"}\s*\n\s*{")
"""Where NumPy writes no comma between objects; within texts, line breaks are written \\n."""

_IN_PYTHON = re.compile(
    "|".join(rf"{q}([^{q}\\\n\r\0]*(?:\\.[^{q}\\\n\r\0]*)*){q}" for q in "'\"")
    + r"|([^\W\d]\w*|['\"])",
    re.DOTALL,
)
"""A text in quotes, or a word; a quote alone, so that no more is looked for."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\"}
_WORDS = {"None": "null", "True": "true", "False": "false"}

Ignore = Callable[[str], None]
"""Takes the key of what is not used."""


def as_list(value: Any) -> list[Any] | None:
    """The list in `value`: itself, or JSON or Python text of it; None where there is none."""
    if isinstance(value, str):
        value = _literal(value.strip())
    if isinstance(value, Mapping):
        return [value]
    return value if isinstance(value, list) else None


def _literal(text: str) -> Any:
    """What JSON or Python's own writing of lists and objects says; None where it is neither."""
    if not text.startswith(("[", "{")):
        return None
    try:
        return from_json(text)
    except ValueError:
        pass
    if len(text) > LONGEST_LITERAL:
        return None
    text = _ROWS_OF_NUMPY.sub("}, {", text)
    try:
        return from_json(_IN_PYTHON.sub(_in_json, text), allow_inf_nan=False)
    except (ValueError, LookupError):
        pass
    try:
        return from_python(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _in_json(found: re.Match[str]) -> str:
    """A text or word in Python's writing in that of JSON. Raises LookupError for rarer ones, which
    `ast` reads, seven times as slowly."""
    if word := found[3]:
        return _WORDS[word]
    said = found[1] or found[2] or ""
    if "\\" in said:
        said = _ESCAPED.sub(lambda escape: _ESCAPES[escape[1]], said)
    return encode_basestring(said)


def looks_like_turns(value: Any) -> bool:
    """Whether `value` is a list of turns, or text of one."""
    turns = as_list(value)
    return (
        bool(turns)
        and turns is not None
        and all(
            isinstance(turn, Mapping) and (_key(turn, ROLE_KEYS) or _pairs(turn)) for turn in turns
        )
    )


def holds_chats(column: str, sample: Sequence[Row]) -> bool:
    """Whether most of what `column` holds is turns."""
    given = [row[column] for row in sample if row.get(column) not in (None, "", [])]
    return bool(given) and sum(map(looks_like_turns, given)) * 2 > len(given)


def read_turns(value: Any, column: str, ignore: Ignore) -> Any:
    """The turns in `value` as {role, content} with what else is used; empty system turns are none.

    What can't be read stays as it is. `ignore` hears the key of what is not used, as
    `column[].key`.
    """
    given = as_list(value)
    if given is None:
        return value
    turns: list[Any] = []
    for turn in given:
        if not isinstance(turn, Mapping):
            return value
        turns += _turns(turn, f"{column}[]", ignore)
    return [turn for turn in turns if turn["role"] != "system" or not _is_empty(turn["content"])]


def text_of(value: Any, place: str, ignore: Ignore) -> Any:
    """The text of a content: itself, or that of its parts; others are named, or stay alone."""
    return _content(value, place, ignore)[0]


def with_system(turns: list[dict[str, Any]], system: Any) -> list[dict[str, Any]]:
    """`turns` after the system text of a column, which comes before their own where both differ."""
    if system is None or (isinstance(system, str) and not system.strip()):
        return turns
    if not isinstance(system, str):  # a rule says so
        return [{"role": "system", "content": system}, *turns]
    own = turns[0]["content"] if turns and turns[0]["role"] == "system" else None
    if not isinstance(own, str):
        return [{"role": "system", "content": system}, *turns]
    both = system if own.strip() == system.strip() else f"{system}\n{own}"
    return [{"role": "system", "content": both}, *turns[1:]]


def is_learned(turn: Mapping[str, Any]) -> bool:
    """Whether a turn that `read_turns` gave is an answer to learn."""
    return turn["role"] in ("assistant", "function_call", "tool_call") and turn.get("weight") != 0


def says_no(value: Any) -> bool:
    """Whether a mark such as `weight` or `train` says no."""
    return value is not None and canonical(value).strip().casefold() in _NO


def says_yes(value: Any) -> bool:
    """Whether a mark such as `masked` says yes."""
    return value is not None and canonical(value).strip().casefold() in _YES


def _turns(given: Mapping[str, Any], place: str, ignore: Ignore) -> Iterator[dict[str, Any]]:
    """What one object of a conversation says: a turn, or a question and its answer."""
    role_key = _key(given, ROLE_KEYS)
    if role_key is None:
        pairs = _pairs(given)
        for name, role in pairs:
            if given[name] is not None:
                yield {"role": role, "content": text_of(given[name], f"{place}.{name}", ignore)}
        _note_others(given, {name for name, _ in pairs}, place, ignore)
        if not pairs:
            yield {"role": None, "content": None}
        return
    content_key = _key(given, CONTENT_KEYS)
    role = ROLES.get(str(given[role_key]).strip().casefold(), given[role_key])
    said, calls, results = _content(
        given.get(content_key) if content_key else None, f"{place}.{content_key}", ignore
    )
    if role == "tool" and isinstance(said, list | Mapping):
        said = _as_text(said)
    turn: dict[str, Any] = {"role": role, "content": said}
    if (refusal := given.get("refusal")) and _is_empty(said):
        turn["content"] = refusal
    if role == "assistant":
        _think(turn, next((given[key] for key in _THOUGHTS if given.get(key)), None))
    for key in _TOOL_KEYS:
        if given.get(key):
            turn[key] = _as_text(given[key])
    if calls:
        turn["tool_calls"] = _as_text(calls)
    known = {role_key, content_key, *_TOOL_KEYS, *_LEARNING}
    known |= {"refusal"} if turn["content"] is given.get("refusal") else set()
    known |= {*_THOUGHTS} if role == "assistant" else set()
    if role == "tool" and given.get("name"):
        turn["name"] = given["name"]
        known.add("name")
    _mark(turn, given, place, ignore)
    _note_others(given, known, place, ignore)
    yield from results
    if not (results and _is_empty(turn["content"])):
        yield turn


_LEARNING = (*LEARNED_KEYS, *MASKED_KEYS)


def _mark(turn: dict[str, Any], given: Mapping[str, Any], place: str, ignore: Ignore) -> None:
    """Give `turn` the weight 0 where its marks say that it is not learned."""
    for key in _LEARNING:
        mark = given.get(key)
        if mark is None:
            continue
        no, yes = says_no(mark), says_yes(mark)
        if key in MASKED_KEYS:
            no, yes = yes, no
        if no and is_learned(turn):
            turn["weight"] = 0
        elif not no and not (yes and is_learned(turn)):
            ignore(f"{place}.{key}")


def _think(turn: dict[str, Any], thought: Any) -> None:
    """Put `thought` before what `turn` says."""
    if isinstance(thought, str) and thought.strip() and isinstance(turn["content"], str | None):
        turn["content"] = f"<think>\n{thought.strip()}\n</think>\n\n{turn['content'] or ''}"


def _content(
    value: Any, place: str, ignore: Ignore
) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
    """A content's text, the calls in it, and turns of tools in it.

    What isn't made of parts stays as it is.
    """
    if not isinstance(value, list | Mapping):
        return value, [], []
    parts = [value] if isinstance(value, Mapping) else value
    if not all(isinstance(part, str) or _is_part(part) for part in parts):
        return value, [], []
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = str(part.get("type") or "text")
        known = {"type"}
        text = part.get("text") if part.get("text") is not None else part.get("content")
        if kind in _TEXT_PARTS and isinstance(text, str):
            texts.append(text)
            known |= {"text", "content"}
        elif kind in ("thinking", "refusal") and isinstance(part.get(kind), str):
            said = part[kind]
            texts.append(f"<think>\n{said}\n</think>\n" if kind == "thinking" else said)
            known.add(kind)
        elif kind == "tool_use":
            calls.append({key: part.get(key) for key in ("id", "name", "input")})
            known |= {"id", "name", "input"}
        elif kind == "tool_result":
            said = text_of(part.get("content"), f"{place}[].content", ignore)
            results.append(
                {"role": "tool", "content": said, "tool_call_id": part.get("tool_use_id")}
            )
            known |= {"content", "tool_use_id"}
        else:
            ignore(f"{place}[] {kind}")
            continue
        _note_others(part, known, f"{place}[]", ignore)
    return "\n".join(texts), calls, results


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and ("type" in value or "text" in value)


def _note_others(given: Mapping[str, Any], known: set[Any], place: str, ignore: Ignore) -> None:
    """Name the keys of `given` that aren't `known` and hold something."""
    for key, value in given.items():
        if key not in known and value is not None and value != [] and value != {}:
            ignore(f"{place}.{key}")


def _key(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The key of `given` that has one of the names, the first with a value before those without."""
    there = [name for name in names if name in given]
    return next((name for name in there if given[name] is not None), there[0] if there else None)


def _pairs(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The keys of an object that are roles themselves, as in `{human, assistant}`, in order."""
    found = [(key, ROLES[str(key).casefold()]) for key in given if str(key).casefold() in ROLES]
    order = ("system", "user", "assistant")
    known = [(key, role) for key, role in found if role in order]
    if "user" not in {role for _, role in known}:
        return []
    return sorted(known, key=lambda pair: order.index(pair[1]))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _as_text(value: Any) -> str:
    """A text as it is, anything else as JSON text without the nulls that columns put in."""
    return (
        value if isinstance(value, str) else json.dumps(_without_nulls(value), ensure_ascii=False)
    )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
