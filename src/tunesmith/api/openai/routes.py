"""The addresses of `tunesmith serve`: models, chat completions, predictions, health."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials

from tunesmith.api.auth import Authenticator, Identity
from tunesmith.api.deps import BEARER, identified, shown_token
from tunesmith.api.openai.answering import Answering
from tunesmith.api.openai.errors import error_body
from tunesmith.api.openai.schemas import (
    ChatCompletion,
    ChatRequest,
    Choice,
    Message,
    Model,
    Models,
    Ready,
    StreamOptions,
    Usage,
)
from tunesmith.api.schemas.predict import Predictions, Questions, plain
from tunesmith.api.schemas.service import Alive
from tunesmith.api.tokens import PREFIX
from tunesmith.errors import DataError, NotFoundError
from tunesmith.serving.asking import Asking, Sampling, Served, Spoken
from tunesmith.settings import VERSION
from tunesmith.tasks.framing import Framing
from tunesmith.tracking.service_entities import Role

DONE = "data: [DONE]\n\n"
"""The last event of a stream."""


def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> Identity:
    """Who asks, who may ask models. Raises UnauthenticatedError, TooManyAttemptsError."""
    authenticator: Authenticator = request.app.state.authenticator
    token = shown_token(request, credentials)
    if authenticator.open and token is not None and not token.startswith(PREFIX):
        token = None  # OpenAI's clients always send a key; where none is needed, any will do
    identity = identified(request, authenticator, token)
    identity.require(Role.VIEWER)
    return identity


async def get_answering(request: Request) -> Answering:
    """What lets the engine work."""
    answering: Answering = request.app.state.answering
    return answering


Answers = Annotated[Answering, Depends(get_answering)]
guarded = APIRouter(dependencies=[Depends(identify)])
open_to_all = APIRouter()


@guarded.get("/v1/models", summary="What can be asked")
async def models(answering: Answers) -> Models:
    """Every adapter, and its base model where that is served too, as NAME:base."""
    return Models(data=[_shown(model) for model in answering.engine.models])


@guarded.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, answering: Answers) -> Model:
    """The model of this name, or of this experiment's id."""
    return _shown(answering.engine.find(name))


@guarded.post("/v1/chat/completions", summary="Answer a conversation")
async def complete(body: ChatRequest, request: Request, answering: Answers) -> Response:
    """The next turn of a conversation, whole or as server-sent events with `stream`.

    Without a temperature the likeliest token is taken each time, so that the same question gets the
    same answer.
    """
    model = answering.engine.find(body.model)
    if not model.chats:
        raise DataError(
            f"{model.name} is an adapter for {model.task}, which answers no conversations; ask it "
            f"with POST {_path(model)}."
        )
    asking = _asking(body)
    turns = [turn.plain() for turn in body.messages]
    chat = await answering.begin(lambda: answering.engine.open(model, turns, asking))
    options = body.stream_options or StreamOptions()
    told = _Told(model.name, with_usage=options.include_usage)
    if body.stream:
        events = told.events(answering.pieces(chat, asking))
        return StreamingResponse(events, media_type="text/event-stream")
    text, spoken = await answering.whole(request, chat, asking)
    return Response(told.whole(text, spoken).model_dump_json(), media_type="application/json")


@guarded.post("/predict/{name:path}", summary="Ask any adapter")
async def predict(name: str, body: Questions, answering: Answers) -> Predictions:
    """Answers to texts, rows or conversations, as POST /experiments/{id}/predict of the API."""
    model = answering.engine.find(name)
    if model.base:
        raise NotFoundError(f"{model.name} answers beside its adapter: ask that, with base: true.")
    begun = time.monotonic()
    found = await answering.begin(
        lambda: answering.engine.predict(
            model,
            [plain(given) for given in body.inputs],  # type: ignore[misc]  # JSON's own types
            base=body.base,
            max_new_tokens=body.max_new_tokens,
        )
    )
    return Predictions.model_validate({**asdict(found), "seconds": time.monotonic() - begun})


@open_to_all.get("/health/live", summary="Is it there")
async def live() -> Alive:
    """Answers as long as the process does; needs no token."""
    return Alive(version=VERSION)


@open_to_all.get("/health/ready", summary="Can it answer")
async def ready(answering: Answers) -> Ready:
    """All models are loaded before anything is answered here; needs no token."""
    return Ready(ready=True, models=len(answering.engine.models), requests=answering.requests)


class _Told:
    """An answer in OpenAI's form, whole or in chunks that share id and time."""

    def __init__(self, model: str, *, with_usage: bool) -> None:
        self._same: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model
        }  # fmt: skip
        self._with_usage = with_usage

    def whole(self, text: str, spoken: Spoken) -> ChatCompletion:
        """The answer at once."""
        choice = Choice(message=Message(content=text), finish_reason=spoken.reason)
        return ChatCompletion(**self._same, choices=[choice], usage=_usage(spoken))

    async def events(self, pieces: AsyncIterator[str | Spoken]) -> AsyncIterator[str]:
        """The role, each piece, the reason of the end in a chunk of its own, use where asked for.

        An error after the begin is an event, and then there is no [DONE].
        """
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield self._chunk({"content": piece})
                    continue
                yield self._chunk({}, piece.reason)
                if self._with_usage:
                    yield self._event([], _usage(piece).model_dump())
        except Exception as error:  # noqa: BLE001 - the status is sent already; it is logged there
            yield f"data: {json.dumps(error_body(error)[1])}\n\n"
            return
        yield DONE

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> str:
        return self._event(
            [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None
        )

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> str:
        chunk = {**self._same, "object": "chat.completion.chunk", "choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _usage(spoken: Spoken) -> Usage:
    total = spoken.prompt_tokens + spoken.completion_tokens
    return Usage(
        prompt_tokens=spoken.prompt_tokens,
        completion_tokens=spoken.completion_tokens,
        total_tokens=total,
    )


def _asking(body: ChatRequest) -> Asking:
    sampling = Sampling(body.temperature or 0.0, body.top_p or 1.0, body.seed)
    return Asking(body.max_completion_tokens or body.max_tokens, body.stops, sampling)


def _shown(model: Served) -> Model:
    return Model(
        id=model.name,
        created=model.created,
        experiment=model.adapter.experiment_id,
        task=model.task,
        base_model=model.base_model,
        is_base=model.base,
        path=_path(model),
        **(model.framing or Framing()).to_json(),
    )


def _path(model: Served) -> str:
    return "/v1/chat/completions" if model.chats else f"/predict/{model.name}"
