"""Answers of saved adapters: several on one loaded base model, the least recently used goes first.

Everything is loaded as the verification after training loads it, so that an adapter answers here
as it did there.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from tunesmith import contention
from tunesmith.config.schema import ExperimentConfig
from tunesmith.data.layouts.laying import laid_question
from tunesmith.data.questions import cleaned
from tunesmith.errors import DataError, ModelError
from tunesmith.files.layout import WEIGHTS
from tunesmith.messages import say
from tunesmith.models.adapter import load_adapter
from tunesmith.models.inspect import inspect_model
from tunesmith.models.load import load_tokenizer
from tunesmith.models.locate import ModelSource
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.asking import TooLongError
from tunesmith.serving.device import (
    changes_base,
    for_device,
    lighten,
    stamp,
    too_big,
    total_memory,
)
from tunesmith.serving.generation import Chat
from tunesmith.serving.loaded import Base, Loaded
from tunesmith.settings import Settings
from tunesmith.tasks.base import Row, Task
from tunesmith.tasks.chats.task import ChatTask
from tunesmith.tasks.results import UNSURE, Answer
from tunesmith.training.evidence.evaluation import autocast, in_batches
from tunesmith.training.memory.halving import free_memory
from tunesmith.training.plan import Plan, choose_device, make_plan
from tunesmith.training.preflight import free_bytes
from tunesmith.training.starting import base_model, quiet

MOST_ADAPTERS = 16
"""Adapters kept loaded, where nothing else is asked for."""

SHARE_OF_MEMORY = 0.5
"""Share of the device's memory that loaded models may take together, likewise."""

WHOLE = 1 << 40
"""More tokens than any question has: it is encoded whole."""

Question = str | Mapping[str, Any]
"""A text, columns by name, or `{"messages": [...]}`."""


@dataclass(frozen=True)
class Answers:
    """What was answered, in the order of the questions."""

    answers: list[Answer]
    base: list[Answer] | None = None
    """The base model's own answers, where they were asked for and it has any."""
    base_reason: str | None = None
    """Why it has none."""


