"""What every export needs: the adapter on its base model, and its answers to the held-out rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError
from tunesmith.files.writing import hashes, write_json
from tunesmith.messages import joined, say
from tunesmith.models.adapter import load_adapter
from tunesmith.models.inspect import inspect_model
from tunesmith.models.load import load_base, load_tokenizer
from tunesmith.models.locate import ModelSource
from tunesmith.models.reader_files import framed, write_settings
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.device import for_device, too_big, total_memory
from tunesmith.serving.exporters.parts.agreement import (
    FORMATS,
    TOLERANCES,
    Agreement,
    check_record,
    compare,
)
from tunesmith.serving.exporters.parts.calibrated import divide_scores
from tunesmith.serving.exporters.parts.held_out import HeldOut, held_out
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.tasks.base import Example, Task
from tunesmith.tasks.chats.messages import Message, tools_of
from tunesmith.tasks.chats.task import ChatTask
from tunesmith.tasks.parts.calibrated import CalibratedTask
from tunesmith.tasks.parts.columns import pad
from tunesmith.tasks.results import Prediction
from tunesmith.training.evidence.evaluation import in_batches
from tunesmith.training.evidence.judging import Judge
from tunesmith.training.memory.halving import free_memory
from tunesmith.training.plan import Plan, make_plan
from tunesmith.training.reporting.card import Card, Form
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Encoded, Placed
from tunesmith.training.starting import base_model, quiet

DESCRIBED = "tunesmith.json"
"""The file of an adapter's folder that says its task, and goes with what is made of it."""

WHOLE = 1 << 40
"""More tokens than any chat has: it is encoded whole."""

Progress = Callable[[str], None]
"""Hears what is being done now."""


