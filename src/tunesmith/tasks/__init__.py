"""The tasks: every module here that defines a `Task` is a valid `task:` in a configuration."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from tunesmith.tasks.base import Task


def _discover() -> dict[str, type[Task]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted((task.name, task) for task in _below(Task)))  # type: ignore[type-abstract]


def _below(kind: type[Task]) -> Iterator[type[Task]]:
    """Every task that inherits from `kind`, those that build on another task too."""
    for task in kind.__subclasses__():
        if not inspect.isabstract(task):
            yield task
        yield from _below(task)


TASKS: dict[str, type[Task]] = _discover()
"""Task name → task, sorted by name."""


def default_task(peft_task_type: str | None) -> str:
    """The task meant by a configuration that only gives PEFT's `task_type` (SEQ_CLS when None)."""
    wanted = peft_task_type or "SEQ_CLS"
    matching = [name for name, task in TASKS.items() if task.peft_task_type == wanted]
    defaults = [name for name in matching if TASKS[name].is_default]
    return (defaults or matching or list(TASKS))[0]