class Predictor:
    """Answers of any number of adapters, of which the most recently used stay loaded.

    `most_adapters` and `most_bytes` (of all weights together) bound what stays; one adapter and its
    base model always do. For one thread at a time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        device: str | None = None,
        most_adapters: int = MOST_ADAPTERS,
        most_bytes: int | None = None,
    ) -> None:
        quiet()
        contention.watch()
        self._settings = settings
        self.device = choose_device(device)[0]
        """Where answers are computed."""
        self._most_adapters = most_adapters
        self._most_bytes = most_bytes or int(total_memory(self.device) * SHARE_OF_MEMORY)
        self._bases: dict[str, Base] = {}
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        """The least recently used first."""
        self._sources: dict[str, tuple[Any, ModelSource]] = {}
        self._numbers = itertools.count(1)
        self.between_passes: Callable[[], None] = lambda: None
        """Called by `answer` between two forward passes; others may let a model answer in it."""

    @property
    def loaded(self) -> list[str]:
        """Ids of the experiments whose adapters are loaded, the least recently used first."""
        return [key.partition(":")[0] for key, one in self._loaded.items() if one.name is not None]

    @property
    def size(self) -> int:
        """Bytes of all weights that are loaded."""
        return sum(base.size for base in self._bases.values())

    def answer(
        self,
        adapter: SavedAdapter,
        questions: Sequence[Question],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
        unsure: bool = False,
    ) -> Answers:
        """Answers to `questions`, computed in batches of similar length.

        With `base`, the base model's own beside them; with `unsure`, those too that are not sure
        enough, which else are None. Raises ModelError when adapter or base model
        can't be used here, DataError naming the first question that can't be asked.
        """
        loaded = self._load(adapter)
        layout, mended = loaded.config.data.layout, loaded.mended
        rows = read_questions(loaded.task, questions, layout, mended)
        try:
            own = self._ask(loaded, loaded.task, rows, max_new_tokens, alone=False)
            if not unsure:
                own = [replace(one, answer=None) if one.reason == UNSURE else one for one in own]
            if not base:
                return Answers(own)
            loaded, task, reason = self._of_base(adapter, loaded)
            if task is None:
                return Answers(own, None, reason)
            return Answers(own, self._ask(loaded, task, rows, max_new_tokens, alone=True))
        except torch.OutOfMemoryError as error:
            raise ModelError(
                "the memory of {device} was not enough for {n} questions at once; ask "
                "fewer, or shorter ones.",
                device=self.device,
                n=len(rows),
            ) from error

    def fault_of(
        self, adapter: SavedAdapter, question: Question, max_new_tokens: int | None = None
    ) -> str | None:
        """Why `question` can't be asked by itself; None where it can. Raises as `answer` does."""
        loaded = self._load(adapter)
        base, task = self._bases[loaded.base_key], loaded.task
        # Where no question at all could be asked, that is no fault of this one.
        length = task.question_length(loaded.config.data.max_length, base.longest, max_new_tokens)
        try:
            layout, mended = loaded.config.data.layout, loaded.mended
            row = task.question(cleaned(laid_question(question, task, layout), mended))
            task.encode_questions([row], loaded.tokenizer, length)
        except DataError as error:
            return str(error)
        return None

    def load(
        self, adapter: SavedAdapter, *, base: bool = False
    ) -> tuple[Task, str | None, tuple[str, ...]]:
        """Load `adapter`, and with `base` what its base model needs to answer alone.

        Its task, why that has no answer of its own, and what is to be known of how it is asked.
        Raises as `answer` does.
        """
        loaded = self._load(adapter)
        reason = self._of_base(adapter, loaded)[2] if base else None
        return loaded.task, reason, tuple(loaded.task.notes(loaded.tokenizer))

    def chat(
        self,
        adapter: SavedAdapter,
        messages: Sequence[Mapping[str, Any]],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
    ) -> Chat:
        """A conversation as the adapter, or with `base` its base model, can answer it by tokens.

        Raises TooLongError where it leaves no room for the answer, DataError where the task can't
        be asked it, and ModelError as `answer` does.
        """
        loaded = self._load(adapter)
        task: Task | None = loaded.task
        if base:
            loaded, task, reason = self._of_base(adapter, loaded)
            if task is None:
                raise DataError(str(reason))
        if not isinstance(task, ChatTask):
            raise DataError(
                "an adapter of the task {name} answers no conversations.", name=loaded.task.name
            )
        most = max_new_tokens or task.longest_generated()
        holder = self._bases[loaded.base_key]
        room = task.question_length(loaded.config.data.max_length, holder.longest, most)
        row = task.question(cleaned({"messages": list(messages)}, loaded.mended))
        (example,) = task.encode_questions([row], loaded.tokenizer, WHOLE)
        prompt = example["input_ids"]
        if len(prompt) > room:
            raise TooLongError(len(prompt), room, most)
        model = holder.model.get_base_model() if holder.adapted else holder.model
        answering = partial(holder.as_, "" if base else loaded.name or "")
        return Chat(
            prompt,
            most,
            model,
            loaded.tokenizer,
            task.format(loaded.tokenizer),
            holder.plan,
            answering,
        )

    # -- answering --------------------------------------------------------------------------

    def _ask(
        self, loaded: Loaded, task: Task, rows: Sequence[Row], limit: int | None, *, alone: bool
    ) -> list[Answer]:
        """Answers of the adapter, or with `alone` of the base model under it."""
        base = self._bases[loaded.base_key]
        length = task.question_length(loaded.config.data.max_length, base.longest, limit)
        examples = task.encode_questions(rows, loaded.tokenizer, length)
        ask = partial(task.answer, base.model, tokenizer=loaded.tokenizer, max_new_tokens=limit)
        name = "" if alone else loaded.name or ""
        with torch.inference_mode(), autocast(base.plan), base.as_(name, self.between_passes):
            return in_batches(examples, loaded.config.eval_batch_size, ask)

    def _of_base(
        self, adapter: SavedAdapter, loaded: Loaded
    ) -> tuple[Loaded, Task | None, str | None]:
        """What the base model under `loaded` answers by; no task, and why, where it can't."""
        base = self._bases[loaded.base_key]
        settings = json.loads((base.source.folder / "config.json").read_text(encoding="utf-8"))
        task = loaded.task.of_base(settings, base.fresh)
        if task is None:
            reason = say(
                "{name} has no answer of its own: {names} came with the adapter, and "
                "without it would be random numbers.",
                name=base.source.name,
                names=list(base.fresh),
            )
            return loaded, None, reason
        if changes_base(loaded.config):
            loaded = self._load_alone(adapter, loaded)
        return loaded, task, None

    # -- loading ----------------------------------------------------------------------------

    def _load(self, adapter: SavedAdapter) -> Loaded:
        """The adapter, loaded unless it is, now the most recently used one."""
        key = f"{adapter.experiment_id}:{adapter.folder}:{stamp(adapter.folder, WEIGHTS)}"
        if key not in self._loaded:
            config = for_device(adapter.read_config(), self.device)
            task = adapter.read_task()
            name = f"adapter_{next(self._numbers)}"
            base_key, tokenizer = self._load_base(
                adapter, config, task, owner=name if changes_base(config) else ""
            )
            base = self._bases[base_key]
            try:
                with warnings.catch_warnings():
                    # PEFT asks for an old name of transformers': nothing for who asks us.
                    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
                    base.model = load_adapter(base.model, adapter.folder, name)
                lighten(base.model, name, config, base.plan)
            except ModelError as error:
                self._forget_half_loaded(base_key, name)
                raise ModelError(
                    "the adapter of experiment {id} can't be loaded onto {model}: {error}",
                    id=adapter.experiment_id,
                    model=base.source.name,
                    error=str(error).splitlines()[0],
                ) from error
            finally:
                base.active = None
            base.adapters.add(name)
            mended = adapter.read_mended()
            self._loaded[key] = Loaded(base_key, name, task, tokenizer, config, mended)
        self._loaded.move_to_end(key)
        self._make_room()
        return self._loaded[key]

    def _load_alone(self, adapter: SavedAdapter, loaded: Loaded) -> Loaded:
        """The untouched base model of an adapter that changes the weights under it."""
        base_key, tokenizer = self._load_base(adapter, loaded.config, loaded.task, owner="")
        key = f"base:{base_key}"
        self._loaded[key] = replace(loaded, base_key=base_key, name=None, tokenizer=tokenizer)
        self._bases[base_key].adapters.add(key)
        self._loaded.move_to_end(key)
        self._make_room()
        return self._loaded[key]

    def _load_base(
        self, adapter: SavedAdapter, config: ExperimentConfig, task: Task, *, owner: str
    ) -> tuple[str, Any]:
        """The key of the base model, loaded unless it is: for `owner` alone, or for all ("").

        And its tokenizer, prepared for `task`: shared where adapters are asked alike.
        """
        source = self._source(adapter, config)
        tokenizer = load_tokenizer(source)
        task.prepare_tokenizer(tokenizer)
        plan = make_plan(config)
        # Names of labels stand in the model's settings, and change no weight.
        arguments = {k: v for k, v in task.model_arguments().items() if "2" not in k}
        bits = (config.model.load_in_4bit, config.model.load_in_8bit)
        key = json.dumps(
            [source.identity, str(source.folder), task.auto_class, arguments, plan.weights,
             plan.attention, plan.precision, plan.device, bits, owner],
            sort_keys=True,
        )  # fmt: skip
        if key not in self._bases:
            facts = inspect_model(source.folder)
            self._check_memory(source, facts.parameters, plan)
            try:
                model, fresh = base_model(config, task, source, plan)
            except torch.OutOfMemoryError as error:
                raise too_big(source, facts.parameters, self.device) from error
            self._bases[key] = Base(model, fresh, source, tokenizer, facts.max_length, plan, set())
        shared = self._bases[key].tokenizer
        return key, shared if shared.chat_template == tokenizer.chat_template else tokenizer

    def _source(self, adapter: SavedAdapter, config: ExperimentConfig) -> ModelSource:
        """The base model, which must be the one that the adapter was trained on."""
        key = config.model.model_dump_json(include={"name", "revision", "trust_remote_code"})
        known = self._sources.get(key)
        if known is None or known[0] != stamp(known[1].folder, "*"):
            source = adapter.find_base(config, self._settings)
            self._sources[key] = known = (stamp(source.folder, "*"), source)
        adapter.check_base(known[1])
        return known[1]

    def _check_memory(self, source: ModelSource, parameters: int, plan: Plan) -> None:
        """Raises ModelError before a load that this machine can't hold, even with nothing else."""
        needed = parameters * (2 if plan.weights == "bfloat16" else 4)
        if plan.device == "cpu" and needed > total_memory(plan.device):
            raise too_big(source, parameters, plan.device)
        while plan.device == "cpu" and needed > free_bytes("cpu") and self._loaded:
            self._forget(next(iter(self._loaded)))

    # -- letting go -------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Let go of the least recently used until both bounds hold; the newest always stays."""
        while len(self._loaded) > 1 and (
            len(self._loaded) > self._most_adapters or self.size > self._most_bytes
        ):
            self._forget(next(iter(self._loaded)))

    def _forget(self, key: str) -> None:
        gone = self._loaded.pop(key)
        base = self._bases[gone.base_key]
        base.adapters.discard(gone.name or key)
        if not base.adapters:
            del self._bases[gone.base_key], base
            free_memory()
            return
        base.active = None
        if gone.name is not None and len(base.model.peft_config) > 1:
            base.model.delete_adapter(gone.name)
        elif gone.name is not None:
            base.model = base.model.unload()

    def _forget_half_loaded(self, base_key: str, name: str) -> None:
        """After an adapter that didn't fit: the base stays as it was for those that did."""
        base = self._bases[base_key]
        if not base.adapters:
            del self._bases[base_key]
        elif name in base.model.peft_config:
            base.model.delete_adapter(name)


def read_questions(
    task: Task,
    questions: Sequence[Question],
    layout: str | None = None,
    mended: Sequence[str] = (),
) -> list[Row]:
    """Questions as the task's rows; `layout` is the one that was trained on, `mended` the rules by
    which texts were mended.

    Raises DataError naming the first that can't be asked.
    """
    rows = []
    for number, question in enumerate(questions, 1):
        try:
            rows.append(task.question(cleaned(laid_question(question, task, layout), mended)))
        except DataError as error:
            raise DataError("input {number}: {error}", number=number, error=error) from error
    return rows
