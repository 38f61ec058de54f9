"""Adapters that stay loaded, for many who ask at once: one computes at a time, each in its turn.

Answers of chat models take turns token by token, predictions pass by pass of the model, and who
comes new is first: no answer keeps another one waiting. They are not computed together: in one
batch an answer would depend on what is asked beside it (`docs/architecture.md`, Answers).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from tunesmith.errors import DataError, ModelError, NotFoundError, ServiceError, nearest, shorten
from tunesmith.messages import say
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.asking import BASE, Asking, Served, Spoken
from tunesmith.serving.device import cache_bytes
from tunesmith.serving.generation import Chat, Wording, speak
from tunesmith.serving.predictor import Answers, Predictor, Question
from tunesmith.serving.turns import Room, Turn
from tunesmith.settings import Settings
from tunesmith.training.preflight import free_bytes


class Engine:
    """Answers of a set of models that stay loaded. For any number of threads.

    Raises ModelError when one can't be loaded, or they don't fit into memory together.
    """

    def __init__(
        self,
        settings: Settings,
        adapters: Mapping[str, tuple[SavedAdapter, int]],
        *,
        base: bool = False,
        device: str | None = None,
        loading: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Load `adapters`, by name with the seconds since 1970 when each was trained.

        `base`: their base models answer too. `loading` hears of each before it is loaded.
        """
        self._predictor = Predictor(
            settings, device=device, most_adapters=sys.maxsize, most_bytes=sys.maxsize
        )
        self._turn = Turn()
        self._predictor.between_passes = self._turn.pass_on
        self._room = Room(partial(free_bytes, self._predictor.device))
        self._closing = threading.Event()
        self._models: dict[str, Served] = {}
        self.notes: dict[str, str] = {}
        """Name → why its base model can't answer, where that was asked for."""
        for name, (adapter, created) in adapters.items():
            loading(name)
            self._add(name, adapter, created, base=base)
        lost = {adapter.experiment_id for adapter, _ in adapters.values()}
        lost -= set(self._predictor.loaded)
        if lost:
            raise ModelError(
                "these {n} adapters don't fit into the memory of this machine together "
                "({names} went again); serve fewer at once.",
                n=len(adapters),
                names=sorted(lost),
            )

    def _add(self, name: str, adapter: SavedAdapter, created: int, *, base: bool) -> None:
        task, reason, notes = self._predictor.load(adapter, base=base)
        chats = task.longest_generated() is not None
        model = str((adapter.config.get("model") or {}).get("name", ""))
        framing = adapter.read_task().framing()
        served = Served(name, adapter, created, False, task.name, model, chats, notes, framing)
        self._models[name] = served
        if base and reason is None:
            self._models[name + BASE] = replace(served, name=name + BASE, base=True, notes=())
        elif base:
            self.notes[name] = str(reason)

    @property
    def models(self) -> list[Served]:
        return list(self._models.values())

    def find(self, name: str) -> Served:
        """The model called `name`; an experiment's id does too. Raises NotFoundError."""
        for model in self._models.values():
            own = model.adapter.experiment_id + (BASE if model.base else "")
            if name in (model.name, own):
                return model
        hint = say("; there is {names}.", names=list(self._models))
        if near := nearest(name, self._models):
            hint = say("; did you mean {name}?", name=near)
        raise NotFoundError(say("there is no model {name} here", name=shorten(name)) + hint)

    def close(self) -> None:
        """Break off what is being answered; each ends after its next token."""
        self._closing.set()

    # -- asking -----------------------------------------------------------------------------

    def predict(
        self,
        model: Served,
        questions: Sequence[Question],
        *,
        base: bool = False,
        max_new_tokens: int | None = None,
        unsure: bool = False,
    ) -> Answers:
        """Answers to `questions`, as `Predictor.answer` gives them and with what that raises."""
        with self._turn:
            return self._predictor.answer(
                model.adapter, questions, base=base, max_new_tokens=max_new_tokens, unsure=unsure
            )

    def open(self, model: Served, messages: Sequence[Mapping[str, Any]], asking: Asking) -> Chat:
        """A conversation that `say` can answer. Raises as `Predictor.chat` does.

        Its tools stand at its first turn, as in `tasks.chats.messages`.
        """
        with self._turn:
            chat = self._predictor.chat(
                model.adapter, messages, base=model.base, max_new_tokens=asking.max_tokens
            )
            if any(turn.get("tools") for turn in messages) and not chat.format.tool_use.tools:
                raise DataError(
                    "the chat template of {model} writes no tools: ask without them, or use an "
                    "adapter on a model that was trained to call tools.",
                    model=model.base_model,
                )
            return chat

    def say(self, chat: Chat, asking: Asking, hear: Callable[[str], None]) -> Spoken:
        """Answer `chat`; `hear` is given each piece of the text as it is made.

        Raises ModelError when the memory is not enough, ServiceError when it was broken off.
        """
        wording = Wording(chat.format, asking.stops)

        def heard(tokens: list[int]) -> bool:
            if piece := wording.next(tokens):
                hear(piece)
            return wording.stopped or self._unwanted(asking)

        size = cache_bytes(chat.model, len(chat.prompt) + chat.most, chat.plan.precision)
        with self._room.held(size, partial(self._unwanted, asking)), self._turn:
            self._check_wanted(asking)
            try:
                with chat.answering(self._turn.pass_on):
                    tokens = speak(chat, asking.sampling, heard)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    "the memory was not enough for this conversation beside the others; ask "
                    "again later, or something shorter."
                ) from error
            if rest := wording.next(tokens, last=True):
                hear(rest)
            ended = wording.stopped or chat.format.ended(tokens)
        if not ended:
            self._check_wanted(asking)
        return Spoken("stop" if ended else "length", len(chat.prompt), len(tokens))

    def _check_wanted(self, asking: Asking) -> None:
        if self._unwanted(asking):
            raise ServiceError("the server is stopping; nothing is answered any more.")

    def _unwanted(self, asking: Asking) -> bool:
        return asking.gone.is_set() or self._closing.is_set()