@dataclass
class Work:
    """One adapter that is being exported."""

    experiment: Experiment
    adapter: SavedAdapter
    config: ExperimentConfig
    task: Task
    source: ModelSource
    tokenizer: Any
    plan: Plan
    """How the adapter is computed here: in the number format of the export, without autocast."""
    given: HeldOut
    examples: list[Example]
    judge: Judge
    """Asks models about the held-out rows."""
    progress: Progress
    own: Sequence[Prediction] = ()
    """The adapter's predictions, once `adapted` gave it."""
    chats: Mapping[int, list[Message]] = field(default_factory=dict)
    """The held-out rows' chats by the rows' positions, as somebody else asks them."""
    answers: Mapping[int, str] = field(default_factory=dict)
    """What the adapter answers to these, once `adapted` gave it."""
    divided: float = 1.0
    """What the export divides the adapter's scores by, so that nobody else has to."""

    free = staticmethod(free_memory)
    """Let go of models that nothing names any more."""

    def adapted(self) -> Any:
        """The adapter on a fresh base model, after its predictions were compared with the record.

        Raises VerificationError when it isn't what it was.
        """
        self.progress(
            say("loading {name} in {weights}", name=self.source.name, weights=self.plan.weights)
        )
        base, _ = base_model(self.config, self.task, self.source, self.plan)
        model = load_adapter(base, self.adapter.folder)
        self.judge.add_references(model, self.examples)
        self.progress(say("asking the adapter {n:,} held-out rows", n=len(self.given.rows)))
        self.own = self.judge.predictions(model)
        check_record(self.own, self.given.recorded, self.experiment.id)
        self.answers = self._answers(model)
        return model

    def _answers(self, model: Any) -> dict[int, str]:
        """The answers of the adapter to the chats: what it was judged by, else as it is served."""
        if self.task.judged_by_text:
            return {n: str(self.own[n].predicted) for n in self.chats}
        questions = [self.task.question({"messages": chat}) for chat in self.chats.values()]
        examples = self.task.encode_questions(questions, self.tokenizer, WHOLE)
        with torch.inference_mode():
            found = in_batches(
                examples,
                self.judge.rows,
                lambda batch: self.task.answer(model, batch, self.tokenizer),
            )
        return {n: str(one.answer) for n, one in zip(self.chats, found, strict=True)}

    def merged(self) -> Any:
        """The base model with the adapter's weights added to its own, in the export's format."""
        model = self.adapted().merge_and_unload()
        task = self.task
        if isinstance(task, CalibratedTask) and divide_scores(model, task):
            self.take_temperature()
        return model.to(getattr(torch, self.plan.weights)).eval()

    def take_temperature(self) -> None:
        """From now on the export's own scores are divided by the adapter's temperature."""
        if isinstance(self.task, CalibratedTask):
            self.divided, self.task.temperature = self.task.temperature, 1.0

    def reload(self, folder: Path) -> Any:
        """The model in `folder`, as anybody would load it.

        Raises ModelError when a weight is missing.
        """
        model, fresh = load_base(
            ModelSource(folder.name, folder, False, ""),
            auto_class=self.task.auto_class,
            arguments={},
            weights=self.plan.weights,
            attention=None if self.plan.attention == "auto" else self.plan.attention,
            device=self.plan.device,
        )
        if fresh:
            raise ModelError("the export lacks the weights of {names}.", names=list(fresh))
        return model

    def verify(
        self,
        model: Any,
        tokenizer: Any,
        *,
        known: Sequence[Prediction] | None = None,
        examples: Sequence[Example] | None = None,
        form: str | None = None,
    ) -> Agreement:
        """Raises VerificationError where the exported `model` doesn't answer as the adapter does.

        Chats are asked as whoever has nothing but the export asks them: by the chat template of its
        `tokenizer`, and by the model's own generation settings. `known` is what it predicts, where
        that need not be found; `examples` are the held-out rows as its tokenizer reads them; `form`
        is the number format, where it isn't that of the weights.
        """
        text = self.task.judged_by_text
        exported = known or self.judge.predictions(model, generate=not text, examples=examples)
        if self.divided != 1.0:
            exported = [
                replace(one, scores=tuple(score * self.divided for score in one.scores))
                for one in exported
            ]
        chats: dict[int, str] = {}
        if isinstance(self.task, ChatTask):
            self.progress(say("asking it by its own chat template"))
            found = _read_answers(model, tokenizer, [*self.chats.values()], self.judge.rows)
            opened = self.task.format(self.tokenizer).opened
            said = [f"{opened}{text}".strip() for text in found]
            chats = dict(zip(self.chats, said, strict=True))
        if text:  # rows without a chat were cut, and nobody can ask them
            exported = [
                replace(one, predicted=chats.get(n, self.own[n].predicted))
                for n, one in enumerate(exported)
            ]
        return compare(
            self.own,
            exported,
            self.given.recorded,
            TOLERANCES[form or self.plan.weights],
            generated=self.task.writes_text,
            chats=[(self.answers[n], text) for n, text in chats.items()],
        )

    @property
    def card(self) -> Card:
        """The experiment's card."""
        return Card(self.config, self.task, self.source, self.experiment.metrics)

    def describe(self, folder: Path, form: Form, code: str) -> None:
        """Put what is known of the adapter into `folder`: its task, its card, and what others read
        beside the weights. `code` uses what lies there, which `form` names.
        """
        with framed(self.task, self.tokenizer):
            self.tokenizer.save_pretrained(folder)
        write_settings(folder, self.task, self.tokenizer)
        if (self.adapter.folder / DESCRIBED).resolve() != (folder / DESCRIBED).resolve():
            described = json.loads((self.adapter.folder / DESCRIBED).read_text(encoding="utf-8"))
            if self.divided != 1.0:
                described["facts"]["temperature"] = 1.0
            write_json(folder / DESCRIBED, described)
        self.card.write(folder, form, code)

    def note(self) -> str:
        """What whoever asks the export as a chat should know."""
        framing = self.task.framing()
        return joined(framing.sentences(), "; ") if framing else ""

    def certify(self, folder: Path, target: str, agreement: Agreement) -> dict[str, str]:
        """Write `export.json`, which says what was exported and how it was verified.

        Returns the hashes of all files.
        """
        framing = self.task.framing()
        packages = ("tunesmith", "torch", "transformers", "peft")
        write_json(
            folder / "export.json",
            {
                "target": target,
                "experiment": self.experiment.id,
                "name": self.experiment.name,
                "base_model": {"name": self.source.name, "identity": self.source.identity},
                "weights": self.plan.weights,
                "mended": list(self.adapter.read_mended()),
                "scores_divided_by": self.divided,
                **({"chats": framing.to_json()} if framing else {}),
                "verified": asdict(agreement),
                "packages": {name: version(name) for name in packages},
                "files": hashes(folder),
            },
        )
        return hashes(folder)


