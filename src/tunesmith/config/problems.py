"""Pydantic's errors in the user's words: field, value, what is accepted, the nearest right name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import MOST_PROBLEMS, Problem, more_problems, nearest
from tunesmith.messages import N_, joined, marked, say
from tunesmith.messages.foreign import of_pydantic
from tunesmith.tasks import TASKS, default_task

FAMILIAR: dict[str, str] = {
    "epochs": "training.num_train_epochs",
    "batch_size": "training.per_device_train_batch_size",
    "lr": "training.learning_rate",
    "alpha": "lora.lora_alpha",
    "rank": "lora.r",
    "dropout": "lora.lora_dropout",
    "warmup_ratio": "training.warmup_steps",
    "evaluation_strategy": "training.eval_strategy",
    "model_name": "model.name",
    "model_name_or_path": "model.name",
    "dataset": "data.dataset_name",
    "max_seq_length": "data.max_length",
    "bf16": "training.precision",
    "fp16": "training.precision",
}
"""Names people bring from elsewhere → our fields."""


@lru_cache(100)
def known_fields(task: str = "") -> Sequence[str]:
    """Every dotted field path of a configuration with this task, by default with any of them."""
    tasks = [TASKS[task]] if task in TASKS else TASKS.values()
    options = {field: None for known in tasks for field in known.Options.model_fields}
    return (*_paths(ExperimentConfig, ""), *(f"task.{field}" for field in options))


def field_schema(path: str, task: str) -> Mapping[str, Any] | None:
    """The JSON schema of the value at the dotted `path`; None where there is no such value."""
    owner = _owner(path, task)
    return None if owner is None or _section(owner) else _schema(owner)


def nearest_field(path: str, task: str) -> str | None:
    """The dotted path that an unknown one was most probably meant to be."""
    section = path.rpartition(".")[0]
    found = _nearest_field(path, task)
    return f"{section}.{found}" if found and "." not in found and section else found


MOST_VALUES = 50_000
"""Values that a configuration may hold in all its lists and mappings, at most."""


def size_problems(values: Any) -> list[Problem]:
    """What is wrong with `values` before any of them is looked at: nothing, or too many."""
    count, open_parts = 0, [values]
    while open_parts:
        part = open_parts.pop()
        inner = part.values() if isinstance(part, Mapping) else part
        if isinstance(part, Mapping | list | tuple):
            count += len(part)
            open_parts += [each for each in inner if isinstance(each, Mapping | list | tuple)]
        if count > MOST_VALUES:
            most = say("at most {n:,}", n=MOST_VALUES)
            return [Problem("", say("holds too many values"), accepted=most)]
    return []


Errors = Mapping[str, Sequence[ErrorDetails]]
"""Dotted path of a field → Pydantic's errors in it."""


