"""Webhooks and the hook are told how an experiment ended, at least once, and never change it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.store.records import change, enqueue

from tunesmith.cli.main import app
from tunesmith.errors import ConfigError
from tunesmith.experiments.lifecycle.control import cancel
from tunesmith.experiments.notify import announcements
from tunesmith.experiments.notify.announcements import ATTEMPTS, announce
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, utc_now
from tunesmith.store.store import Store

KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Receiver(HTTPServer):
    """Keeps what is posted, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.status = 204
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/secret-token"


class _Keep(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.path, headers, body))
        self.send_response(self.server.status)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def told(settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a webhook, read as the operator gives them."""
    monkeypatch.setenv("TUNESMITH_WEBHOOKS", receiver.address)
    monkeypatch.setenv("TUNESMITH_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TUNESMITH_RESULTS_DIR", str(settings.results_dir))
    return Settings.read()


@pytest.fixture
def waiting(store: Store) -> Experiment:
    return enqueue(store)


def make_due(store: Store) -> None:
    for delivery in store.deliveries.waiting():
        assert store.deliveries._change(delivery, due_at=utc_now() - timedelta(seconds=1))


def test_the_end_is_posted_signed_as_standard_webhooks_are_and_once_it_was_heard_not_again(
    told: Settings, store: Store, waiting: Experiment, receiver: Receiver
) -> None:
    cancel(waiting.id, store, by="ann")
    announce(store, told)
    announce(store, told)
    ((path, headers, body),) = receiver.received
    assert path == "/hooks/secret-token"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    content = json.loads(body)
    assert content["type"] == "experiment.cancelled"
    data = content["data"]
    assert (data["id"], data["name"]) == (waiting.id, waiting.name)
    assert data["event"] == headers["webhook-id"]
    assert (data["status"], data["reason"]) == ("cancelled", "Cancelled by ann.")
    assert data["links"]["api"].endswith(f"/experiments/{waiting.id}")
    assert store.deliveries.waiting() == []


def test_what_was_not_heard_is_tried_later_with_the_same_id_and_given_up_in_the_end(
    told: Settings,
    store: Store,
    waiting: Experiment,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.status = 302  # is not followed
    cancel(waiting.id, store)
    with caplog.at_level(logging.INFO, "tunesmith.announcements"):
        announce(store, told)
        announce(store, told)  # not due yet
        assert len(receiver.received) == 1
        for _ in range(ATTEMPTS - 1):
            make_due(store)
            announce(store, told)
    assert len(receiver.received) == ATTEMPTS
    assert len({(headers["webhook-id"], body) for _, headers, body in receiver.received}) == 1
    assert {path for path, *_ in receiver.received} == {"/hooks/secret-token"}
    assert store.deliveries.waiting() == []
    assert "not tried again" in caplog.records[-1].message
    assert "secret-token" not in caplog.text


def test_of_two_processes_one_delivers(told: Settings, store: Store, waiting: Experiment) -> None:
    cancel(waiting.id, store)
    store.deliveries.address(dict.fromkeys(announcements._targets(told), told.announced_ends))
    (delivery,) = store.deliveries.waiting()
    soon = utc_now() + timedelta(minutes=1)
    assert [store.deliveries.take(delivery, soon) for _ in range(2)] == [True, False]


def test_the_hook_gets_the_same_json_and_its_output_and_failure_stand_in_the_log(
    settings: Settings, store: Store, waiting: Experiment, tmp_path: Path
) -> None:
    folder = settings.results_dir / "reviews_1"
    folder.mkdir(parents=True)
    change(store, waiting.id, directory=str(folder))
    script = tmp_path / "a hook.py"
    script.write_text(
        "import json, os, sys\n"
        "told = json.load(sys.stdin)\n"
        "assert told['data']['id'] == os.environ['TUNESMITH_EXPERIMENT_ID']\n"
        "print('it was', os.environ['TUNESMITH_EXPERIMENT_STATE'], '$HOME', told['type'])\n"
        "sys.exit(3)\n"
    )
    hooked = settings.model_copy(update={"hook": f'"{sys.executable}" "{script}"'})
    ended = cancel(waiting.id, store)
    announce(store, hooked)
    log = (folder / "logs.txt").read_text()
    assert "hook: it was cancelled $HOME experiment.cancelled" in log
    assert "ended with exit code 3" in log
    assert store.get(waiting.id) == ended
    assert store.deliveries.waiting() == []


def test_ends_that_nobody_asked_for_are_not_told(
    told: Settings, store: Store, waiting: Experiment, receiver: Receiver
) -> None:
    cancel(waiting.id, store)
    announce(store, told.model_copy(update={"webhook_events": "failed"}))
    assert receiver.received == []
    assert store.deliveries.waiting() == []


def test_a_ping_is_posted_to_each_webhook(
    told: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = CliRunner().invoke(app, ["webhooks", "test"])
    assert (result.exit_code, json.loads(receiver.received[0][2])["type"]) == (0, "ping")
    receiver.status = 500
    result = CliRunner().invoke(app, ["webhooks", "test"])
    assert result.exit_code == 1
    assert "not heard: status 500" in result.output
    assert "secret-token" not in result.output


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TUNESMITH_WEBHOOKS", "https://example.com/token", "TUNESMITH_WEBHOOK_SECRET"),
        ("TUNESMITH_WEBHOOKS", "ftp://example.com/token", "addresses such as"),
        ("TUNESMITH_WEBHOOK_SECRET", "token", "24 to 64 bytes"),
        ("TUNESMITH_WEBHOOK_EVENTS", "success", "did you mean succeeded"),
        ("TUNESMITH_HOOK", "'open", "a command and its arguments"),
    ],
)
def test_a_wrong_setting_is_told_without_what_is_secret_in_it(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as found:
        Settings.read()
    assert said in str(found.value)
    assert "token" not in str(found.value)
