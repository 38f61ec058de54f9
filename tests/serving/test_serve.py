"""`tunesmith serve`: adapters kept loaded, chats as OpenAI's clients have them, each in turn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serving.server import serving

from tunesmith.api.access.auth import Authenticator
from tunesmith.api.access.tokens import create_token
from tunesmith.errors import ServiceError
from tunesmith.experiments import TrainedExperiment
from tunesmith.jobs.services.ports import free_port
from tunesmith.schemas.enums import Role
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.asking import Asking, Spoken
from tunesmith.serving.engine import Engine
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.store.store import Store

GOOD, BAD = "a superb film with a lovely plot", "a dull and awful story"


def turns(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def engine(
    chatter: TrainedExperiment, classifier: TrainedExperiment, trained_settings: Settings
) -> Engine:
    """An engine with a chat model and a classifier, and the base model of the first."""
    adapters = {
        name: (locate_adapter(experiment.record, trained_settings), 1_700_000_000)
        for name, experiment in (("critic", chatter), ("reviews", classifier))
    }
    return Engine(trained_settings, adapters, base=True, device="cpu")


@pytest.fixture(scope="module")
def client(engine: Engine, trained_settings: Settings) -> Iterator[httpx2.Client]:
    """A client of the server, open to this machine."""
    with serving(engine, trained_settings) as opened:
        yield opened


def chat(client: httpx2.Client, text: str = GOOD, **fields: Any) -> dict[str, Any]:
    body = {"model": "critic", "messages": turns(text), **fields}
    answered = client.post("/v1/chat/completions", json=body)
    assert answered.status_code == 200, answered.text
    return dict(answered.json())


def streamed(client: httpx2.Client, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a stream, which ends as one has to."""
    body = {"model": "critic", "messages": turns(GOOD), "stream": True, **fields}
    answered = client.post("/v1/chat/completions", json=body)
    assert answered.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = answered.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_chat_gets_the_answer_that_predict_gives_whole_and_in_pieces(
    client: httpx2.Client, chatter: TrainedExperiment, trained_settings: Settings
) -> None:
    adapter = locate_adapter(chatter.record, trained_settings)
    asked = [{"messages": turns(text)} for text in (GOOD, BAD)]
    found = Predictor(trained_settings, device="cpu").answer(adapter, asked, base=True)
    assert found.base is not None
    for name, answers in (("critic", found.answers), ("critic:base", found.base)):
        said = [chat(client, text, model=name) for text in (GOOD, BAD)]
        assert [s["choices"][0]["message"]["content"] for s in said] == [a.answer for a in answers]
    whole = chat(client)
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["finish_reason"] == "stop"
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    first, *pieces, end, use = streamed(client, stream_options={"include_usage": True})
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (use["choices"], use["usage"], end["usage"]) == ([], usage, None)
    assert len({(c["id"], c["created"], c["object"]) for c in (first, *pieces, end, use)}) == 1


