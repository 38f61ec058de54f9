"""A server of adapters in a thread of the test, for what `tunesmith serve` answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn

from tunesmith.api.access.auth import Authenticator
from tunesmith.api.openai.app import create_app
from tunesmith.serving.engine import Engine
from tunesmith.settings import Settings
from tunesmith.store.store import Store


@contextmanager
def serving(engine: Engine, settings: Settings) -> Iterator[httpx2.Client]:
    """A client of a server that answers by `engine`, which can be served again afterwards."""
    with Store(settings.store_url) as store, socket.socket() as listener:
        app = create_app(engine, Authenticator(settings, store))
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx2.Client(base_url=address, timeout=60, trust_env=False) as client:
                while not server.started:
                    assert thread.is_alive(), "the server ended before it began"
                    time.sleep(0.01)
                yield client
        finally:
            server.should_exit = True
            thread.join()
            engine._closing.clear()  # the engine goes on to the next server
