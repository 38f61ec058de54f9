"""A rule of the data as a configuration knows it: its field, what it may do, its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field

Action = str
"""drop, fix, warn, fail or ignore."""

ANY = ("drop", "warn", "fail", "ignore")
"""For what rows may have."""

NEEDED = ("drop", "fail")
"""For what a row can't be used without."""

MENDING = ("fix", *ANY)
"""For what can be put right in the row."""


def bound(name: str, kind: Any, default: Any, **options: Any) -> Mapping[str, tuple[Any, Any]]:
    """A field for a rule's `bounds`: its type, its default and what Pydantic's `Field` takes."""
    return MappingProxyType({name: (kind, Field(default, **options))})


class RuleField:
    """One rule as a field of `data.validation_rules`; `data.checking.rule` says how it looks."""

    name: ClassVar[str]
    """Its field, and its name in reports."""
    label: ClassVar[str]
    """What breaks it, in two or three words, as on a list; the page translates it."""
    summary: ClassVar[str]
    """What breaks it, in one line: the field's description. By default the class's first line."""
    actions: ClassVar[tuple[str, ...]] = ANY
    """What may be done with a row that breaks it."""
    default: ClassVar[Action | None] = "warn"
    """What is done where nothing is said; None: `decided` says it."""
    bounds: ClassVar[Mapping[str, tuple[Any, Any]]] = MappingProxyType({})
    """Further fields, by which it tells what breaks it: name → type and Pydantic's `Field`."""
    compares: ClassVar[bool] = False
    """Whether it holds the texts of rows against each other, which takes longer than all else."""

    def __init_subclass__(cls) -> None:
        if "summary" not in vars(cls):
            cls.summary = (cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def decided(cls, rules: Any, task: Any = None) -> Action:
        """What is done with a row of `task` that breaks it, as `rules`, the whole section, say."""
        given: Action | None = getattr(rules, cls.name)
        return given or cls.default or "warn"
