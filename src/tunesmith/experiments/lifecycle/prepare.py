"""Before an experiment exists: hold what was asked against the data, the model and itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tunesmith.config.schema import ExperimentConfig, TrainingConfig
from tunesmith.config.yaml import Draft
from tunesmith.data.dataset import Dataset, load_dataset
from tunesmith.data.sources import parse_dataset
from tunesmith.errors import (
    ConfigError,
    DataError,
    ModelError,
    NotFoundError,
    Problem,
    nearest,
)
from tunesmith.experiments.datasets.importing import find_model, open_versions, token_counter
from tunesmith.messages import joined, say
from tunesmith.models.inspect import ModelFacts, inspect_model, read_chat_template
from tunesmith.models.locate import ModelSource, parse_model
from tunesmith.names import Hub
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task
from tunesmith.tasks.chats.template import writes_date
from tunesmith.tasks.results import bare_metric


@dataclass(frozen=True)
class Prepared:
    """An experiment that can begin: everything it needs was found, and nothing in it is wrong."""

    config: ExperimentConfig
    """The complete configuration: what was left open is decided."""
    task: Task
    dataset: Dataset
    source: ModelSource


@dataclass(frozen=True)
class _Checked:
    """What was found out about a configuration."""

    task: Task
    problems: list[Problem]
    unchecked: list[str]
    """What could not be looked at here, in words."""
    source: ModelSource | None
    facts: ModelFacts | None
    dataset: Dataset | None


def prepare(draft: Draft, settings: Settings) -> Prepared:
    """Find model and data, check everything, and decide what the configuration leaves open.

    Raises ConfigError with every problem of the schema, the data and the model together, each with
    its place.
    """
    if draft.partial is None:
        raise draft.error()
    # With something wrong already, nothing is fetched or converted only to say more.
    found = _examine(draft.partial, settings, fetch=not draft.problems)
    if draft.problems or found.problems:
        raise draft.error(found.problems)
    if found.source is None or found.facts is None or found.dataset is None:
        raise ConfigError([Problem("", line) for line in found.unchecked])
    today = datetime.now(settings.timezone).date()
    config = _resolved(draft.partial, found.task, found.dataset, found.source, found.facts, today)
    found.task.options = config.task  # as whoever resumes or repeats it will have them
    return Prepared(config, found.task, found.dataset, found.source)


def check(draft: Draft, settings: Settings) -> list[str]:
    """Check as `prepare`, without torch or a hub; returns what wasn't, in words."""
    if draft.partial is None:
        raise draft.error()
    found = _examine(draft.partial, settings, fetch=False)
    if draft.problems or found.problems:
        raise draft.error(found.problems)
    return found.unchecked


def _examine(config: ExperimentConfig, settings: Settings, *, fetch: bool) -> _Checked:
    """Hold `config` against itself, its model and its data; `fetch`: the hub may be asked."""
    problems = list(contradictions(config))
    unchecked: list[str] = []
    task = TASKS[config.task_name](config.task)
    source = facts = dataset = None
    model, data = config.model.name, config.data.dataset_name
    if not fetch and isinstance(parse_model(model), Hub):
        unchecked.append(
            say("model {name}: on the hub, looked at when training begins", name=model)
        )
    else:
        source, facts = _model(config, settings, problems, convert=fetch and not problems)
        if facts is not None:
            problems += _model_problems(config, facts)
        elif source is not None:
            unchecked.append(say("layers of {name}: known once it is converted", name=model))
    if not fetch and isinstance(parse_dataset(data), Hub):
        unchecked.append(
            say("dataset {name}: on the hub, looked at when training begins", name=data)
        )
    else:
        tokenizer_of = source if fetch and facts is not None and not problems else None
        dataset = _data(config, task, settings, tokenizer_of, problems)
        if dataset is not None:
            problems += _label_problems(config, task)
    return _Checked(task, problems, unchecked, source, facts, dataset)


def contradictions(config: ExperimentConfig) -> Iterator[Problem]:
    """Fields that are right alone and wrong together."""
    training, rules, task = config.training, config.data.validation_rules, TASKS[config.task_name]
    if config.lora.task_type not in (None, task.peft_task_type):
        why = say("task {task} needs {wanted}", task=task.name, wanted=task.peft_task_type)
        yield Problem("lora.task_type", why, config.lora.task_type)
    if config.model.load_in_4bit and config.model.load_in_8bit:
        yield Problem("model.load_in_8bit", say("4 bits are asked for too: choose one"), True)
    if training.optim == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
        why = say("needs bitsandbytes (pip install 'tunesmith[quantization]')")
        yield Problem("training.optim", why, training.optim)
    for name in training.report_to:
        if importlib.util.find_spec(name) is None:
            why = say("needs {name} (pip install 'tunesmith[{extra}]')", name=name, extra=name)
            yield Problem("training.report_to", why, training.report_to)
    longest = rules.max_text_length
    if longest is not None and longest < rules.min_text_length:
        why = say("is below min_text_length, {n}", n=rules.min_text_length)
        yield Problem("data.validation_rules.max_text_length", why, longest)
    if task.needs_reference:
        yield from _changes_of_the_base(config)
    yield from _choosing_problems(training, task)


def _changes_of_the_base(config: ExperimentConfig) -> Iterator[Problem]:
    """What leaves other weights behind where the adapter is switched off to ask the base model."""
    lora = config.lora
    why = say("changes the base model that {task} compares with", task=config.task_name)
    if lora.bias != "none":
        yield Problem("lora.bias", why, lora.bias, "none")
    if lora.init_lora_weights in ("olora", "pissa"):
        accepted = "true, gaussian, orthogonal"
        yield Problem("lora.init_lora_weights", why, lora.init_lora_weights, accepted)


