"""What every export needs: the adapter on its base model, and its answers to the held-out rows."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ModelError
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.bases import check_base, find_base
from tunesmith.serving.export.agreement import TOLERANCES, Agreement, check_record, compare
from tunesmith.serving.export.held_out import HeldOut, held_out
from tunesmith.serving.export.reader import read_answers
from tunesmith.serving.placement import for_device, too_big, total_memory
from tunesmith.settings import Settings
from tunesmith.tasks.base import Columns, Example, Prediction, Task
from tunesmith.tasks.chat import Message
from tunesmith.tasks.chat_task import ChatTask
from tunesmith.tracking.entities import Experiment
from tunesmith.tracking.files import write_json
from tunesmith.training.adapter import load_adapter
from tunesmith.training.card import Card, Form
from tunesmith.training.evaluation import by_length, evaluate, in_given_order
from tunesmith.training.fitting import base_model, eval_batch_size, quiet
from tunesmith.training.model import ModelSource, inspect_model, load_base, load_tokenizer
from tunesmith.training.placing import hashes
from tunesmith.training.plan import Plan, make_plan
from tunesmith.training.reader_files import framed, write_settings
from tunesmith.training.references import add_references

FORMATS = ("float32", "float16", "bfloat16")
"""Number formats that weights can be exported in."""

DESCRIBED = "tunesmith.json"
"""The file of an adapter's folder that says its task, and goes with what is made of it."""

WHOLE = 1 << 40
"""More tokens than any chat has: it is encoded whole."""

Say = Callable[[str], None]
"""Hears what is being done now."""


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    target: str
    place: str
    """A path, or the address of a repository."""
    files: dict[str, str]
    """Name → SHA-256."""
    agreement: Agreement
    note: str = ""
    """What whoever uses it should know."""


