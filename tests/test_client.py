"""The Python client, against a real server."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.api.conftest import config as config
from tests.api.conftest import settings as settings
from tests.api.serving import Api, add_experiment, free_port, serving
from tests.api.test_datasets import CSV
from tests.api.test_train import take

import tunesmith
from tunesmith.errors import (
    AccessError,
    ConfigError,
    DataError,
    NotFoundError,
    ServiceError,
    StateError,
    TooManyAttemptsError,
    UnauthenticatedError,
)
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.schemas.experiments import TaskStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Metric


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with serving(settings) as running:
        yield running


@pytest.fixture
def client(api: Api) -> Iterator[tunesmith.Client]:
    with tunesmith.Client(f"http://127.0.0.1:{api.port}/") as opened:
        yield opened


def test_an_experiment_is_submitted_followed_and_ended(
    client: tunesmith.Client, api: Api, config: dict[str, Any]
) -> None:
    submitted = client.train(config)
    assert (submitted.status, submitted.position) == (TaskStatus.PENDING, 1)
    after = client.train(config, runs_after=submitted.task_id)
    assert client.experiment(after.experiment_id).runs_after == submitted.experiment_id
    assert [line.id for line in client.queue().waiting] == [submitted.task_id, after.task_id]
    take(api)
    api.store.change_status(
        submitted.task_id,
        ExperimentStatus.SUCCEEDED,
        [ExperimentStatus.RUNNING],
        metrics={"eval_accuracy": 0.9},
    )
    state = client.wait(submitted.task_id)
    assert (state.status, state.result) == (TaskStatus.SUCCESS, {"eval_accuracy": 0.9})
    with pytest.raises(TimeoutError):
        client.wait(after.task_id, interval=0.01, timeout=0.02)


def test_what_the_api_refuses_is_the_error_that_it_is(
    client: tunesmith.Client, config: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as wrong:
        client.train(config | {"lora": {"rr": 1, "r": 0}})
    assert {p.field: p.suggestion for p in wrong.value.problems} == {"lora.rr": "r", "lora.r": None}
    with pytest.raises(NotFoundError):
        client.task("0" * 12)
    with pytest.raises(NotFoundError):
        client.experiment("../queue")
    id_ = client.train(config).task_id
    with pytest.raises(StateError, match="it waits in the queue"):
        client.resume(id_)
    with pytest.raises(ConfigError, match="confirm"):
        client.delete(id_, confirm="another")
    (tmp_path / "table.csv").write_bytes(b"%PDF")
    with pytest.raises(DataError, match="a PDF"):
        client.upload(tmp_path / "table.csv", "reviews")
    with (
        tunesmith.Client(client.url, token="ts_wrong") as stranger,
        pytest.raises(UnauthenticatedError),
    ):
        stranger.stats()


def test_an_api_that_is_not_there_is_said_with_the_way_out() -> None:
    with (
        tunesmith.Client(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(ServiceError, match="tunesmith up"),
    ):
        client.stats()


def test_experiments_are_changed(client: tunesmith.Client, config: dict[str, Any]) -> None:
    first, second = (client.train(config).task_id for _ in range(2))
    assert client.set_priority(second, 5).position == 1
    assert client.move_to_front(first).position == 1
    assert client.cancel(first).status is TaskStatus.REVOKED
    assert client.retry(first).status is TaskStatus.PENDING
    client.cancel(first)
    assert client.resume(first).position == 2
    new = client.rerun(first).experiment_id
    page = client.experiments(status="queued", sort_by="name", limit=2)
    assert (page.total, len(page.items)) == (3, 2)
    assert client.edit(new, note="again", tags=("gold", "b")).tags == ["b", "gold"]
    client.edit(first, tags=["b"])
    assert [one.id for one in client.experiments(tag=("b", "Gold")).items] == [new]
    assert client.experiments(tag="b").total == client.experiments(tag=["b"]).total == 2
    assert [each.tag for each in client.tags().items] == ["b", "gold"]
    with pytest.raises(ConfigError, match=r"tags\.1: must have 1 to 50"):
        client.edit(new, tags=["a", ""])
    client.cancel(new)
    assert client.delete(new, confirm="reviews").files_deleted
    assert client.stats().total == 2


def test_polling_again_gives_the_same_until_something_changed(
    client: tunesmith.Client, config: dict[str, Any]
) -> None:
    id_ = client.train(config).task_id
    assert client.task(id_) == client.task(id_)
    client.cancel(id_)
    assert client.task(id_).status is TaskStatus.REVOKED


def test_metrics_logs_files_and_adapter_come(
    client: tunesmith.Client, api: Api, tmp_path: Path
) -> None:
    experiment = add_experiment(api.store, api.settings)
    api.store.add_metrics([Metric(experiment.id, 1, "loss", 0.5)])
    assert client.metrics(experiment.id, "loss").metrics["loss"][0].number == 0.5
    assert client.logs(experiment.id, tail=1).text == "line 3\n"
    assert "logs.txt" in {entry.path for entry in client.files(experiment.id).files}
    weights = "artifacts/final_model/adapter_model.safetensors"
    saved = client.download(experiment.id, weights, tmp_path / "weights")
    assert saved.read_bytes() == b"weights" * 1000
    archive = client.download_adapter(experiment.id, tmp_path / "adapter.zip")
    assert zipfile.is_zipfile(archive)
    with pytest.raises(NotFoundError):
        client.download(experiment.id, "../../x", tmp_path / "none")
    assert {path.name for path in tmp_path.iterdir()} >= {"weights", "adapter.zip"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_events_come_until_the_end(client: tunesmith.Client, api: Api) -> None:
    experiment = add_experiment(api.store, api.settings)
    events = list(client.events(experiment.id))
    assert [event.kind for event in events] == ["status", "log", "end"]
    assert events[-1].data == {"status": "SUCCESS"}
    with pytest.raises(NotFoundError):
        list(client.events("0" * 12))


def test_data_are_uploaded_looked_into_and_compared(
    client: tunesmith.Client, tmp_path: Path, config: dict[str, Any]
) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text(CSV)
    settings = ("task.text_column=text", "data.eval_samples=4")
    assert client.upload(file, "reviews", settings=settings).version.reference == "reviews@1"
    file.write_text(CSV + "one more,1\n")
    with file.open("rb") as stream:
        assert client.upload(stream, "reviews").new
    assert not client.upload(io.BytesIO(file.read_bytes()), "reviews").new
    assert client.datasets().items[0].versions == 2
    assert [v.number for v in client.dataset("reviews").items] == [2, 1]
    assert client.dataset_version("reviews", 1).splits["held_out"] == 4
    assert len(client.preview("reviews", 1, rows=1).rows) == 2
    assert client.check_report("reviews", 1).report["rows_in"] == 40
    assert client.compare("reviews", 1, 2).changes["added"] == 1
    assert client.validate(config).valid
    assert client.resolve(config).config["lora"]["r"] == 8
    assert "properties" in client.configuration_schema()


def test_the_service_is_looked_at_and_ruled(client: tunesmith.Client) -> None:
    assert client.ready().ready
    assert client.whoami().via == "local"
    assert client.pause("gpu").paused
    assert not client.continue_("gpu").paused
    assert client.workers().items == []
    made = client.create_token("maria", "viewer")
    with tunesmith.Client(client.url, token=made.token) as maria:
        assert maria.whoami().name == "maria"
        with pytest.raises(AccessError, match="viewer") as refused:
            maria.pause("cpu")
        assert type(refused.value) is AccessError
    assert client.revoke_token("maria").revoked_at
    assert len(client.tokens().items) == 1
    assert client.audit(action="token.create").total == 1


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that isn't the API, at the address that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(handler: BaseHTTPRequestHandler, status: int, body: str, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body.encode())


@pytest.mark.parametrize("token", ["ts_a b", "ts_sécret", "ts_sec\nret", "\x7f"])
def test_a_token_that_can_not_be_one_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigError, match="token: holds a character") as wrong:
        tunesmith.Client(token=token)
    assert token not in str(wrong.value)


def test_space_around_a_token_does_no_harm(client: tunesmith.Client) -> None:
    made = client.create_token("maria", "viewer")
    with tunesmith.Client(client.url, token=f" {made.token}\n") as maria:
        assert maria.whoami().name == "maria"


def test_an_address_that_can_not_be_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="url: can't be read"):
        tunesmith.Client("http://127.0.0.1:80a")


@pytest.mark.parametrize("body", ["<html>welcome</html>", "{}", ""])
def test_what_answers_and_is_not_the_api_is_said(body: str) -> None:
    with (
        answering(lambda handler: say(handler, 200, body)) as url,
        tunesmith.Client(url) as client,
    ):
        for question in (client.stats, client.ready, lambda: client.task("0" * 12)):
            with pytest.raises(ServiceError, match="not as the API of this version does"):
                question()
    with (
        answering(lambda handler: say(handler, 200, "<html>")) as url,
        tunesmith.Client(url) as client,
        pytest.raises(ServiceError),
    ):
        client.configuration_schema()


def test_what_json_can_not_say_is_named_with_its_place(client: tunesmith.Client) -> None:
    values = {
        "training": {"learning_rate": float("nan"), "seed": 1},
        "data": {"files": ["a", date(2026, 1, 31)]},
        "model": {"name": "\ud800"},
    }
    with pytest.raises(ConfigError) as wrong:
        client.train(values)
    fields = [problem.field for problem in wrong.value.problems]
    assert fields == ["training.learning_rate", "data.files.1", "model.name"]
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(ConfigError, match="JSON"):
        client.resolve(endless)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for host in ("127.0.0.1", "localhost"):
        with tunesmith.Client(f"http://{host}:{api.port}") as client:
            assert client.whoami().via == "local"


def test_too_many_wrong_tokens_say_how_long_to_wait(client: tunesmith.Client) -> None:
    refused = None
    with tunesmith.Client(client.url, token="ts_wrong") as stranger:
        while not isinstance(refused, TooManyAttemptsError):
            with pytest.raises((UnauthenticatedError, TooManyAttemptsError)) as caught:
                stranger.stats()
            refused = caught.value
    assert 0 < refused.retry_after <= 60


STORE_IS_AWAY = (
    '{"type": "urn:tunesmith:problem:storage", "title": "t", "status": 503, "detail": "d", '
    '"instance": "", "errors": []}'
)
END = 'event: end\nid: 1.0\ndata: {"status": "SUCCESS"}\n\n'


def instead_of_sleep(do: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `do` where a stream would wait for seconds; other threads sleep as before."""
    here = SimpleNamespace(sleep=do, monotonic=time.monotonic)
    monkeypatch.setattr("tunesmith.client.following.time", here)


