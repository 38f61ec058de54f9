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

from tunesmith.api.access.auth import Authenticator, Identity
from tunesmith.api.access.tokens import PREFIX
from tunesmith.api.deps import Credentials, identified, shown_token
from tunesmith.api.openai.answering import Answering
from tunesmith.api.openai.calling import Calling
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
from tunesmith.errors import DataError, NotFoundError
from tunesmith.schemas.enums import Role
from tunesmith.schemas.predict import Predictions, Questions, plain
from tunesmith.schemas.service import Alive
from tunesmith.serving.asking import Asking, Sampling, Served, Spoken
from tunesmith.settings import VERSION
from tunesmith.tasks.tokens.framing import Framing

DONE = "data: [DONE]\n\n"
"""The last event of a stream."""


def identify(request: Request, credentials: Credentials) -> Identity:
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


AnsweringDep = Annotated[Answering, Depends(get_answering)]
guarded = APIRouter(dependencies=[Depends(identify)])
open_to_all = APIRouter()


@guarded.get("/v1/models", summary="What can be asked")
async def models(answering: AnsweringDep) -> Models:
    """Every adapter, and its base model where that is served too, as NAME:base."""
    return Models(data=[_shown(model) for model in answering.engine.models])


@guarded.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, answering: AnsweringDep) -> Model:
    """The model of this name, or of this experiment's id."""
    return _shown(answering.engine.find(name))


@guarded.post("/v1/chat/completions", summary="Answer a conversation")
async def complete(body: ChatRequest, request: Request, answering: AnsweringDep) -> Response:
    """The next turn of a conversation, whole or as server-sent events with `stream`.

    Without a temperature the likeliest token is taken each time, so that the same question gets the
    same answer.
    """
    model = answering.engine.find(body.model)
    if not model.chats:
        raise DataError(
            "{name} is an adapter for {task}, which answers no conversations; ask it "
            "with POST {path}.",
            name=model.name,
            task=model.task,
            path=_path(model),
        )
    asking = _asking(body)
    turns = body.turns()
    chat = await answering.begin(lambda: answering.engine.open(model, turns, asking))
    options = body.stream_options or StreamOptions()
    most = 1 if body.parallel_tool_calls is False else None
    calling = Calling(chat.format.tool_use.form, body.offered, most=most)
    completion = _Completion(model.name, calling, with_usage=options.include_usage)
    if body.stream:
        events = completion.events(answering.pieces(chat, asking))
        return StreamingResponse(events, media_type="text/event-stream")
    text, spoken = await answering.whole(request, chat, asking)
    return Response(completion.whole(text, spoken).model_dump_json(), media_type="application/json")


@guarded.post("/predict/{name:path}", summary="Ask any adapter")
async def predict(name: str, body: Questions, answering: AnsweringDep) -> Predictions:
    """Answers to texts, rows or conversations, as POST /experiments/{id}/predict of the API."""
    model = answering.engine.find(name)
    if model.base:
        raise NotFoundError(
            "{name} answers beside its adapter: ask that, with base: true.", name=model.name
        )
    begun = time.monotonic()
    found = await answering.begin(
        lambda: answering.engine.predict(
            model,
            [plain(given) for given in body.inputs],  # type: ignore[misc]  # JSON's own types
            base=body.base,
            max_new_tokens=body.max_new_tokens,
            unsure=body.unsure,
        )
    )
    return Predictions.model_validate({**asdict(found), "seconds": time.monotonic() - begun})


@open_to_all.get("/health/live", summary="Is it there")
async def live() -> Alive:
    """Answers as long as the process does; needs no token."""
    return Alive(version=VERSION)


@open_to_all.get("/health/ready", summary="Can it answer")
async def ready(answering: AnsweringDep) -> Ready:
    """All models are loaded before anything is answered here; needs no token."""
    return Ready(ready=True, models=len(answering.engine.models), requests=answering.requests)


class _Completion:
    """An answer in OpenAI's form, whole or in chunks that share id and time."""

    def __init__(self, model: str, calling: Calling, *, with_usage: bool) -> None:
        self._same: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model
        }  # fmt: skip
        self._calling = calling
        self._with_usage = with_usage

    def whole(self, text: str, spoken: Spoken) -> ChatCompletion:
        """The answer at once."""
        said = self._calling.next(text)
        rest, calls = self._calling.end()
        content = said + rest
        choice = Choice(
            message=Message(
                content=None if calls and not content else content, tool_calls=calls or None
            ),
            finish_reason="tool_calls" if calls else spoken.reason,
        )
        return ChatCompletion(**self._same, choices=[choice], usage=_usage(spoken))

    async def events(self, pieces: AsyncIterator[str | Spoken]) -> AsyncIterator[str]:
        """The role, each piece, each call whole, the reason of the end in a chunk of its own, use
        where asked for.

        An error after the begin is an event, and then there is no [DONE].
        """
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async for piece in pieces:
                if isinstance(piece, str):
                    if text := self._calling.next(piece):
                        yield self._chunk({"content": text})
                    continue
                rest, calls = self._calling.end()
                if rest:
                    yield self._chunk({"content": rest})
                for index, call in enumerate(calls):
                    yield self._chunk({"tool_calls": [{"index": index, **call.model_dump()}]})
                yield self._chunk({}, "tool_calls" if calls else piece.reason)
                if self._with_usage:
                    yield self._event([], _usage(piece).model_dump())
        except Exception as error:  # noqa: BLE001 - the status is sent already; it is logged there
            yield f"data: {json.dumps(error_body(error)[1])}\n\n"
            return
        yield DONE

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        return self._event(
            [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None
        )

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> str:
        chunk = {**self._same, "object": "chat.completion.chunk", "choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _usage(spoken: Spoken) -> Usage:
    return Usage.of(spoken, total_tokens=spoken.prompt_tokens + spoken.completion_tokens)


def _asking(body: ChatRequest) -> Asking:
    sampling = Sampling(body.temperature or 0.0, body.top_p or 1.0, body.seed)
    return Asking(body.max_completion_tokens or body.max_tokens, body.stops, sampling)


def _shown(model: Served) -> Model:
    return Model.of(
        model,
        id=model.name,
        experiment=model.adapter.experiment_id,
        is_base=model.base,
        path=_path(model),
        **(model.framing or Framing()).to_json(),
    )


def _path(model: Served) -> str:
    return "/v1/chat/completions" if model.chats else f"/predict/{model.name}"
