"""A message: text that knows its template and values, so that it can be said in any language."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from numbers import Integral, Real
from string import Formatter
from types import NoneType
from typing import Any, Self, TypeAlias

Value: TypeAlias = "str | int | float | list[Value] | None"
"""What a message holds in a place: text, a number, another message, or a list of those."""

_KEPT = (str, int, float, bool, NoneType)

DEEPEST = 12
"""Levels of messages within messages that are read from JSON."""

LONGEST_TEMPLATE = 10_000
"""Characters of a template that is read from JSON."""

_SPEC = re.compile(r"[+ ]?,?(?:\.\d{1,2})?[dfge%]?")
"""How a number may be written: sign, thousands, digits after the point, and its kind."""


class Message(str):
    """Something said to people. It is its English text, and keeps what it was made of.

    `template` is the English text with `{name}` for each of `values`, as in `str.format`; `plural`
    is the template for all counts but 1, where the text depends on the value `n`.
    """

    __slots__ = ("plural", "template", "values")
    template: str
    plural: str | None
    values: Mapping[str, Value]

    def __new__(
        cls, text: str, template: str, values: Mapping[str, Value], plural: str | None = None
    ) -> Self:
        """A message as it was made before; `say` makes new ones."""
        self = super().__new__(cls, text)
        self.template, self.values, self.plural = template, values, plural
        return self

    def __str__(self) -> str:
        """Itself: `str(error)` is still a message."""
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (str.__str__(self), self.template, dict(self.values), self.plural)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __add__(self, other: str) -> Message:
        """Both, one after the other; each is translated by itself."""
        return joined([self, other], "") if other else self

    def __radd__(self, other: str) -> Message:
        return joined([other, self], "") if other else self

    def changed(self, change: Callable[[str], str]) -> Message:
        """The message with `change` made to every text in it that is a value."""
        values = {name: _changed(value, change) for name, value in self.values.items()}
        return Message(
            _text(self.template, self.plural, values), self.template, values, self.plural
        )

    def to_json(self) -> dict[str, Any]:
        """`{text, template, values}` (and `plural`), as JSON can say it.

        Messages among the values have no `text`: it follows from the rest.
        """
        return {"text": str.__str__(self), **self._parts()}

    def _parts(self) -> dict[str, Any]:
        plural = {} if self.plural is None else {"plural": self.plural}
        values = {name: _to_json(each) for name, each in self.values.items()}
        return {"template": self.template, **plural, "values": values}


def N_(*texts: str) -> tuple[str, ...]:  # noqa: N802 - as gettext calls it
    """`texts` as they are: marks them for the catalogues; they are translated when shown."""
    return texts


def say(template: str, /, **values: object) -> Message:
    """The message of `template`, such as `say("{n:,} rows in {path}", n=…, path=…)`.

    Values that are messages, also those that an error carries, stay messages; numbers stay
    numbers; everything else is kept as its text.
    """
    return _of(template, None, values)


def marked(text: str) -> Message:
    """The message of a text that catalogues have from elsewhere: `N_`, a field's description."""
    return say(text.replace("{", "{{").replace("}", "}}"))


def say_plural(one: str, many: str, /, *, n: int, **values: object) -> Message:
    """The message of `one` where `n` is 1, else of `many`; other languages have other forms."""
    return _of(one, many, {"n": n, **values})


def joined(parts: Iterable[str], separator: str = "\n") -> Message:
    """Several messages one after the other; a separator that isn't space is a message itself."""
    values: dict[str, object] = {f"part{number}": part for number, part in enumerate(parts)}
    if len(values) == 1 and isinstance(only := values["part0"], Message):
        return only
    if separator.strip():
        between = "{between}"
        template = between.join(f"{{{name}}}" for name in values)
        return say(template, **values, between=say(separator))
    return say(separator.join(f"{{{name}}}" for name in values), **values)


def places(template: str) -> dict[str, str]:
    """The names of the places of `template`, each with how its number is written."""
    return {name: spec for _, name, spec in _parts(template) if name is not None}


def bare(template: str) -> str:
    """`template` as catalogues have it: its places without how numbers are written."""
    return "".join(
        text.replace("{", "{{").replace("}", "}}") + (f"{{{name}}}" if name is not None else "")
        for text, name, _ in _parts(template)
    )


def fill(template: str, value: Callable[[str, str], str]) -> str:
    """`template` with `value(name, spec)` in its places."""
    return "".join(
        text + (value(name, spec) if name is not None else "")
        for text, name, spec in _parts(template)
    )


def written(value: Value, spec: str) -> str:
    """`value` in English; a list with commas between."""
    if isinstance(value, list):
        return ", ".join(written(each, spec) for each in value)
    if spec and isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, spec)
    return str(value)


def from_json(found: object) -> Message | None:
    """The message that `found` is, or None. Whatever is given, the work is bounded."""
    text = found.get("text") if isinstance(found, Mapping) else None
    if not isinstance(text, str) or set(found) - {"text", "template", "plural", "values"}:  # type: ignore[call-overload]
        return None
    message = _message(found, 0)
    # Its own text stays, though a template may be worded anew since.
    return message and Message(text, message.template, message.values, message.plural)


def _message(found: object, depth: int) -> Message | None:
    if not (isinstance(found, Mapping) and depth < DEEPEST):
        return None
    template, values, plural = found.get("template"), found.get("values"), found.get("plural")
    if not (isinstance(template, str) and isinstance(values, Mapping)):
        return None
    if not (plural is None or isinstance(plural, str)):
        return None
    if len(template) + len(plural or "") > LONGEST_TEMPLATE:
        return None
    known = {str(name): _from_json(each, depth + 1) for name, each in values.items()}
    return Message(_text(template, plural, known), template, known, plural)


def _text(template: str, plural: str | None, values: Mapping[str, Value]) -> str:
    """The English text; the template alone where it asks for what it isn't given."""
    shown = template if plural is None or values.get("n") == 1 else plural
    try:
        return fill(shown, lambda name, spec: written(values[name], spec))
    except (KeyError, ValueError, TypeError):
        return shown


@lru_cache(4_096)
def _parts(template: str) -> tuple[tuple[str, str | None, str], ...]:
    """The texts of a template, each with the place that follows it and how that is written."""
    found = []
    for text, name, spec, _ in Formatter().parse(template):
        if name is not None and not name.isidentifier():
            raise ValueError(f"{name!r} in {template!r} is no name of a value")
        found.append((text, name, spec if spec and _SPEC.fullmatch(spec) else ""))
    return tuple(found)


def _of(one: str, many: str | None, values: Mapping[str, object]) -> Message:
    known = {name: each if type(each) in _KEPT else _value(each) for name, each in values.items()}
    template = one if many is None or known["n"] == 1 else many
    shown = {name: written(v, "") if type(v) is list else v for name, v in known.items()}
    return Message(template.format_map(shown), one, known, many)  # type: ignore[arg-type]


def _value(value: object) -> Value:
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral) and not isinstance(value, Enum):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, Enum) else str(value)


def _changed(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, Message):
        return value.changed(change)
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _to_json(value: Value) -> Any:
    if isinstance(value, Message):
        return value._parts()
    if isinstance(value, list):
        return [_to_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(value: object, depth: int) -> Value:
    if isinstance(value, list):
        return [_from_json(each, depth + 1) for each in value] if depth < DEEPEST else []
    if isinstance(value, Mapping):
        return _message(value, depth) or str(value.get("template", ""))
    return value if isinstance(value, int | float) or value is None else str(value)
