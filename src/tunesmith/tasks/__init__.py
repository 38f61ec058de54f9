"""The tasks: whatever module here, or entry point of another package, defines a `Task`.

Each is a valid `task:` in a configuration.
"""

from __future__ import annotations

from typing import get_args

from tunesmith.messages import say
from tunesmith.plugins import Registry
from tunesmith.tasks.base import Task


def _fault(task: type[Task]) -> str | None:
    """What a task of another package lacks, so that a configuration or a page could not hold it."""
    missing = [
        name
        for name in ("label", "summary", "Options", "peft_task_type", "auto_class", "metrics",
                     "main_metric", "column_names")
        if not hasattr(task, name)
    ]  # fmt: skip
    if missing:
        return say("lacks {names}", names=missing)
    named = task.Options.model_fields.get("name")
    if named is None or get_args(named.annotation) != (task.name,) or named.default != task.name:
        return say('has Options without name: Literal["{name}"] = "{name}"', name=task.name)
    unknown = {task.main_metric, task.best_metric, "loss"} - {m.name for m in task.metrics}
    if unknown:
        return say("has no metric {names}", names=sorted(unknown))
    task.Options.model_json_schema()
    return None


TASKS: Registry[Task] = Registry(__name__, "tunesmith.tasks", Task, _fault)  # type: ignore[type-abstract]
"""Task name → task: ours by name, then those of other packages."""


def default_task(peft_task_type: str | None) -> str:
    """The task meant by a configuration that only gives PEFT's `task_type` (SEQ_CLS when None)."""
    wanted = peft_task_type or "SEQ_CLS"
    matching = [name for name, task in TASKS.items() if task.peft_task_type == wanted]
    defaults = [name for name in matching if TASKS[name].is_default]
    return (defaults or matching or list(TASKS))[0]
