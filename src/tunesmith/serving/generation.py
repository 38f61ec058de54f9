"""One answer of a chat model, token by token: heard while it is made, and stopped on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from tunesmith.serving.asking import Sampling
from tunesmith.tasks.chats.format import ChatFormat
from tunesmith.tasks.chats.generation import generating, likeliest
from tunesmith.training.evidence.evaluation import autocast
from tunesmith.training.plan import Plan

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer says of a character of which tokens are still to come."""


@dataclass(frozen=True)
class Chat:
    """A conversation that a loaded model can answer."""

    prompt: Sequence[int]
    """Its tokens, the answer's turn opened."""
    most: int
    """Tokens of the answer, at most."""
    model: Any
    """transformers' own model, with the layers of the adapters in it."""
    tokenizer: Any
    format: ChatFormat
    """How it writes chats, and which tokens end an answer."""
    plan: Plan
    answering: Callable[[Callable[[], None]], AbstractContextManager[None]]
    """Within this it is the model that was asked; between two forward passes it calls what is
    given, in which answers to others may make it another."""


def speak(chat: Chat, sampling: Sampling, heard: Callable[[list[int]], bool]) -> list[int]:
    """The tokens of the answer, its end included.

    `heard` is given all of them after each; where it says True the answer ends there.
    """
    device = next(chat.model.parameters()).device
    ids = torch.tensor([list(chat.prompt)], device=device)
    begin = ids.shape[1]
    with torch.inference_mode(), autocast(chat.plan), generating(chat.model) as model:
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=likeliest(chat.most, chat.format.ends, chat.tokenizer.pad_token_id),
            logits_processor=LogitsProcessorList([_Draw(sampling)] if sampling.temperature else []),
            stopping_criteria=StoppingCriteriaList([_Heard(heard, begin)]),
        )
    return output[0, begin:].tolist()  # type: ignore[no-any-return]


class _Draw(LogitsProcessor):
    """Draws the token, and leaves the greedy search no other.

    With a generator of its own: answers that are made in turns would share PyTorch's.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
        if sampling.top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        warped: Any = self._warpers
        probabilities = warped(input_ids, scores.float()).softmax(dim=-1).cpu()
        drawn = torch.multinomial(probabilities, 1, generator=self._generator).to(scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


class _Heard(StoppingCriteria):
    """Passes on what was said so far."""

    def __init__(self, heard: Callable[[list[int]], bool], begin: int) -> None:
        self._heard = heard
        self._begin = begin

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        ended = self._heard(input_ids[0, self._begin :].tolist())
        return torch.full((1,), ended, dtype=torch.bool, device=input_ids.device)


class Wording:
    """Tokens as text, piece by piece: together the answer up to a stop text, without outer space.

    A piece is held back while it may be the begin of a stop text, of a character, or of the end.
    """

    def __init__(self, chat_format: ChatFormat, stops: Sequence[str] = ()) -> None:
        self._format = chat_format
        self._stops = stops
        self._given = 0
        self.stopped = False
        """Whether a stop text was met."""

    def next(self, tokens: Sequence[int], *, last: bool = False) -> str:
        """What `tokens`, all there are so far, add to what was given before."""
        if self.stopped:
            return ""
        text = self._format.decoded(tokens, whole=last).lstrip()
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            text = text[: min(found)]
        end = len(text.rstrip())
        if not (last or self.stopped):
            end = min(end, self._settled(text))
        piece = text[self._given : end]
        self._given = max(self._given, end)
        return piece

    def _settled(self, text: str) -> int:
        """Where in `text` that ends which further tokens won't change."""
        settled = len(text.rstrip(UNFINISHED))
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:length]):
                    settled = min(settled, len(text) - length)
                    break
        return settled
