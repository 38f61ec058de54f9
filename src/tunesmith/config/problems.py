"""Pydantic's errors in the user's words: field, value, what is accepted, the nearest right name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import Problem, nearest
from tunesmith.tasks import TASKS

FAMILIAR: dict[str, str] = {
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "lr": "learning_rate",
    "alpha": "lora_alpha",
    "rank": "r",
    "dropout": "lora_dropout",
    "warmup_ratio": "warmup_steps",
    "evaluation_strategy": "eval_strategy",
    "model_name": "name",
    "model_name_or_path": "name",
    "dataset": "dataset_name",
    "max_seq_length": "max_length",
    "bf16": "precision",
    "fp16": "precision",
}
"""Names people bring from elsewhere → ours."""


def known_fields() -> list[str]:
    """Every dotted field path of a configuration, the options of every task included."""
    return list(_paths(ExperimentConfig, ""))


def explain(error: ValidationError, values: Mapping[str, Any]) -> list[Problem]:
    """Pydantic's errors as problems, one for each field, in the order found."""
    problems: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        location = [str(part) for part in details["loc"]]
        if len(location) > 1 and location[0] == "task" and location[1] in TASKS:
            del location[1]  # Pydantic puts the union's tag into the path
        location = _settable(location)
        field = ".".join(location)
        if field not in problems:
            problems[field] = _problem(field, details, values)
    return list(problems.values())


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


def _problem(field: str, details: ErrorDetails, values: Mapping[str, Any]) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    value = details["input"]
    accepted = _accepted(kind, context, field)
    if kind == "extra_forbidden":
        return Problem(field, "unknown field", suggestion=_nearest_field(field))
    if kind == "missing":
        return Problem(field, "required, and not given", accepted=_description(field))
    if kind.startswith("union_tag"):
        name = value.get("name") if isinstance(value, dict) else value
        return Problem("task", "unknown task", name, ", ".join(TASKS), nearest(str(name), TASKS))
    if kind == "literal_error":
        choices = [
            choice.strip("' ")
            for choice in str(context["expected"]).replace(" or ", ",").split(",")
        ]
        return Problem(
            field, "unknown value", value, ", ".join(choices), nearest(str(value), choices)
        )
    given = _given(field, values)
    if kind == "string_pattern_mismatch":
        return Problem(field, "not a valid value", given, _description(field))
    message = details["msg"][:1].lower() + details["msg"][1:]
    return Problem(field, message.replace("input should", "must"), given, accepted)


def _given(field: str, values: Mapping[str, Any]) -> Any:
    """What stands at `field` in the values as given."""
    here: Any = values
    for name in field.split("."):
        if not isinstance(here, Mapping) or name not in here:
            return None
        here = here[name]
    return here


def _accepted(kind: str, context: Mapping[str, Any], field: str) -> str | None:
    if kind.endswith(("_type", "_parsing")) and "model" not in kind:
        return _description(field)
    return None


def _description(field: str) -> str | None:
    """The one-line description of `field`."""
    model: Any = ExperimentConfig
    text = None
    for name in field.split("."):
        found = model.model_fields.get(name) if hasattr(model, "model_fields") else None
        if found is None:
            return text
        text, model = found.description, found.annotation
    return text.rstrip(".") if text else None


def _nearest_field(field: str) -> str | None:
    """The right name for an unknown field: in its own section, else anywhere."""
    section, _, name = field.rpartition(".")
    everywhere = known_fields()
    here = [p.rpartition(".")[2] for p in everywhere if p.rpartition(".")[0] == section]
    name = FAMILIAR.get(name, name)
    if found := nearest(name, here):
        return found
    for path in everywhere:
        if path.rpartition(".")[2] == name:
            return path
    leaves = {path.rpartition(".")[2]: path for path in everywhere if "." in path}
    found = nearest(name, leaves)
    return leaves[found] if found else None


def _paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, found in model.model_fields.items():
        yield f"{prefix}{name}"
        if name == "task" and not prefix:
            fields = {f for task in TASKS.values() for f in task.Options.model_fields}
            yield from (f"task.{field}" for field in sorted(fields))
        elif isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
            yield from _paths(found.annotation, f"{prefix}{name}.")
