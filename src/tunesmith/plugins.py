"""Registries: classes of ours, found by being in a folder, and those that other packages add.

A package adds a task, a data rule or an exporter by an entry point, whose name is the class's own
(https://packaging.python.org/en/latest/specifications/entry-points/):

    [project.entry-points."tunesmith.tasks"]
    word-counting = "my_package.counting:WordCounting"

Nothing is loaded before something asks. What can't be used is left out with a message that names
its package; the rest works on.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from tunesmith.errors import TunesmithError
from tunesmith.messages import Message, say

log = logging.getLogger(__name__)

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """Name → class: ours by name, then those of other packages by name; ours are never replaced.

    `package` is the folder of ours; `group` names entry points.
    `fault` says why another package's class, a concrete subclass of `kind`, can't be used.
    """

    def __init__(
        self,
        package: str,
        group: str,
        kind: type[T],
        fault: Callable[[type[T]], str | None],
    ) -> None:
        self.package, self.group, self.kind, self.fault = package, group, kind, fault
        self._packages: dict[str, str] = {}
        self.troubles: list[Message] = []
        """What could not be used, and why: a sentence each; known once something was asked."""

    def __getitem__(self, name: str) -> type[T]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def added(self) -> list[str]:
        """What other packages add, each with its package."""
        _ = self._found
        return [f"{name} ({package})" for name, package in self._packages.items()]

    @cached_property
    def _found(self) -> dict[str, type[T]]:
        found = dict(sorted((name_of(each), each) for each in self._ours()))
        points = sorted(
            entry_points(group=self.group), key=lambda p: (p.name, _package(p), p.value)
        )
        for point in points:
            try:
                found[point.name] = self._loaded(point, found)
                self._packages[point.name] = _package(point)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it may raise anything
                trouble = say(
                    "the package {package} adds {name} to {group}, which can't be used: {why}",
                    package=_package(point),
                    name=repr(point.name),
                    group=self.group,
                    why=error if isinstance(error, _UnusableError) else _said(error),
                )
                self.troubles.append(trouble)
                log.warning("%s", trouble)
        return found

    def _ours(self) -> Iterator[type[T]]:
        package = importlib.import_module(self.package)
        for found in pkgutil.iter_modules(package.__path__, f"{self.package}."):
            if not found.ispkg:
                for each in vars(importlib.import_module(found.name)).values():
                    if self._is_one(each) and each.__module__ == found.name:
                        yield each

    def _is_one(self, value: Any) -> bool:
        is_kind = isinstance(value, type) and issubclass(value, self.kind)
        return is_kind and not inspect.isabstract(value) and isinstance(name_of(value), str)

    def _loaded(self, point: EntryPoint, found: Mapping[str, type[T]]) -> type[T]:
        if point.name in found:
            raise _UnusableError("there is one of this name already")
        loaded: Any = point.load()
        if not self._is_one(loaded):
            raise _UnusableError(
                "{value} is no complete subclass of {kind} with a name",
                value=point.value,
                kind=self.kind.__name__,
            )
        if name_of(loaded) != point.name:
            raise _UnusableError(
                "{value} calls itself {name}", value=point.value, name=repr(name_of(loaded))
            )
        if why := self.fault(loaded):
            raise _UnusableError("{value} {why}", value=point.value, why=why)
        return loaded  # type: ignore[no-any-return]  # `_is_one` knows


class _UnusableError(TunesmithError):
    """Raised when an entry point names what can't be used."""


def name_of(kind: type[Any]) -> Any:
    """The name of a registered class; None where it has none."""
    return getattr(kind, "name", None)


def _package(point: EntryPoint) -> str:
    return "?" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _said(error: BaseException) -> str:
    """An error of somebody else's code, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
