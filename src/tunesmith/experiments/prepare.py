"""Before an experiment exists: hold what was asked against the data, the model and itself."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tunesmith.config.schema import ExperimentConfig, TrainingConfig
from tunesmith.config.yaml import Draft
from tunesmith.data.dataset import Dataset, load_dataset
from tunesmith.data.sources import is_hub_dataset
from tunesmith.errors import (
    ConfigError,
    DataError,
    ModelError,
    NotFoundError,
    Problem,
    nearest,
)
from tunesmith.experiments.datasets import find_model, open_versions, token_counter
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS
from tunesmith.tasks.base import Task
from tunesmith.tasks.chat_template import writes_date
from tunesmith.training.model import (
    ModelFacts,
    ModelSource,
    inspect_model,
    is_hub_model,
    read_chat_template,
)


@dataclass(frozen=True)
class Prepared:
    """An experiment that can begin: everything it needs was found, and nothing in it is wrong."""

    config: ExperimentConfig
    """The complete configuration: what was left open is decided."""
    task: Task
    dataset: Dataset
    source: ModelSource


@dataclass(frozen=True)
class _Findings:
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
    """Check as `prepare` does, but without torch and without fetching anything from a hub.

    Returns what could not be checked here, in words. Raises ConfigError with every problem.
    """
    if draft.partial is None:
        raise draft.error()
    found = _examine(draft.partial, settings, fetch=False)
    if draft.problems or found.problems:
        raise draft.error(found.problems)
    return found.unchecked


def _examine(config: ExperimentConfig, settings: Settings, *, fetch: bool) -> _Findings:
    """Hold `config` against itself, its model and its data; `fetch`: the hub may be asked."""
    problems = contradictions(config)
    unchecked: list[str] = []
    task = TASKS[config.task_name](config.task)
    source = facts = dataset = None
    if not fetch and is_hub_model(config.model.name):
        unchecked.append(f"model {config.model.name}: on the hub, looked at when training begins")
    else:
        source, facts = _model(config, settings, problems, convert=fetch and not problems)
        if facts is not None:
            problems += _model_problems(config, facts)
        elif source is not None:
            unchecked.append(f"layers of {config.model.name}: known once it is converted")
    if not fetch and _is_on_hub(config.data.dataset_name):
        unchecked.append(
            f"dataset {config.data.dataset_name}: on the hub, looked at when training begins"
        )
    else:
        tokenizer_of = source if fetch and facts is not None and not problems else None
        dataset = _data(config, task, settings, tokenizer_of, problems)
        if dataset is not None:
            problems += _label_problems(config, task)
    return _Findings(task, problems, unchecked, source, facts, dataset)


def _is_on_hub(name: str) -> bool:
    try:
        return is_hub_dataset(name)
    except DataError:
        return False  # reading it will say what is wrong with the name


def contradictions(config: ExperimentConfig) -> list[Problem]:
    """Fields that are right alone and wrong together."""
    training, rules, problems = config.training, config.data.validation_rules, []
    wanted = TASKS[config.task_name].peft_task_type
    if config.lora.task_type not in (None, wanted):
        problems.append(
            Problem(
                "lora.task_type", f"task {config.task_name} needs {wanted}", config.lora.task_type
            )
        )
    if config.model.load_in_4bit and config.model.load_in_8bit:
        problems.append(Problem("model.load_in_8bit", "4 bits are asked for too: choose one", True))
    if training.optim == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
        problems.append(
            Problem(
                "training.optim",
                "needs bitsandbytes (pip install 'tunesmith[quantization]')",
                training.optim,
            )
        )
    for name in training.report_to:
        if importlib.util.find_spec(name) is None:
            problems.append(
                Problem(
                    "training.report_to",
                    f"needs {name} (pip install 'tunesmith[{name}]')",
                    training.report_to,
                )
            )
    if rules.max_text_length is not None and rules.max_text_length < rules.min_text_length:
        problems.append(
            Problem(
                "data.validation_rules.max_text_length",
                f"is below min_text_length, {rules.min_text_length}",
                rules.max_text_length,
            )
        )
    if TASKS[config.task_name].needs_reference:
        problems += _changes_of_the_base(config)
    return problems + _choosing_problems(training, TASKS[config.task_name])


def _changes_of_the_base(config: ExperimentConfig) -> list[Problem]:
    """What leaves other weights behind where the adapter is switched off to ask the base model."""
    lora, why = config.lora, f"changes the base model that {config.task_name} compares with"
    problems = []
    if lora.bias != "none":
        problems.append(Problem("lora.bias", why, lora.bias, "none"))
    if lora.init_lora_weights in ("olora", "pissa"):
        accepted = "true, gaussian, orthogonal"
        problems.append(Problem("lora.init_lora_weights", why, lora.init_lora_weights, accepted))
    return problems


def _choosing_problems(training: TrainingConfig, task: type[Task]) -> list[Problem]:
    """What keeps the best checkpoint from being chosen, or patience from being counted."""
    problems, quick = [], task.quick_metrics
    needs = []
    if training.load_best_model_at_end:
        needs.append("load_best_model_at_end")
        every = training.eval_steps or training.logging_steps
        if training.save_strategy != training.eval_strategy:
            problems.append(
                Problem(
                    "training.save_strategy",
                    "load_best_model_at_end needs a checkpoint at every evaluation",
                    training.save_strategy,
                    f"training.eval_strategy's value, {training.eval_strategy}",
                )
            )
        elif training.save_strategy == "steps" and training.save_steps % every:
            problems.append(
                Problem(
                    "training.save_steps",
                    "load_best_model_at_end needs an evaluation at every checkpoint",
                    training.save_steps,
                    f"a multiple of training.eval_steps, {every}",
                )
            )
    if training.early_stopping_patience:
        needs.append("early_stopping_patience")
    if needs and training.eval_strategy == "no":
        problems.append(
            Problem(
                "training.eval_strategy",
                f"{' and '.join(needs)} need evaluations",
                "no",
                "epoch, steps",
            )
        )
    metric = (training.metric_for_best_model or task.best_metric).removeprefix("eval_")
    if metric not in quick:
        problems.append(
            Problem(
                "training.metric_for_best_model",
                "evaluation during training gives no such metric",
                training.metric_for_best_model,
                ", ".join(quick),
                nearest(metric, quick),
            )
        )
    return problems


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


def _model_problems(config: ExperimentConfig, facts: ModelFacts) -> list[Problem]:
    problems = []
    if facts.max_length is not None and config.data.max_length > facts.max_length:
        problems.append(
            Problem(
                "data.max_length",
                f"{config.model.name} takes at most {facts.max_length} tokens",
                config.data.max_length,
                f"up to {facts.max_length}",
            )
        )
    if not facts.names_known or not facts.modules:
        return problems  # the loaded model is asked
    names = sorted({name.rpartition(".")[2] for name in facts.modules})
    fields = {
        "lora.target_modules": config.lora.target_modules,
        "lora.rank_pattern": list(config.lora.rank_pattern),
        "lora.alpha_pattern": list(config.lora.alpha_pattern),
    }
    for field, wanted in fields.items():
        if not isinstance(wanted, list):
            continue
        for name in wanted:
            if name.isidentifier() and name not in names:
                problems.append(
                    Problem(
                        field,
                        f"{config.model.name} has no layer of this name",
                        name,
                        ", ".join(names)
                        + (", all-linear" if field == "lora.target_modules" else ""),
                        nearest(name, names),
                    )
                )
    return problems


def _label_problems(config: ExperimentConfig, task: Task) -> list[Problem]:
    labels = task.facts().get("labels")
    wanted = config.model.num_labels
    if labels is None or wanted is None or wanted == len(labels):
        return []
    shown = ", ".join(map(str, labels[:10])) + (", …" if len(labels) > 10 else "")
    return [
        Problem(
            "model.num_labels",
            f"the data have {len(labels)} labels ({shown})",
            wanted,
            f"{len(labels)}, or null",
        )
    ]


def _resolved(
    config: ExperimentConfig,
    task: Task,
    dataset: Dataset,
    source: ModelSource,
    facts: ModelFacts,
    today: date,
) -> ExperimentConfig:
    """`config` with what it left open filled in: columns, labels, layers, the hub's commits."""
    options = config.task.model_copy(update=task.resolved(dataset.columns))
    if hasattr(options, "template_date"):
        # Once and for all: resumed or repeated on another day, it reads the same texts.
        dated = writes_date(read_chat_template(source.folder))
        day = (options.template_date or today) if dated else None
        options = options.model_copy(update={"template_date": day})
    labels: Any = task.facts().get("labels")
    return config.model_copy(
        update={
            "task": options,
            "model": config.model.model_copy(
                update={
                    **({"num_labels": len(labels)} if labels is not None else {}),
                    **({"revision": source.identity} if source.from_hub else {}),
                }
            ),
            "data": config.data.model_copy(
                update={"revision": dataset.commit} if dataset.commit else {}
            ),
            "lora": config.lora.model_copy(
                update={
                    "task_type": task.peft_task_type,
                    "target_modules": config.lora.target_modules or facts.target_modules,
                }
            ),
        }
    )