def test_a_stream_goes_on_after_the_store_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    instead_of_sleep(lambda _: None, monkeypatch)
    answers = [
        (200, 'event: log\nid: 1.0\ndata: {"text": "a"}\n\n'),
        (503, STORE_IS_AWAY),
        (200, ""),
        (200, END),
    ]
    came: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        came.append(handler.headers.get("Last-Event-ID"))
        status, body = answers[len(came) - 1]
        say(handler, status, body, Content_Type="text/event-stream")

    with answering(answer) as url, tunesmith.Client(url) as client:
        assert [event.kind for event in client.events("0" * 12)] == ["log", "end"]
    assert came == [None, "1.0", "1.0", "1.0"]


def test_a_stream_without_any_event_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    instead_of_sleep(pauses.append, monkeypatch)
    with (
        answering(lambda handler: say(handler, 200, "", Content_Type="text/event-stream")) as url,
        tunesmith.Client(url) as client,
        pytest.raises(ServiceError, match="sends no events"),
    ):
        list(client.events("0" * 12))
    assert pauses == [1, 2, 3, 4, 5]


def test_what_reads_whole_datasets_may_take_longer_than_the_rest() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/datasets"):
            asked.set()
            assert go_on.wait(60)
            say(handler, 200, '{"reference": "reviews@1", "report": {}, "findings": 0}')
        else:
            go_on.wait(60)

    found: list[int] = []
    with answering(answer) as url, tunesmith.Client(url, timeout=0.5) as client:
        slow = threading.Thread(
            target=lambda: found.append(client.check_report("reviews", 1).findings)
        )
        slow.start()
        assert asked.wait(60)
        with pytest.raises(ServiceError):
            client.stats()
        go_on.set()
        slow.join()
    assert found == [0]