def begin(
    experiment: Experiment,
    settings: Settings,
    *,
    weights: str | None = None,
    device: str | None = None,
    rows: int | None = None,
    weights_hash: str | None = None,
    progress: Progress = lambda _: None,
) -> Work:
    """Find everything that an export of `experiment` needs, before anything heavy is loaded.

    `weights` is one of FORMATS; None: the one that the base model is stored in. `rows`: how many
    held-out rows to verify by; None: all. Raises StateError, NotFoundError, ModelError, DataError,
    DeviceError.
    """
    quiet()
    adapter = locate_adapter(experiment, settings, weights_hash)
    asked = adapter.read_config()
    # The adapter can be added to whole weights only.
    whole = asked.model.model_copy(update={"load_in_4bit": False, "load_in_8bit": False})
    config = for_device(asked.model_copy(update={"model": whole}), device or "cpu")
    task = adapter.read_task()
    progress(say("looking for the base model"))
    source = adapter.find_base(config, settings)
    adapter.check_base(source)
    weights = weights or _stored_format(source)
    plan = replace(make_plan(config), weights=weights, precision="float32")
    _check_memory(source, plan)
    tokenizer = load_tokenizer(source)
    task.prepare_tokenizer(tokenizer)
    given = held_out(experiment, config, task, settings, rows)
    longest_answer = task.facts()
    examples = task.encode(given.rows, tokenizer, config.data.max_length)
    task.restore(longest_answer)  # the rows must not change how long an answer may be
    data = TrainingData([], given.rows, {})
    judged = Encoded(
        config, task, data, source, plan, adapter.folder, Reporter(),
        tokenizer=tokenizer, train_rows=[], train_examples=[], eval_examples=examples,
    )  # fmt: skip
    judge = Judge(Placed.after(judged, rows_judged=config.eval_batch_size))
    work = Work(
        experiment, adapter, config, task, source, tokenizer, plan, given, examples, judge,
        progress,
    )  # fmt: skip
    if isinstance(task, ChatTask):
        work.chats = {
            number: task.turns_asked(row)
            for number, row in enumerate(given.rows)
            if examples[number]["targets"]  # else the row was judged by a prompt that was cut
        }
    return work


def _stored_format(source: ModelSource) -> str:
    config = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    stored = config.get("dtype") or config.get("torch_dtype")
    return stored if stored in FORMATS else "float32"


def _check_memory(source: ModelSource, plan: Plan) -> None:
    parameters = inspect_model(source.folder).parameters
    needed = parameters * (4 if plan.weights == "float32" else 2)
    if needed > total_memory(plan.device):
        raise too_big(source, parameters, plan.device)


def _read_answers(
    model: Any, tokenizer: Any, chats: Sequence[Sequence[Message]], rows_at_once: int
) -> list[str]:
    """What `model` says to `chats` by its own generation settings and `tokenizer`'s template: what
    somebody hears who has nothing else.
    """
    examples = [
        tokenizer.apply_chat_template(
            [{name: turn[name] for name in turn if name != "tools"} for turn in chat],
            tools=tools_of(chat) or None,
            add_generation_prompt=True,
            return_dict=True,
        )
        for chat in chats
    ]

    def said(batch: list[Example]) -> list[str]:
        prompts = [{"input_ids": list(one["input_ids"])} for one in batch]
        inputs = pad(prompts, {"input_ids": tokenizer.pad_token_id}, left=True)
        given = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        with torch.inference_mode():
            tokens = model.generate(**given)[:, given["input_ids"].shape[1] :]
        found: list[str] = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return found

    return [text.strip() for text in in_batches(examples, rows_at_once, said)]