@dataclass
class Work:
    """One adapter that is being exported."""

    experiment: Experiment
    adapter: SavedAdapter
    config: ExperimentConfig
    task: Task
    columns: Columns
    source: ModelSource
    tokenizer: Any
    plan: Plan
    """How the adapter is computed here: in the number format of the export, without autocast."""
    given: HeldOut
    examples: Sequence[Example]
    say: Say
    own: Sequence[Prediction] = ()
    """The adapter's predictions, once `adapted` gave it."""
    chats: Mapping[int, list[Message]] = field(default_factory=dict)
    """The held-out rows' chats by the rows' positions, as somebody else asks them."""
    answers: Mapping[int, str] = field(default_factory=dict)
    """What the adapter answers to these, once `adapted` gave it."""

    @property
    def weights(self) -> str:
        """The number format of the weights."""
        return self.plan.weights

    def adapted(self) -> Any:
        """The adapter on a fresh base model, after its predictions were compared with the record.

        Raises VerificationError when it isn't what it was.
        """
        self.say(f"loading {self.source.name} in {self.weights}")
        base, _ = base_model(self.config, self.task, self.source, self.plan)
        model = load_adapter(base, self.adapter.folder)
        rows = eval_batch_size(self.config, self.task)
        add_references(model, self.task, self.examples, self.tokenizer, self.plan, rows)
        self.say(f"asking the adapter {len(self.given.rows):,} held-out rows")
        self.own = self.judge(model)
        check_record(self.own, self.given.recorded, self.experiment.id)
        self.answers = self._answers(model)
        return model

    def _answers(self, model: Any) -> dict[int, str]:
        """The answers of the adapter to the chats: what it was judged by, else as it is served."""
        if self.task.judged_by_text:
            return {n: str(self.own[n].predicted) for n in self.chats}
        questions = [
            self.task.question({"messages": chat}, self.columns) for chat in self.chats.values()
        ]
        examples = self.task.encode_questions(questions, self.columns, self.tokenizer, WHOLE)
        batches = by_length(examples, eval_batch_size(self.config, self.task))
        with torch.inference_mode():
            found = [
                str(answer.answer)
                for batch in batches
                for answer in self.task.answer(model, [examples[i] for i in batch], self.tokenizer)
            ]
        return dict(zip(self.chats, in_given_order(found, batches), strict=True))

    def judge(
        self, model: Any, examples: Sequence[Example] | None = None, *, generate: bool = True
    ) -> list[Prediction]:
        """What `model` predicts for the held-out rows."""
        return evaluate(
            model,
            self.task,
            self.given.rows,
            self.examples if examples is None else examples,
            self.columns,
            self.tokenizer,
            self.plan,
            eval_batch_size(self.config, self.task),
            generate=generate,
        )

    def merged(self) -> Any:
        """The base model with the adapter's weights added to its own, in the export's format."""
        model = self.adapted().merge_and_unload()
        return model.to(getattr(torch, self.weights)).eval()

    def reload(self, folder: Path) -> Any:
        """The model in `folder`, as anybody would load it.

        Raises ModelError when a weight is missing.
        """
        model, fresh = load_base(
            ModelSource(folder.name, folder, False, ""),
            auto_class=self.task.auto_class,
            arguments={},
            weights=self.weights,
            attention=None if self.plan.attention == "auto" else self.plan.attention,
            device=self.plan.device,
        )
        if fresh:
            raise ModelError(f"the export lacks the weights of {', '.join(fresh)}.")
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
        exported = self.judge(model, examples, generate=not text) if known is None else known
        chats: dict[int, str] = {}
        if isinstance(self.task, ChatTask):
            self.say("asking it by its own chat template")
            found = read_answers(
                model, tokenizer, [*self.chats.values()], eval_batch_size(self.config, self.task)
            )
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
            TOLERANCES[form or self.weights],
            generated=self.task.auto_class == "AutoModelForCausalLM",
            chats=[(self.answers[n], text) for n, text in chats.items()],
        )

    @property
    def card(self) -> Card:
        """The experiment's card."""
        return Card(self.config, self.task, self.columns, self.source, self.experiment.metrics)

    def describe(self, folder: Path, form: Form, code: str) -> None:
        """Put what is known of the adapter into `folder`: its task, its card, and what others read
        beside the weights. `code` uses what lies there, which `form` names.
        """
        with framed(self.task, self.tokenizer, self.columns):
            self.tokenizer.save_pretrained(folder)
        write_settings(folder, self.task, self.tokenizer)
        if (self.adapter.folder / DESCRIBED).resolve() != (folder / DESCRIBED).resolve():
            shutil.copyfile(self.adapter.folder / DESCRIBED, folder / DESCRIBED)
        self.card.write(folder, form, code)

    def note(self) -> str:
        """What whoever asks the export as a chat should know."""
        framing = self.task.framing(self.columns)
        return "; ".join(framing.sentences()) if framing else ""

    def certify(self, folder: Path, target: str, agreement: Agreement) -> dict[str, str]:
        """Write `export.json`, which says what was exported and how it was verified.

        Returns the hashes of all files.
        """
        framing = self.task.framing(self.columns)
        packages = ("tunesmith", "torch", "transformers", "peft")
        write_json(
            folder / "export.json",
            {
                "target": target,
                "experiment": self.experiment.id,
                "name": self.experiment.name,
                "base_model": {"name": self.source.name, "identity": self.source.identity},
                "weights": self.weights,
                **({"chats": framing.to_json()} if framing else {}),
                "verified": agreement.to_json(),
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
    say: Say = lambda _: None,
) -> Work:
    """Find everything that an export of `experiment` needs, before anything heavy is loaded.

    `weights` is one of FORMATS; None: the one that the base model is stored in. `rows`: how many
    held-out rows to verify by; None: all. Raises StateError, NotFoundError, ModelError, DataError,
    DeviceError.
    """
    quiet()
    adapter = locate_adapter(experiment, settings, weights_hash)
    config = for_device(_without_quantization(adapter.read_config()), device or "cpu")
    task, columns = adapter.read_task()
    say("looking for the base model")
    source = find_base(adapter, config, settings)
    check_base(adapter, source)
    weights = weights or _stored_format(source)
    plan = replace(make_plan(config), weights=weights, precision="float32")
    _check_memory(source, plan)
    tokenizer = load_tokenizer(source)
    task.prepare_tokenizer(tokenizer)
    given = held_out(experiment, config, task, columns, settings, rows)
    longest_answer = task.facts()
    examples = task.encode(given.rows, columns, tokenizer, config.data.max_length)
    task.restore(longest_answer)  # the rows must not change how long an answer may be
    work = Work(
        experiment, adapter, config, task, columns, source, tokenizer, plan, given, examples, say
    )
    if isinstance(task, ChatTask):
        work.chats = {
            number: task.turns_asked(row, columns)
            for number, row in enumerate(given.rows)
            if examples[number]["targets"]  # else the row was judged by a prompt that was cut
        }
    return work


def free() -> None:
    """Let go of models that nothing names any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _without_quantization(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration with the base model's weights whole: only these can be added to."""
    whole = config.model.model_copy(update={"load_in_4bit": False, "load_in_8bit": False})
    return config.model_copy(update={"model": whole})


def _stored_format(source: ModelSource) -> str:
    config = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    stored = config.get("dtype") or config.get("torch_dtype")
    return stored if stored in FORMATS else "float32"


def _check_memory(source: ModelSource, plan: Plan) -> None:
    parameters = inspect_model(source.folder).parameters
    needed = parameters * (4 if plan.weights == "float32" else 2)
    if needed > total_memory(plan.device):
        raise too_big(source, parameters, plan.device)