def _choosing_problems(training: TrainingConfig, task: type[Task]) -> Iterator[Problem]:
    """What keeps the best checkpoint from being chosen, or patience from being counted."""
    if training.load_best_model_at_end:
        every = training.eval_steps or training.logging_steps
        if training.save_strategy != training.eval_strategy:
            yield Problem(
                "training.save_strategy",
                say("load_best_model_at_end needs a checkpoint at every evaluation"),
                training.save_strategy,
                say("training.eval_strategy's value, {value}", value=training.eval_strategy),
            )
        elif training.save_strategy == "steps" and training.save_steps % every:
            yield Problem(
                "training.save_steps",
                say("load_best_model_at_end needs an evaluation at every checkpoint"),
                training.save_steps,
                say("a multiple of training.eval_steps, {n}", n=every),
            )
    fields = ("load_best_model_at_end", "early_stopping_patience")
    needs = [name for name in fields if getattr(training, name)]
    if needs and training.eval_strategy == "no":
        why = say("{names} need evaluations", names=joined(needs, " and "))
        yield Problem("training.eval_strategy", why, "no", "epoch, steps")
    quick = task.quick_metrics()
    metric = bare_metric(training.metric_for_best_model or task.best_metric)
    if metric not in quick:
        yield Problem(
            "training.metric_for_best_model",
            say("evaluation during training gives no such metric"),
            training.metric_for_best_model,
            ", ".join(quick),
            nearest(metric, quick),
        )


def _model(
    config: ExperimentConfig, settings: Settings, problems: list[Problem], *, convert: bool
) -> tuple[ModelSource | None, ModelFacts | None]:
    try:
        source = find_model(config, settings, convert=convert)
        return source, inspect_model(source.folder) if source.folder.is_dir() else None
    except ModelError as error:
        problems.append(_as_problem(error, "model.name"))
        return None, None


def _data(
    config: ExperimentConfig,
    task: Task,
    settings: Settings,
    model: ModelSource | None,
    problems: list[Problem],
) -> Dataset | None:
    """The data, checked; with `model`, whose tokenizer tells what is cut, that too."""
    try:
        return load_dataset(
            config.data,
            task,
            settings.token,
            versions=open_versions(settings),
            tokens=token_counter(task, model),
        )
    except ModelError as error:
        problems.append(_as_problem(error, "model.name"))
    except ConfigError as error:
        problems += error.problems
    except (DataError, NotFoundError) as error:
        problems.append(_as_problem(error, "data.dataset_name"))
    return None


def _as_problem(error: Exception, field: str) -> Problem:
    text = str(error)
    stated, separator, rest = text.partition(": ")
    if separator and stated.startswith(("model.", "data.", "task.")) and " " not in stated:
        return Problem(stated, rest)
    return Problem(field, text)


def _model_problems(config: ExperimentConfig, facts: ModelFacts) -> Iterator[Problem]:
    model, lora, most = config.model.name, config.lora, facts.max_length
    if most is not None and config.data.max_length > most:
        why = say("{model} takes at most {n} tokens", model=model, n=most)
        yield Problem("data.max_length", why, config.data.max_length, say("up to {n}", n=most))
    if not facts.names_known or not facts.modules:
        return  # the loaded model is asked
    names = sorted({name.rpartition(".")[2] for name in facts.modules})
    why, known = say("{model} has no layer of this name", model=model), ", ".join(names)
    for field, wanted, accepted in (
        ("lora.target_modules", lora.target_modules, f"{known}, all-linear"),
        ("lora.rank_pattern", lora.rank_pattern, known),
        ("lora.alpha_pattern", lora.alpha_pattern, known),
    ):
        for name in wanted if isinstance(wanted, list | dict) else ():
            if name.isidentifier() and name not in names:
                yield Problem(field, why, name, accepted, nearest(name, names))


def _label_problems(config: ExperimentConfig, task: Task) -> Iterator[Problem]:
    labels, wanted = task.facts().get("labels"), config.model.num_labels
    if labels is not None and wanted not in (None, len(labels)):
        shown = ", ".join(map(str, labels[:10])) + (", …" if len(labels) > 10 else "")
        why = say("the data have {n} labels ({labels})", n=len(labels), labels=shown)
        yield Problem("model.num_labels", why, wanted, say("{n}, or null", n=len(labels)))


def _resolved(
    config: ExperimentConfig,
    task: Task,
    dataset: Dataset,
    source: ModelSource,
    facts: ModelFacts,
    today: date,
) -> ExperimentConfig:
    """`config` with what it left open filled in: columns, labels, layers, the hub's commits."""
    options = config.task.model_copy(update=task.resolved())
    if hasattr(options, "template_date"):
        # Once and for all: resumed or repeated on another day, it reads the same texts.
        dated = writes_date(read_chat_template(source.folder))
        day = (options.template_date or today) if dated else None
        options = options.model_copy(update={"template_date": day})
    labels: Any = task.facts().get("labels")
    commit, layout = dataset.source.commit, dataset.identity["layout"]
    modules = config.lora.target_modules or facts.target_modules
    return config.model_copy(
        update={
            "task": options,
            "model": config.model.model_copy(
                update=({} if labels is None else {"num_labels": len(labels)})
                | ({"revision": source.identity} if source.from_hub else {})
            ),
            "data": config.data.model_copy(
                update=({"revision": commit} if commit else {})
                | ({"layout": layout} if layout else {})
            ),
            "lora": config.lora.model_copy(
                update={"task_type": task.peft_task_type, "target_modules": modules}
            ),
        }
    )