def errors_by_field(error: ValidationError) -> Errors:
    """Pydantic's errors by the field that each is in, in the order found."""
    found: dict[str, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        location = [str(part) for part in details["loc"]]
        if len(location) > 1 and location[0] == "task" and location[1] in TASKS:
            del location[1]  # Pydantic puts the union's tag into the path
        found.setdefault(".".join(_settable(location)), []).append(details)
    return found


def explain(found: Errors, values: Mapping[str, Any]) -> list[Problem]:
    """The errors as problems, one for each field; of very many the first, and their number."""
    listed = [*found.items()][:MOST_PROBLEMS]
    problems = [_problem(field, errors, values) for field, errors in listed]
    return problems + more_problems(len(found) - len(listed))


def _settable(location: list[str]) -> list[str]:
    """The path up to the field itself: what follows are list indices and union branches."""
    model: type[BaseModel] | None = ExperimentConfig
    for depth, name in enumerate(location):
        if model is None:
            return location[:depth]
        if name == "task":
            return location[: depth + 2]
        found = model.model_fields.get(name)
        if found is None:
            return location[: depth + 1]
        kind = found.annotation
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return location


def _problem(field: str, errors: Sequence[ErrorDetails], values: Mapping[str, Any]) -> Problem:
    """What is wrong with `field`; several errors are one for each branch of a union."""
    kind, value = errors[0]["type"], errors[0]["input"]
    task = _task_name(values)
    owner = _owner(field, task)
    if kind == "extra_forbidden":
        return _unknown_field(field, task)
    if kind.startswith("union_tag"):
        name = value.get("name") if isinstance(value, dict) else value
        return Problem(
            "task", say("unknown task"), name, ", ".join(TASKS), nearest(str(name), TASKS)
        )
    section = _section(owner) if owner else None
    if section or field == "task":
        fields = _example(section) if section else ", ".join(TASKS)
        if kind == "missing":
            return Problem(field, say("required, and not given"), accepted=fields)
        return Problem(field, say("is a section of fields"), value, fields)
    if kind == "missing":
        return Problem(field, say("required, and not given"), accepted=_description(owner))
    schema = _schema(owner)
    given, accepted = value_at(values, field), in_words(schema) or _description(owner)
    branches = [schema, *schema.get("anyOf", [])]
    choices = [choice for branch in branches for choice in _enumerated(branch)]
    suggestion = nearest(str(given), choices)
    message = of_pydantic(errors[0])
    if kind == "literal_error":
        message = say("unknown value")
    elif kind == "string_type" and len(errors) == 1:
        message = say("must be text; quotes make text of a number or a date")
    elif len(errors) > 1 or kind == "string_pattern_mismatch":
        message = say("not a valid value")
    return Problem(field, message, given, accepted, suggestion)


def _unknown_field(field: str, task: str) -> Problem:
    section, _, name = field.rpartition(".")
    if section == "task" and task in TASKS:
        others = [other for other in TASKS if name in TASKS[other].Options.model_fields]
        if others:
            message = say("is an option of task {task}, not of {this}", task=others, this=task)
            return Problem(field, message)
    return Problem(field, say("unknown field"), suggestion=_nearest_field(field, task))


def _task_name(values: Mapping[str, Any]) -> str:
    """The task that `values` name or imply."""
    task, lora = values.get("task"), values.get("lora")
    name = task.get("name") if isinstance(task, Mapping) else task
    kind = lora.get("task_type") if isinstance(lora, Mapping) else None
    return name if isinstance(name, str) else default_task(kind)


def value_at(values: Any, path: str) -> Any:
    """What stands at the dotted `path`; None where nothing does."""
    for name in path.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


Owner = tuple[type[BaseModel], str]
"""The model that a field belongs to, and the field's name in it."""


def _owner(field: str, task: str) -> Owner | None:
    """Whose field `field` is; None where there is no such field."""
    model: type[BaseModel] = ExperimentConfig
    *sections, name = field.split(".")
    for section in sections:
        inner = _section((model, section)) if section in model.model_fields else None
        if section == "task" and task in TASKS:
            inner = TASKS[task].Options
        if inner is None:
            return None
        model = inner
    return (model, name) if name in model.model_fields else None


def _section(owner: Owner) -> Any:
    """The model of the section that the field is; None where it is a value."""
    kind = owner[0].model_fields[owner[1]].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _example(section: type[BaseModel]) -> str:
    """A section with the fields that it needs, or with its first one."""
    needed = [name for name, field in section.model_fields.items() if field.is_required()]
    names = needed or list(section.model_fields)[:1]
    return "{" + ", ".join(f"{name}: …" for name in names) + "}"


def _description(owner: Owner | None) -> str | None:
    text = owner[0].model_fields[owner[1]].description if owner else None
    return marked(text.rstrip(".")) if text else None


@cache
def _schema(owner: Owner | None) -> Mapping[str, Any]:
    """The JSON schema of the field."""
    return owner[0].model_json_schema()["properties"][owner[1]] if owner else {}


def _enumerated(schema: Mapping[str, Any]) -> list[str]:
    """The texts that a field takes, where they are few."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))


_KINDS = {
    "integer": say("a whole number"),
    "number": say("a number"),
    "boolean": say("true or false"),
    "string": say("text"),
    "null": say("null"),
}
_BOUNDS = {
    "minimum": N_("at least {n}"),
    "exclusiveMinimum": N_("above {n}"),
    "maximum": N_("at most {n}"),
    "exclusiveMaximum": N_("below {n}"),
}


def in_words(schema: Mapping[str, Any]) -> str | None:
    """What the JSON schema of a field takes, as in `a whole number, at least 1, or null`.

    None where only the field's description can say it (a pattern).
    """
    if "anyOf" in schema:
        branches = [in_words(branch) for branch in schema["anyOf"]]
        return None if None in branches else joined((str(branch) for branch in branches), ", or ")
    if listed := _enumerated(schema):
        return joined(listed, ", ")
    if "pattern" in schema:
        return None
    kind = schema.get("type")
    if kind == "array":
        return say("a list of {what}", what=in_words(schema["items"]))
    if kind == "object":
        inner = in_words(schema["additionalProperties"])
        return say("name: value pairs, each value {what}", what=inner)
    if kind not in _KINDS:
        return None
    bounds = [
        say(template, n=f"{schema[key]:g}") for key, [template] in _BOUNDS.items() if key in schema
    ]
    return joined([_KINDS[kind], joined(bounds, " and ")], ", ") if bounds else _KINDS[kind]


def _nearest_field(field: str, task: str) -> str | None:
    """The right name for an unknown field: in its own section, else anywhere."""
    section, _, name = field.rpartition(".")
    everywhere = known_fields(task)
    here = [p.rpartition(".")[2] for p in everywhere if p.rpartition(".")[0] == section]
    if name in FAMILIAR:
        right = FAMILIAR[name]
        return right.rpartition(".")[2] if right.rpartition(".")[0] == section else right
    if found := nearest(name, here):
        return found
    leaves = {path.rpartition(".")[2]: path for path in reversed(everywhere) if "." in path}
    found = nearest(name, leaves)
    return leaves[found] if found else None


def _paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name in model.model_fields:
        yield f"{prefix}{name}"
        if inner := _section((model, name)):
            yield from _paths(inner, f"{prefix}{name}.")
