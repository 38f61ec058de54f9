"""Adapters that stay loaded, for many who ask at once: one computes at a time, each in its turn.

Answers of chat models take turns token by token, so that a long one keeps no short one waiting.
They are not computed together: in one batch an answer would depend on what is asked beside it.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tunesmith.errors import ModelError, NotFoundError, ServiceError, nearest, shorten
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.asking import BASE, Asking, Served, Spoken
from tunesmith.serving.generation import Chat, Wording, speak
from tunesmith.serving.predictor import Answers, Predictor, Question
from tunesmith.settings import Settings


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
        self._turn = _Turn()
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
                f"these {len(adapters)} adapters don't fit into the memory of this machine "
                f"together ({', '.join(sorted(lost))} went again); serve fewer at once."
            )

    def _add(self, name: str, adapter: SavedAdapter, created: int, *, base: bool) -> None:
        task, reason = self._predictor.load(adapter, base=base)
        chats = task.longest_generated() is not None
        model = str((adapter.config.get("model") or {}).get("name", ""))
        self._models[name] = Served(name, adapter, created, False, task.name, model, chats)
        if base and reason is None:
            name += BASE
            self._models[name] = Served(name, adapter, created, True, task.name, model, chats)
        elif base:
            self.notes[name] = str(reason)

    @property
    def models(self) -> list[Served]:
        """All that can be asked."""
        return list(self._models.values())

    def find(self, name: str) -> Served:
        """The model called `name`; an experiment's id does too. Raises NotFoundError."""
        for model in self._models.values():
            own = model.adapter.experiment_id + (BASE if model.base else "")
            if name in (model.name, own):
                return model
        near = nearest(name, self._models)
        raise NotFoundError(
            f"there is no model {shorten(name)} here"
            + (f"; did you mean {near}?" if near else f"; there is {', '.join(self._models)}.")
        )

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
    ) -> Answers:
        """Answers to `questions`, as `Predictor.answer` gives them and with what that raises."""
        with self._turn:
            return self._predictor.answer(
                model.adapter, questions, base=base, max_new_tokens=max_new_tokens
            )

    def open(self, model: Served, messages: Sequence[Mapping[str, Any]], asking: Asking) -> Chat:
        """A conversation that `say` can answer. Raises as `Predictor.chat` does."""
        with self._turn:
            return self._predictor.chat(
                model.adapter, messages, base=model.base, max_new_tokens=asking.max_tokens
            )

    def say(self, chat: Chat, asking: Asking, hear: Callable[[str], None]) -> Spoken:
        """Answer `chat`; `hear` is given each piece of the text as it is made.

        Raises ModelError when the memory is not enough, ServiceError when it was broken off.
        """
        wording = Wording(chat.format, asking.stops)

        def heard(tokens: list[int]) -> bool:
            if piece := wording.next(tokens):
                hear(piece)
            if wording.stopped or self._unwanted(asking):
                return True
            self._turn.pass_on()
            chat.activate()
            return self._unwanted(asking)

        with self._turn:
            self._check_wanted(asking)
            try:
                chat.activate()
                tokens = speak(chat, asking.sampling, heard)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    "the memory was not enough for this conversation beside the others; ask again "
                    "later, or something shorter."
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


class _Turn:
    """The one turn that there is, given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # it stays taken, by the next one
            else:
                self._taken = False

    def pass_on(self) -> None:
        """Let those who wait have it first, each once."""
        if self._waiting:
            self.__exit__()
            self.__enter__()