def test_temperature_draws_as_the_seed_says_and_answers_end_where_they_are_told_to(
    client: httpx2.Client,
) -> None:
    drawn: dict[str, Any] = {"model": "critic:base", "temperature": 2.0, "max_tokens": 12}
    texts = [
        chat(client, **drawn, seed=seed)["choices"][0]["message"]["content"] for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    short = chat(client, model="critic:base", max_completion_tokens=1)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 1
    word = texts[0].split()[1]
    stopped = chat(client, **drawn, seed=1, stop=[word, "not in it"])["choices"][0]
    assert stopped["message"]["content"] == texts[0].partition(word)[0].rstrip()
    assert stopped["finish_reason"] == "stop"
    chunks = streamed(client, **drawn, seed=1, stop=word)
    told = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert told == stopped["message"]["content"]


def test_models_are_listed_with_how_they_are_asked_and_a_classifier_is_asked_by_predict(
    client: httpx2.Client, classifier: TrainedExperiment
) -> None:
    # OpenAI's own clients always send a key; to this machine alone any will do.
    listed = client.get("/v1/models", headers={"Authorization": "Bearer none"}).json()
    assert [m["id"] for m in listed["data"]] == ["critic", "critic:base", "reviews"]
    assert client.get(f"/v1/models/{classifier.id}").json() == listed["data"][2]
    answered = client.post("/predict/reviews", json={"inputs": [GOOD, BAD], "base": True}).json()
    assert [a["answer"] for a in answered["answers"]] == ["good", "bad"]
    assert "classifier" in answered["base_reason"]
    assert client.get("/health/ready").json() == {"ready": True, "models": 3, "requests": 0}


@pytest.mark.parametrize(
    ("fields", "status", "code", "said"),
    [
        ({"model": "critc"}, 404, "model_not_found", "did you mean critic?"),
        ({"model": "reviews"}, 400, None, "ask it with POST /predict/reviews"),
        ({"temprature": 1}, 400, None, "temprature: unknown field; did you mean temperature?"),
        (
            {"temperature": 3},
            400,
            None,
            "temperature: Input should be less than or equal to 2; got",
        ),
        ({"n": 2}, 400, None, "n: isn't supported here; accepted: 1 or null; got 2"),
        ({"tools": [{"type": "function"}]}, 400, None, "tools.0.function: Field required"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, 400, None, "give one of them"),
        ({"stop": ["a"] * 5}, 400, None, "holds 5 texts; at most 4"),
        ({"messages": []}, 400, None, "messages: List should have at least 1 item"),
        ({"messages": turns(" ".join([BAD] * 30))}, 400, "context_length_exceeded", "fit beside"),
        ({"messages": turns("x" * 100_001)}, 400, None, "at most 100,000 are accepted"),
        ({"user": "x" * (1 << 20)}, 413, "too_large", "larger than the 1 MiB"),
    ],
)
def test_what_is_wrong_is_said_in_the_form_that_openais_clients_read(
    client: httpx2.Client, fields: dict[str, Any], status: int, code: str | None, said: str
) -> None:
    body = {"model": "critic", "messages": turns(GOOD), "stream": True, **fields}
    answered = client.post("/v1/chat/completions", json=body)
    assert answered.status_code == status, answered.text
    error = answered.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert said in error["message"]


@contextmanager
def counted(engine: Engine) -> Iterator[list[int]]:
    """Forward passes of the chat model within this, as a list that grows."""
    passes: list[int] = []
    (model,) = {
        engine.open(engine.find(name), turns(GOOD), Asking(1)).model
        for name in ("critic", "critic:base")
    }
    handle = model.register_forward_hook(lambda *_: passes.append(len(passes)))
    try:
        yield passes
    finally:
        handle.remove()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize("others", [1, 20])
def test_a_short_answer_waits_for_no_long_one_however_many_there_are(
    engine: Engine, others: int
) -> None:
    base, adapter = engine.find("critic:base"), engine.find("critic")
    long, short = Asking(30 if others == 1 else 8), Asking(1)
    chats = [engine.open(base, turns(BAD), long) for _ in range(others)]
    alone: list[str] = []
    engine.say(chats[0], long, alone.append)
    heard: list[list[str]] = [[] for _ in chats]
    begun, answered = threading.Event(), threading.Event()
    spoken: list[Spoken] = []
    waited: list[int] = []

    def say_short() -> None:
        def hear_short(_: str) -> None:
            waited.append(len(passes) - asked[0])

        spoken.append(engine.say(engine.open(adapter, turns(GOOD), short), short, hear_short))
        answered.set()

    def hear(number: int, piece: str) -> None:
        heard[number].append(piece)
        if all(heard) and not begun.is_set():
            begun.set()  # all have their first token
            asked.append(len(passes))
            threading.Thread(target=say_short).start()
            # The short one waits too, and all long ones that have not ended by now.
            wait_for(lambda: engine._turn.waiting == others - sum(end.done() for end in ends))

    together = threading.Barrier(others)

    def say_long(number: int) -> Spoken:
        together.wait()
        return engine.say(chats[number], long, partial(hear, number))

    asked: list[int] = []
    ends: list[Future[Spoken]] = []
    with counted(engine) as passes, ThreadPoolExecutor(others) as pool:
        ends.extend(pool.submit(say_long, number) for number in range(others))
        assert answered.wait(60)
        assert not all(end.done() for end in ends)
        assert [end.result() for end in ends]
    assert spoken[0].completion_tokens == 1
    assert waited[0] <= 5, "its question and its token come after one pass each of another"
    assert heard == [alone] * others, "company changes no answer"


def test_more_than_sixteen_requests_are_answered_at_once_and_a_short_one_ends_first(
    engine: Engine, client: httpx2.Client
) -> None:
    others, ended = 20, []

    def ask(name: str, **fields: Any) -> None:
        chat(client, **fields)
        ended.append(name)

    with ThreadPoolExecutor(others + 1) as pool:
        with engine._turn:
            for _ in range(others):
                pool.submit(ask, "long", model="critic:base", text=BAD, max_tokens=12)
            wait_for(lambda: engine._turn.waiting == others)
        while_they_go_on = pool.submit(ask, "short", max_tokens=1)
        while_they_go_on.result()
        first = list(ended)
    assert (first, len(ended)) == (["short"], others + 1)


def test_a_batch_of_predictions_lets_answers_in_between_its_tokens(engine: Engine) -> None:
    model, short = engine.find("critic"), Asking(1)
    texts = [f"{word} {GOOD}" for word in ("this", "such", "a", "the")]
    expected = engine.predict(model, texts, base=True)
    during: list[Any] = []

    def ask(_: Any, __: Any, ___: Any) -> None:
        if not during:
            during.append(threading.Thread(target=say))
            during[0].start()
            wait_for(lambda: engine._turn.waiting == 1)

    def say() -> None:
        base = engine.find("critic:base")
        during.append(engine.say(engine.open(base, turns(BAD), short), short, lambda _: None))
        during.append(answered.is_set())

    answered = threading.Event()
    with counted(engine):
        holder = engine.open(model, turns(GOOD), short).model
        handle = holder.register_forward_hook(ask)
        found = engine.predict(model, texts, base=True)
        answered.set()
        handle.remove()
    during[0].join()
    assert found == expected, "the adapter is switched back after every answer of another"
    assert during[2] is False, "it was answered while the batch went on"


def test_the_answer_of_a_client_that_goes_away_ends(
    engine: Engine, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Asking] = []
    say = engine.say

    def noted(chat: Any, asking: Asking, hear: Any) -> Spoken:
        asked.append(asking)
        return say(chat, asking, hear)

    monkeypatch.setattr(engine, "say", noted)
    for stream in (False, True):
        opened = engine.find("critic")
        body = {"model": "critic", "messages": turns(GOOD), "stream": stream}
        with engine._turn:  # nobody's answer begins
            address = (str(client.base_url.host), int(client.base_url.port or 0))
            with socket.create_connection(address) as connection:
                content = json.dumps(body)
                connection.sendall(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(content), content.encode())
                )
                wait_for(lambda: engine._turn.waiting == 1)
                engine._turn.pass_on()  # its question is read
                wait_for(lambda: engine._turn.waiting == 1)
            assert asked[-1].gone.wait(30)
        with pytest.raises(ServiceError, match="stopping"):
            say(engine.open(opened, turns(GOOD), asked[-1]), asked[-1], lambda _: None)


