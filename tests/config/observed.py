"""What of a configuration can be seen once it was acted on: never the configuration itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft
from tunesmith.errors import TunesmithError, UserError
from tunesmith.experiments.interface import train
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.experiments.lifecycle.reconcile import Restart, give_up
from tunesmith.experiments.lifecycle.submission import enqueue
from tunesmith.models.adapter import add_adapter
from tunesmith.settings import Settings
from tunesmith.store.store import Store
from tunesmith.tasks.results import Prediction
from tunesmith.training.encoding import encode
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.evidence.selection import choose
from tunesmith.training.fitting import _trainer
from tunesmith.training.plan import make_plan
from tunesmith.training.ranks.group import Group
from tunesmith.training.reporting.callbacks import Progress
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Encoded, Placed, Training
from tunesmith.training.starting import adapted_model, base_model, begin

Asked = Mapping[str, Any]


def with_fields(asked: Asked, fields: Asked) -> dict[str, Any]:
    """`asked` with values for dotted `fields`."""
    changed = copy.deepcopy(dict(asked))
    for path, value in fields.items():
        *sections, last = path.split(".")
        at = changed
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
    return changed


def configured(asked: Asked) -> ExperimentConfig:
    return read_draft(asked).config()


def started(asked: Asked, settings: Settings) -> tuple[Prepared, Training]:
    found = prepare(read_draft(asked), settings)
    data = TrainingData(
        found.dataset.train, found.dataset.evaluation, {}, validation=found.dataset.validation
    )
    folder = settings.results_dir / "one"
    plan = make_plan(found.config)
    return found, Training(found.config, found.task, data, found.source, plan, folder, Reporter())


def encoded(asked: Asked, settings: Settings) -> Encoded:
    _, work = started(asked, settings)
    return encode(work, begin(work))


def plan(asked: Asked, settings: Settings) -> Any:
    """How this machine will run it, or why it can't."""
    try:
        return asdict(make_plan(configured(asked)))
    except UserError as error:
        return str(error)


def data(asked: Asked, settings: Settings) -> Any:
    """Rows of all sides, their columns, what the task learned of them, and the report."""
    try:
        found = prepare(read_draft(asked), settings)
    except UserError as error:
        return str(error)
    rows, report = found.dataset, found.dataset.report
    return (
        rows.train, rows.validation, rows.evaluation, rows.columns, found.task.facts(),
        report.table.rows(),
        report.notes, report.is_balanced, rows.source.location,
    )  # fmt: skip


def promise(asked: Asked, settings: Settings) -> Any:
    """From which confidence on it answers, where sure answers are right and others by halves."""
    rows = [
        Prediction(row, "t", "a", "a", row % 2 == 0 or row > 200, confidence=0.5 + row / 1200)
        for row in range(600)
    ]
    data, ending = SimpleNamespace(validation_groups=None), SimpleNamespace(metric=None)
    work: Any = SimpleNamespace(
        task=prepare(read_draft(asked), settings).task, data=data, ending=ending
    )
    return choose(work, rows)


def model(asked: Asked, settings: Settings) -> Any:
    """The base model that was found."""
    return prepare(read_draft(asked), settings).source


def adapter(asked: Asked, settings: Settings) -> Any:
    """What trains, and how the layers compute; or why there is no such adapter."""
    config = configured(asked)
    transformers.set_seed(0)
    _, work = started(asked, settings)
    base, fresh = base_model(config, work.task, work.source, work.plan)
    adapted = add_adapter(
        base, config.lora, task_type=work.task.peft_task_type, fresh_modules=fresh, quantized=False
    )
    weights = {
        name: (tuple(weight.shape), float(weight.detach().double().sum()))
        for name, weight in adapted.named_parameters()
        if weight.requires_grad
    }
    layers = {
        name: (dict(layer.scaling), str(layer.lora_dropout), type(layer).__name__)
        for name, layer in adapted.named_modules()
        if hasattr(layer, "lora_dropout")
    }
    return weights, layers


def tokens(asked: Asked, settings: Settings) -> Any:
    """Encoded rows, the chat template that is saved, and how long answers may be."""
    work = encoded(asked, settings)
    generation = work.task.generation_settings(work.tokenizer)
    longest = None if generation is None else generation.max_new_tokens
    template = work.tokenizer.chat_template
    return work.train_examples, work.eval_examples, template, longest


def loss(asked: Asked, settings: Settings) -> float:
    """Of a batch, by a model that has learned nothing."""
    work = encoded(asked, settings)
    said = {"reference_chosen": -5.0, "reference_rejected": -9.0}
    rows = [{**example, **said} for example in work.train_examples[:4]]
    batch = work.task.collate(rows, work.tokenizer.pad_token_id)
    model = base_model(work.config, work.task, work.source, work.plan)[0].float()
    with torch.no_grad():
        return float(work.task.loss(model, batch, work.task.count_items(batch)))


def trainer(asked: Asked, settings: Settings) -> Any:
    """What the trainer is told, in which order it takes rows, and what else watches its steps."""
    work = encoded(asked, settings)
    placed = Placed.after(work, rows_judged=work.config.eval_batch_size)
    found = _trainer(placed, adapted_model(placed), Group(), Judge(placed), Progress())
    callbacks = [
        (type(each).__name__, {k: v for k, v in vars(each).items() if isinstance(v, int | float)})
        for each in found.callback_handler.callbacks
    ]
    return found.args.to_dict(), list(found._get_train_sampler()), callbacks, placed.rows_judged


def waiting(asked: Asked, settings: Settings) -> Any:
    """The record of it in the queue, and whether its folder is named so."""
    with Store(settings.store_url) as store:
        found = enqueue(read_draft(asked), store, settings)
    named = Path(found.directory or "").name.startswith(f"{found.name}_")
    return found.name, named, found.task, found.queue, found.priority


def restarted(asked: Asked, settings: Settings) -> Any:
    """Its status after its process died once."""
    with Store(settings.store_url) as store:
        queued = enqueue(read_draft(asked), store, settings)
        taken = None
        while taken is None or taken.id != queued.id:
            taken = store.queue.take(
                ["cpu"], lease="token", worker="one", host="here", phase="training"
            )
        return give_up(taken, "It died.", store, restart=Restart.COUNTED).status


def ended(asked: Asked, settings: Settings) -> Any:
    """How a training ends, and what it leaves in its folder."""
    often = settings.model_copy(update={"lease_seconds": 1.0})  # its heartbeat sees the time
    try:
        found = train(asked, settings=often)
    except TunesmithError as error:
        return str(error)
    return found.status, sorted(path.name for path in found.path.iterdir())


def measured(asked: Asked, settings: Settings) -> list[str]:
    """What is measured of a training."""
    return sorted(train(asked, settings=settings).metrics)
