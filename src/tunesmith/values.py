"""Values of any data as text: canonical, to be compared and hashed, or readable, for people."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from tunesmith.errors import shorten
from tunesmith.messages import say


def canonical(value: Any) -> str:
    """`value` as the string by which it is compared and hashed, the same whatever it came from.

    Integers and integral floats are written alike (`1`), other floats as Python writes them,
    booleans `true` and `false`, a missing value as the empty string, and lists and mappings as JSON
    with sorted keys, without keys whose value is missing.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if _is_integral(float(value)) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | dict):
        return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return str(value)


def readable(value: Any) -> str:
    """`value` on one line as people read it.

    A chat is its turns (`user: … | assistant: …`), a list its values with commas; entities have
    their text and their label; texts, numbers and the rest are as `canonical` has them.
    """
    if isinstance(value, list | tuple):
        turns = [_turn(item) for item in value]
        if value and None not in turns:
            return " | ".join(str(turn) for turn in turns)
        return ", ".join(map(readable, value))
    if isinstance(value, dict):
        if (turn := _turn(value)) is not None:
            return turn
        if {"text", "label"} <= value.keys():
            return f"{readable(value['text'])} ({readable(value['label'])})"
    return " ".join(canonical(value).split())


def _turn(value: Any) -> str | None:
    """A turn of a chat as `role: content`; None where it is none."""
    for role, content in (("role", "content"), ("from", "value")):
        if isinstance(value, dict) and {role, content} <= value.keys():
            return say(
                "{readable}: {readable2}",
                readable=readable(value[role]),
                readable2=readable(value[content]),
            )
    return None


def quoted(value: Any, limit: int = 60) -> str:
    """`value` in a finding: a text in quotes, that its spaces show; others `readable`; cut."""
    if not isinstance(value, list | tuple | dict):
        return shorten(value, limit)
    text = readable(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shortened(text: str, limit: int) -> str:
    """`text` on one line, cut to `limit` characters."""
    text = " ".join(text[: 4 * limit].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _is_integral(value: float) -> bool:
    # Larger floats keep their exponent: as digits they would claim a precision they lack.
    return math.isfinite(value) and value == math.floor(value) and abs(value) < 2.0**63


def _plain(value: Any) -> Any:
    """`value` with integral floats as integers and missing entries left out, ready for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return int(value) if _is_integral(value) else value
    return canonical(value)


def no_formula(text: str) -> str:
    """`text` for a cell of a spreadsheet, with an apostrophe before what would begin a formula.

    Numbers stay as they are (OWASP, "CSV Injection").
    """
    return f"'{text}" if text.startswith(FORMULA_BEGINS) and not is_number(text) else text


FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


def is_number(text: str) -> bool:
    """Whether Python reads `text` as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def from_python(text: str) -> Any:
    """What Python's own writing of a list or an object says.

    Raises ValueError, SyntaxError, TypeError, MemoryError or RecursionError for anything else, also
    for what no column holds, such as half of a character.
    """
    found = ast.literal_eval(text)
    json.dumps(found, ensure_ascii=False).encode()
    return found
