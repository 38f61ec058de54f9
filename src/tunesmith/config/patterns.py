"""Patterns of layers: regular expressions, matched in a time that is linear in the text.

Python's `re`, with which PEFT matches them, tries every way to read a text: `(a+)+b` takes a time
that doubles with each letter (Davis et al. 2018, "The Impact of Regular Expression Denial of
Service in Practice"). So they are matched here, by Polars, whose engine does not backtrack
(https://docs.rs/regex/latest/regex/#untrusted-input), and PEFT gets names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # the parser that `re` uses
from typing import Any

from tunesmith.messages import say

LONGEST = 500
"""Characters of a pattern, at most."""

MOST_PARTS = 2000
"""Parts of a field's patterns, each repetition written out: what one costs to compile."""

_CLASS = 10
"""Parts that a class of characters counts for: thousands of characters may be in it."""

_NAMES = re.compile(r"[\w.|-]+")

_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_CLASSES = (_constants.ANY, _constants.IN, _constants.NOT_LITERAL)
_NOT_LINEAR = (
    _constants.ASSERT,
    _constants.ASSERT_NOT,
    _constants.ATOMIC_GROUP,
    _constants.GROUPREF,
    _constants.GROUPREF_EXISTS,
    _constants.POSSESSIVE_REPEAT,
)


def are_names(text: str) -> bool:
    """Whether `text` is a module's name, or several with | between: any engine matches it soon."""
    return _NAMES.fullmatch(text) is not None


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError, saying why, when one is no pattern or they can't be matched soon."""
    parts = 0
    for pattern in patterns:
        if len(pattern) > LONGEST:
            raise ValueError(say("a pattern has at most {n} characters", n=LONGEST))
        if are_names(pattern):
            continue
        try:
            parts += _parts(_parser.parse(pattern), pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(
                say(
                    "{pattern} is no regular expression: {error}",
                    pattern=repr(pattern),
                    error=error,
                )
            ) from None
        if parts > MOST_PARTS:
            raise ValueError(
                say(
                    "patterns have at most {n:,} parts, with their repetitions written out",
                    n=MOST_PARTS,
                )
            )
        matching(pattern, [])


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `pattern` matches from end to end. Raises ValueError."""
    import polars as pl  # here, as it takes a while and most configurations have no pattern

    # One text more: of none, the pattern would not be compiled.
    texts = pl.Series([*names, ""], dtype=pl.String)
    try:
        found = texts.str.contains(f"^(?:{pattern})$").to_list()
    except pl.exceptions.ComputeError as error:
        said = str(error).partition("\n\nThis error")[0].rpartition("error: ")[2]
        raise ValueError(
            say("{pattern} is no regular expression: {error}", pattern=repr(pattern), error=said)
        ) from None
    return [name for name, matches in zip(names, found, strict=False) if matches]


def _parts(parsed: Any, pattern: str) -> int:
    """How many parts a parsed pattern has, written out."""
    count = 0
    for operator, argument in parsed:
        if operator in _NOT_LINEAR:
            raise ValueError(
                say(
                    "{pattern} looks ahead or behind, refers back to what it matched before, "
                    "or has atomic or possessive parts",
                    pattern=repr(pattern),
                )
            )
        if operator in _REPEATS:
            least, most, inner = argument
            times = least + 1 if most is _constants.MAXREPEAT else most
            count += times * (1 + _parts(inner, pattern))
        else:
            count += _CLASS if operator in _CLASSES else 1
            count += sum(_parts(inner, pattern) for inner in _inside(argument))
    return count


def _inside(argument: Any) -> Iterator[Any]:
    """The patterns that a step's argument holds."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _inside(part)
