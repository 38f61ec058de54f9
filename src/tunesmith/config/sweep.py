"""A sweep file: the base configuration, what is varied in it, how it is searched and judged."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.config.parameter import Parameter
from tunesmith.config.problems import (
    field_schema,
    in_words,
    nearest_field,
    size_problems,
    value_at,
)
from tunesmith.config.schema import ExperimentConfig, ExperimentName
from tunesmith.config.section import Section
from tunesmith.config.yaml import Draft, read_draft, read_mapping
from tunesmith.errors import (
    MOST_PROBLEMS,
    ConfigError,
    Problem,
    first_problems,
    more_problems,
    nearest,
)
from tunesmith.messages import marked, say
from tunesmith.messages.foreign import of_pydantic
from tunesmith.tasks import TASKS
from tunesmith.tasks.results import bare_metric

MOST_TRIALS = 1000
MOST_PARAMETERS = 50
DEFAULT_TRIALS = 20
"""Where neither `trials` nor a grid says how many."""

Values = Mapping[str, Any]
"""Dotted field → value: one setting."""


class SweepConfig(Section):
    """Everything that is asked of one sweep."""

    sweep_name: ExperimentName = Field(
        "sweep", description="Name of the sweep, and the beginning of its experiments' names."
    )
    base: dict[str, Any] | str = Field(
        description="The configuration that is varied: a YAML file beside this one, or its fields."
    )
    set: dict[str, Any] = Field(
        default_factory=dict, description="Dotted field → value, for all trials."
    )
    parameters: dict[str, Parameter] = Field(
        min_length=1,
        max_length=MOST_PARAMETERS,
        description="Dotted field → {low, high}, with log or step, or {choices}.",
    )
    sampler: Literal["grid", "random", "tpe"] = Field(
        "tpe", description="How settings are chosen: all of them, at random, or by what was found."
    )
    pruner: Literal["none", "median", "asha"] = Field(
        "none", description="How trials that look bad are ended early, by evaluations in training."
    )
    reduction_factor: int = Field(
        3, ge=2, le=16, description="asha goes on with one trial of so many at each rung."
    )
    metric: str | None = Field(
        None, description="What it is judged by; null: the task's main metric, or its own for best."
    )
    direction: Literal["maximize", "minimize"] | None = Field(
        None, description="null: minimize a loss or an error, maximize a score, as the task says."
    )
    trials: int | None = Field(
        None, ge=1, le=MOST_TRIALS, description="Settings to try; null: the whole grid, else 20."
    )
    parallel: int | None = Field(
        None, ge=1, le=256, description="Trials at once; null: as many as workers have slots."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the choice of settings.")
    seeds: int = Field(
        1, ge=1, le=20, description="Times each setting is trained, with a seed each; their mean "
        "counts.",
    )  # fmt: skip
    baseline: bool = Field(
        True, description="Train the base configuration first, never pruned, to compare with it."
    )

    @property
    def experiment(self) -> ExperimentConfig:
        """The base configuration, once it was read."""
        return ExperimentConfig.model_validate(self.base)

    @property
    def base_values(self) -> dict[str, Any]:
        """The base configuration's own setting: its values of the parameters."""
        return {path: value_at(self.base, path) for path in self.parameters}

    def grid(self) -> list[dict[str, Any]]:
        """Every setting of a grid but the base configuration's, where that is tried anyway."""
        listed = [parameter.listed() for parameter in self.parameters.values()]
        every = [
            dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*listed)
        ]
        return [each for each in every if not self.baseline or each != self.base_values]

    @property
    def total(self) -> int:
        """How many trials it has, the baseline among them."""
        if self.sampler == "grid":
            most = len(self.grid()) + self.baseline
            return most if self.trials is None else min(self.trials, most)
        return self.trials or DEFAULT_TRIALS

    @property
    def startup(self) -> int:
        """Trials before anything is learned from them: a quarter, but 3 to 10."""
        return max(3, min(10, self.total // 4))

    def setting(self, values: Values, number: int, repetition: int) -> Draft:
        """The configuration of trial `number` with these values, trained for the nth time."""
        seed = {"training.seed": self.experiment.training.seed + repetition} if repetition else {}
        name = f"{self.sweep_name}-{number}" + (f"-{repetition}" if self.seeds > 1 else "")
        fields = {"experiment_name": name, **values, **seed}
        return read_draft(dict(self.base) if isinstance(self.base, dict) else {}, fields=fields)


def read_sweep(source: Path | Mapping[str, Any]) -> SweepConfig:
    """Read a sweep from a YAML file or a mapping; its base configuration is read with it.

    Raises ConfigError with every problem, each with its line.
    """
    places: dict[str, str] = {}
    problems: list[Problem] = []
    folder = source.parent if isinstance(source, Path) else None
    values = read_mapping(source, places, problems) if isinstance(source, Path) else source
    if too_large := size_problems(values):
        raise ConfigError(too_large).located(places)
    sweep = _own_fields(values, problems)
    draft = None if sweep is None else _base(sweep, folder, problems)
    if sweep is not None and draft is not None and draft.partial is not None:
        problems += first_problems([*_parameter_problems(sweep, draft.partial)])
        if not problems:
            sweep = _completed(sweep, draft.partial)
            problems += _choice_problems(sweep)
    if sweep is None or problems:
        raise ConfigError(problems).located(places)
    return sweep


def _own_fields(values: Mapping[str, Any], problems: list[Problem]) -> SweepConfig | None:
    """The sweep; its fields' problems are added to `problems`.

    With problems, it is the sweep without the fields that have them, so that the rest can be
    checked as well; None where too little is left.
    """
    try:
        return SweepConfig.model_validate(values)
    except ValidationError as error:
        errors = {".".join(_parts(each)): each for each in error.errors(include_url=False)}
        problems += map(_explained, [*errors.values()][:MOST_PROBLEMS])
        problems += more_problems(len(errors) - MOST_PROBLEMS)
        wrong = {field.partition(".")[0] for field in errors} - {"parameters"}
        bad = {
            str(each["loc"][1]) for each in error.errors()
            if each["loc"][0] == "parameters" and len(each["loc"]) > 1
        }  # fmt: skip
    rest = {name: value for name, value in values.items() if name not in wrong}
    if isinstance(rest.get("parameters"), Mapping):
        rest["parameters"] = {k: v for k, v in rest["parameters"].items() if k not in bad}
    try:
        return SweepConfig.model_validate(rest)
    except ValidationError:
        return None


def _base(sweep: SweepConfig, folder: Path | None, problems: list[Problem]) -> Draft | None:
    """The base configuration with what is set for all; its problems are added to `problems`.

    A base file lies in `folder`; None over the network, where there is none.
    """
    base: Any = sweep.base
    if isinstance(base, str):
        if folder is None:
            message = say("must be the fields of a configuration; files are read from disk only")
            problems.append(Problem("base", message, base))
            return None
        base = folder / base
    try:
        draft = read_draft(base, fields=sweep.set)
    except ConfigError as error:
        problems += error.problems
        return None
    for wrong in draft.problems:
        if wrong.field in sweep.set:
            problems.append(replace(wrong, field=f"set.{wrong.field}", place=None))
        else:
            moved = replace(wrong, field=f"base.{wrong.field}")
            problems.append(wrong if wrong.place else moved)
    return draft


def _parameter_problems(sweep: SweepConfig, base: ExperimentConfig) -> Iterator[Problem]:
    """Parameters that are no fields, and values that their fields don't take."""
    tried = sum(len(parameter.choices or ()) for parameter in sweep.parameters.values())
    if tried > MOST_TRIALS:
        most = say("at most {n:,}", n=MOST_TRIALS)
        yield Problem("parameters", say("has {n:,} choices", n=tried), accepted=most)
        return
    values = base.model_dump(mode="json")
    for path, parameter in sweep.parameters.items():
        field = f"parameters.{path}"
        if field_schema(path, base.task_name) is None or path == "experiment_name":
            near = nearest_field(path, base.task_name)
            suggestion = near if near != path else None
            yield Problem(field, say("is no field that can be varied"), suggestion=suggestion)
            continue
        if sweep.seeds > 1 and path == "training.seed":
            yield Problem(field, say("is varied by seeds already: choose one of the two"))
        ends = {"low": parameter.low, "high": parameter.high}
        given = [("choices", value) for value in parameter.choices or ()]
        given += [(name, end) for name, end in ends.items() if end is not None]
        for name, value in given:
            fitting = as_field(value, path, base.task_name)
            for wrong in read_draft(values, fields={path: fitting}).problems:
                if wrong.field == path:
                    yield replace(wrong, field=f"{field}.{name}")
        yield from _range_problems(sweep, path, parameter, base.task_name)
    counts = [parameter.count for parameter in sweep.parameters.values()]
    size = math.prod(counts)
    if sweep.sampler == "grid" and size > MOST_TRIALS and all(map(math.isfinite, counts)):
        most = say(
            "at most {most_trials:,} settings; random and tpe try some of more",
            most_trials=MOST_TRIALS,
        )
        yield Problem("sampler", say("this grid has {n:,.0f} settings", n=size), "grid", most)


def _range_problems(
    sweep: SweepConfig, path: str, parameter: Parameter, task: str
) -> Iterator[Problem]:
    """What is wrong with a range for this field."""
    field = f"parameters.{path}"
    if parameter.choices is None and not _kinds(path, task) & {"integer", "number"}:
        yield Problem(field, say("is no number: it has no range"), accepted="choices")
    if parameter.step is not None and is_whole(path, task) and parameter.step % 1:
        yield Problem(f"{field}.step", say("must be a whole number"), parameter.step)
    if sweep.sampler == "grid" and math.isinf(parameter.count):
        yield Problem(
            field, say("has no end of values for a grid"), accepted=say("choices, or a step")
        )


def as_field(value: Any, path: str, task: str) -> Any:
    """`value` of a range as the field at `path` takes it: a whole number where it needs one."""
    if isinstance(value, float) and value.is_integer() and is_whole(path, task):
        return int(value)
    return value


def is_whole(path: str, task: str) -> bool:
    """Whether the field at `path` takes whole numbers only."""
    kinds = _kinds(path, task)
    return "integer" in kinds and "number" not in kinds


def _kinds(path: str, task: str) -> set[str]:
    """JSON's names of the types that the field at `path` takes."""
    schema = field_schema(path, task) or {}
    return {str(branch.get("type")) for branch in schema.get("anyOf", [schema])}


def _completed(sweep: SweepConfig, base: ExperimentConfig) -> SweepConfig:
    """The sweep with its base inside, and the metric and direction that it left open."""
    task = TASKS[base.task_name]
    asked = sweep.metric or base.training.metric_for_best_model
    live = sweep.pruner == "none" or task.main_metric in task.quick_metrics()
    metric = bare_metric(asked or (task.main_metric if live else task.best_metric))
    falls = task.prefers_lower(metric)
    if sweep.metric is None and asked and base.training.greater_is_better is not None:
        falls = not base.training.greater_is_better
    return sweep.model_copy(
        update={
            "base": base.model_dump(mode="json"),
            "set": {},
            "metric": metric,
            "direction": sweep.direction or ("minimize" if falls else "maximize"),
        }
    )


def _choice_problems(sweep: SweepConfig) -> Iterator[Problem]:
    """A metric that nothing gives, and pruning without anything to prune by."""
    base, training = sweep.experiment, sweep.experiment.training
    task = TASKS[base.task_name]
    known = task.quick_metrics()
    known += () if sweep.pruner != "none" else (task.main_metric,)
    if sweep.metric not in known:
        accepted = ", ".join(dict.fromkeys(known))
        message = say("evaluation gives no such metric")
        if sweep.pruner != "none":
            message = say("evaluation during training gives no such metric")
        near = nearest(str(sweep.metric), known)
        yield Problem("metric", message, sweep.metric, accepted, near)
    longest = sweep.setting({}, MOST_TRIALS, sweep.seeds)
    if any(problem.field == "experiment_name" for problem in longest.problems):
        message = say("is too long: its experiments' names begin with it")
        yield Problem("sweep_name", message, sweep.sweep_name)
    varied = {"training.eval_strategy", "training.num_train_epochs"} & sweep.parameters.keys()
    once = training.eval_strategy == "epoch" and training.num_train_epochs <= 1
    if sweep.pruner != "none" and not varied and (training.eval_strategy == "no" or once):
        yield Problem(
            "pruner",
            say("nothing is evaluated before the end of training, so that nothing could be pruned"),
            sweep.pruner,
            say("none, or set: {{training.eval_strategy: steps}}"),
        )


def _parts(error: ErrorDetails) -> list[str]:
    """The path of the field that the error is in, without the kinds of value that it may have."""
    return [str(part) for part in error["loc"] if part not in ("str", "dict[str,any]")]


def _explained(error: ErrorDetails) -> Problem:
    """Pydantic's error in the user's words."""
    parts = _parts(error)
    field, kind = ".".join(parts), error["type"]
    in_parameter = parts[:1] == ["parameters"] and len(parts) > 2
    model: type[BaseModel] = Parameter if in_parameter else SweepConfig
    name = parts[-1] if parts else ""
    if kind == "extra_forbidden":
        return Problem(field, say("unknown field"), suggestion=nearest(name, model.model_fields))
    if kind == "missing":
        description = marked((model.model_fields[name].description or "").rstrip("."))
        return Problem(field, say("required, and not given"), accepted=description)
    properties = model.model_json_schema()["properties"]
    schema = properties.get(name, {"$ref": ""})
    # A section, or a value of several fields or items, is beyond `in_words`.
    is_plain = not any(mark in json.dumps(schema) for mark in ('"$ref"', '"object"', '"array"'))
    accepted = in_words(schema) if is_plain else None
    message = say("unknown value") if kind == "literal_error" else of_pydantic(error)
    value = error["input"]
    return Problem(field, message, value, accepted, nearest(str(value), schema.get("enum", ())))
