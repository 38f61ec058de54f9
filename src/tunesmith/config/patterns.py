"""Patterns of layers: regular expressions that come to an end soon, whatever they are held against.

PEFT matches them with Python's `re`, which tries every way to read a text: `(a+)+b` takes a time
that doubles with each letter. What can cost that much is refused (Davis et al. 2018, "The Impact of
Regular Expression Denial of Service in Practice").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]  # the parser that `re` uses
from typing import Any

LONGEST = 500
"""Characters of a pattern, at most."""

FEW = 10
"""Repetitions up to which a part counts as written out."""

MOST_REPEATED = 3
"""Parts that may be repeated without end, one after another: names of layers are short."""

_REPEATS = (
    _constants.MAX_REPEAT,
    _constants.MIN_REPEAT,
    _constants.POSSESSIVE_REPEAT,
)


def check_pattern(pattern: str) -> None:
    """Raises ValueError, saying why, when `pattern` is none or could take very long to match."""
    if len(pattern) > LONGEST:
        raise ValueError(f"a pattern has at most {LONGEST} characters")
    try:
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    repeated = list(_repeated(parsed))
    if any(_varies(inner) for inner in repeated):
        raise ValueError(
            f"{pattern!r} repeats a part that is repeated itself, or has choices in it"
        )
    if len(repeated) > MOST_REPEATED:
        raise ValueError(f"{pattern!r} repeats more than {MOST_REPEATED} parts without end")
    if any(operator is _constants.GROUPREF for operator, _ in _everything(parsed)):
        raise ValueError(f"{pattern!r} refers back to what it matched before")


def _everything(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """Every step of a pattern with its argument, those inside others too."""
    for operator, argument in parsed:
        yield operator, argument
        for inner in _inside(argument):
            yield from _everything(inner)


def _inside(argument: Any) -> Iterator[Any]:
    """The patterns that a step's argument holds."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _inside(part)


def _repeated(parsed: Any) -> Iterator[Any]:
    """The parts that are repeated more than a few times."""
    for operator, argument in _everything(parsed):
        if operator in _REPEATS and argument[1] > FEW:
            yield argument[2]


def _varies(inner: Any) -> bool:
    """Whether a part can match texts of several lengths, or in several ways."""
    least, most = inner.getwidth()
    return least != most or any(operator is _constants.BRANCH for operator, _ in _everything(inner))
