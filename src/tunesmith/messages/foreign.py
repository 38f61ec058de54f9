"""What libraries and the system say, as messages: their texts are in the catalogues too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.messages.message import N_, Message, say

SYSTEM = N_(
    "No space left on device",
    "Permission denied",
    "No such file or directory",
    "Read-only file system",
    "Connection refused",
    "Connection reset by peer",
    "Is a directory",
    "Not a directory",
    "File name too long",
    "Input/output error",
    "timed out",
    "Expecting value",
    "Expecting ',' delimiter",
    "Expecting ':' delimiter",
    "Expecting property name enclosed in double quotes",
    "Illegal trailing comma before end of object",
    "Illegal trailing comma before end of array",
    "Unterminated string starting at",
    "Invalid control character at",
    "Extra data",
    "Truncated compressed stream",
    "File is not a zip file",
)
"""Texts of errno and of Python's JSON parser: they stand in places called `error`."""

PYDANTIC = N_(
    "must be a valid integer",
    "must be a valid integer, unable to parse string as an integer",
    "must be a valid integer, got a number with a fractional part",
    "must be a valid number",
    "must be a valid number, unable to parse string as a number",
    "must be a finite number",
    "must be a valid boolean",
    "must be a valid boolean, unable to interpret input",
    "must be a valid string",
    "must be a valid list",
    "must be a valid dictionary",
    "field required",
)
"""Texts of Pydantic without values, as `of_pydantic` words them."""

_BOUNDS = {
    "greater_than": ("gt", N_("must be greater than {n}")),
    "greater_than_equal": ("ge", N_("must be greater than or equal to {n}")),
    "less_than": ("lt", N_("must be less than {n}")),
    "less_than_equal": ("le", N_("must be less than or equal to {n}")),
    "string_too_short": (
        "min_length",
        N_("must have at least {n} character", "must have at least {n} characters"),
    ),
    "string_too_long": (
        "max_length",
        N_("must have at most {n} character", "must have at most {n} characters"),
    ),
    "too_short": (
        "min_length",
        N_("must have at least {n} item, not {given}", "must have at least {n} items, not {given}"),
    ),
    "too_long": (
        "max_length",
        N_("must have at most {n} item, not {given}", "must have at most {n} items, not {given}"),
    ),
}
"""Types of errors: where Pydantic has the bound, and how it is said."""


def of_pydantic(error: Mapping[str, Any]) -> Message:
    """What an error of Pydantic's `errors()` says; a ValueError of ours is its own message."""
    context = error.get("ctx", {})
    if isinstance(cause := context.get("error"), Exception):
        text = str(cause)
        return text if isinstance(text, Message) else say("{error}", error=text)
    name, templates = _BOUNDS.get(error["type"], ("", ()))
    if name in context and templates:
        n, given = context[name], context.get("actual_length")
        template = templates[0 if n == 1 else -1]
        return say(template, n=f"{n:g}" if isinstance(n, int | float) else n, given=given)
    text = error["msg"][:1].lower() + error["msg"][1:]
    return say("{error}", error=text.replace("input should", "must"))