def test_where_tokens_are_needed_a_viewers_lets_in_and_nothing_else(
    engine: Engine, trained_settings: Settings
) -> None:
    with Store(trained_settings.store_url) as store:
        settings = trained_settings.model_copy(update={"api_host": "0.0.0.0"})
        with pytest.raises(ServiceError, match="there is no admin token yet"):
            Authenticator(settings, store)
        create_token("root", Role.ADMIN, store, "tests")
        token = create_token("eyes", Role.VIEWER, store, "tests")[1]
    with serving(engine, settings) as client:
        refused = client.get("/v1/models")
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_the_command_serves_until_ctrl_c_and_then_stops_cleanly(
    chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUNESMITH_", "HF_"))}
    own = {
        "TUNESMITH_RESULTS_DIR": str(trained_settings.results_dir),
        "TUNESMITH_DATABASE_URL": trained_settings.store_url,
        "SERVE_PORT": str(port),
    }
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith.cli", "serve", f"critic={chatter.id}"],
            env={**kept, **own}, cwd=tmp_path, stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while True:
                assert process.poll() is None, log.read_text()
                try:
                    client.get("/health/ready")
                    break
                except httpx2.ConnectError:
                    time.sleep(0.05)
            assert chat(client)["choices"][0]["message"]["content"] == "good"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert "critic  sft, POST /v1/chat/completions" in said
    assert "Traceback" not in said
